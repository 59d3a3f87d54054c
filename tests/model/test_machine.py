"""The run's state machine, its log, its index and its inputs: any order of commands, any chunking."""

from __future__ import annotations

import asyncio
import random

from hypothesis import given
from hypothesis import strategies as st

from flowspan.view.events import Outcome, Segment
from runtime_core.engine.inputs import InputWindow
from runtime_core.model.item_index import open_index, seal_index
from runtime_core.model.machine import RunMachine
from runtime_core.ports import InputChunk


def drive(seed: int, total: int, limit: int, steps: int) -> tuple[RunMachine, list[Segment]]:
    """A machine after random commands, legal or not, and the segments that it wrote."""
    rng = random.Random(seed)
    machine = RunMachine(total, limit)
    machine.accept(b"{}")
    segments: list[Segment] = []
    for _ in range(steps):
        match rng.randrange(8):
            case 0 | 1 if machine.startable:
                machine.start_items(rng.randint(1, machine.startable))
            case 2 | 3 | 4 if total:
                item = rng.randrange(total)
                had_ended, started = machine.has_ended(item), machine.started
                took = machine.complete_item(item, rng.choice(list(Outcome)), b"1" * rng.randrange(4))
                assert took == (not had_ended and item < started)
            case 5 if rng.random() < 0.2:
                machine.request_cancel("enough")
            case 6:
                machine.finish(7)
            case 7:
                numbered = machine.take_events()
                if numbered is not None:
                    segments.append(Segment(numbered.first_seq, 7, list(numbered.events)))
            case _:
                pass
        assert 0 <= machine.running <= limit
        assert machine.started + 0 <= total
        if machine.is_terminal:
            assert machine.running == 0
            assert machine.startable == 0
    numbered = machine.take_events()
    if numbered is not None:
        segments.append(Segment(numbered.first_seq, 7, list(numbered.events)))
    return machine, segments


@given(st.integers(), st.integers(0, 30), st.integers(1, 9), st.integers(0, 150))
def test_the_log_replayed_is_the_state(seed: int, total: int, limit: int, steps: int) -> None:
    machine, segments = drive(seed, total, limit, steps)
    again = RunMachine(total, limit)
    for segment in segments:
        assert segment.first_seq == again.seq + 1
        again.replay(segment)
    assert again.tally() == machine.tally()
    assert (again.outcomes, again.seqs, again.result_bytes) == (machine.outcomes, machine.seqs, machine.result_bytes)
    assert again.take_events() is None


@given(st.integers(), st.integers(0, 300), st.integers(1, 50))
def test_a_sealed_index_is_read_as_it_was(seed: int, total: int, limit: int) -> None:
    machine, _ = drive(seed, total, limit, 200)
    index = machine.index()
    opened = open_index(seal_index(index))
    assert (list(opened.seqs), bytes(opened.outcomes), opened.result_bytes) == (
        list(index.seqs),
        bytes(index.outcomes),
        index.result_bytes,
    )


@given(st.lists(st.integers(1, 700), max_size=12), st.integers(1, 400), st.integers(0, 12))
def test_inputs_come_whole_and_in_order_however_they_are_chunked(sizes: list[int], step: int, kept: int) -> None:
    chunks: list[InputChunk] = []
    total = 0
    for size in sizes:
        chunks.append(InputChunk(total, [b"%d" % item for item in range(total, total + size)]))
        total += size

    async def load(item_index: int) -> InputChunk:
        return next(chunk for chunk in chunks if chunk.first_item <= item_index < chunk.first_item + len(chunk.inputs))

    async def read() -> list[bytes]:
        window = InputWindow(total, chunks[:kept], load)
        out: list[bytes] = []
        while len(out) < total:
            wanted = window.next_to_load(len(out))
            if wanted is not None:
                assert window.next_to_load(len(out)) is None  # one at a time
                await window.load(wanted)
            count = window.loaded(len(out), step)
            assert count, "the window runs dry"
            out += window.take(len(out), count)
        return out

    assert asyncio.run(read()) == [b"%d" % item for item in range(total)]
