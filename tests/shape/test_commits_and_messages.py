"""Commits, log rows and messages are made per batch. A batch is what piled up while the one before was written."""

from __future__ import annotations

from tests.shape.counted_run import CountedRun


def test_a_run_of_10000_items_makes_fewer_than_200_commits_and_rows(plain_run: CountedRun) -> None:
    assert plain_run.items == 10_000
    assert plain_run.commits < 200
    assert plain_run.rows < 200


def test_a_run_of_10000_items_is_streamed_in_fewer_than_400_messages(plain_run: CountedRun) -> None:
    [messages] = plain_run.messages
    assert messages < 400
    assert plain_run.joined == messages


def test_batches_of_events_are_encoded_and_not_events(plain_run: CountedRun) -> None:
    encoded = plain_run.gateway.of("protobuf/segments.py:encode_segment")
    assert plain_run.rows <= encoded < plain_run.items / 20


def test_protobuf_objects_are_a_header_per_result_and_whole_messages_per_batch(plain_run: CountedRun) -> None:
    calls = plain_run.gateway
    assert calls.of("RepeatedCompositeContainer.add") < 1.1 * plain_run.items
    assert calls.of(".SerializeToString", ".FromString", ".ParseFromString") < plain_run.items / 10
