"""Ids: strict to read, ordered by time where they are made, and one token per execution."""

import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowspan.errors import InvalidArgumentError
from runtime_core.model.ids import new_run_id, parse_blob_id, parse_run_id

HEX = "0123456789abcdef" * 4


def test_a_blob_id_is_read_with_and_without_its_prefix() -> None:
    assert parse_blob_id(f"sha256:{HEX}") == f"sha256:{HEX}"
    assert parse_blob_id(HEX) == f"sha256:{HEX}"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sha256:",
        "sha256:../../etc/passwd",
        "SHA256:ABC",
        HEX[:63],
        HEX + "0",
        HEX.upper(),
        f"SHA256:{HEX}",
        "%2e%2e",
        f"{HEX}\n",
        f" {HEX}",
        None,
        7,
    ],
)
def test_anything_else_is_no_blob_id(text: str) -> None:
    with pytest.raises(InvalidArgumentError, match="flowId is not a blob id") as caught:
        parse_blob_id(text, field="flowId")
    assert caught.value.details == {"field": "flowId"}


def test_a_run_id_may_be_any_uuid_and_is_folded_to_lower_case() -> None:
    assert parse_run_id("550E8400-E29B-41D4-A716-446655440000") == "550e8400-e29b-41d4-a716-446655440000"
    made = new_run_id(1_700_000_000_000, bytes(10))
    assert parse_run_id(made) == made


@pytest.mark.parametrize(
    "text",
    ["", "550e8400e29b41d4a716446655440000", "{550e8400-e29b-41d4-a716-446655440000}", "550e8400-e29b-41d4-a716-44665544000g", 1],
)
def test_anything_else_is_no_run_id(text: str) -> None:
    with pytest.raises(InvalidArgumentError):
        parse_run_id(text)


@given(st.integers(0, 2**48 - 1), st.binary(min_size=10, max_size=10))
def test_a_new_run_id_is_a_uuid_of_version_7_that_carries_its_time(unix_ms: int, random: bytes) -> None:
    made = uuid.UUID(new_run_id(unix_ms, random))
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == unix_ms
    assert made.int & (1 << 62) - 1 == int.from_bytes(random, "big") & (1 << 62) - 1


@given(st.lists(st.integers(0, 2**48 - 1), min_size=2, unique=True), st.binary(min_size=10, max_size=10))
def test_ids_made_later_sort_later(times: list[int], random: bytes) -> None:
    assert sorted(new_run_id(time, random) for time in times) == [new_run_id(time, random) for time in sorted(times)]


@pytest.mark.parametrize(("unix_ms", "random"), [(-1, bytes(10)), (2**48, bytes(10)), (0, bytes(9)), (0, bytes(11))])
def test_a_run_id_is_not_made_of_figures_out_of_range(unix_ms: int, random: bytes) -> None:
    with pytest.raises(ValueError, match=r"unix_ms|random"):
        new_run_id(unix_ms, random)
