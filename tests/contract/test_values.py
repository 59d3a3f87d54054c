"""Values go through SDK client, gRPC, SQLite, stdio and a Python component and come back as they were given."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st

from flowspan.client import AsyncClient, RawJson
from runtime_core.stores.sqlite import SqliteStore
from tests.contract.requirements import requirement
from tests.e2e.house import House, house, one_step, python_plugin

SERVERS: Final = Path(__file__).parent / "servers.py"


def _nested(depth: int) -> Any:
    value: Any = 1.0
    for level in range(depth):
        value = [value] if level % 2 else {"": value}
    return value


PLANES: Final = "".join(chr(plane << 16 | low) for plane in range(17) for low in (0x20, 0x41, 0x7F, 0xFF, 0x2028, 0xABCD, 0xFFFD))
FIXED: Final[list[Any]] = [
    2**53 + 1, -(2**53) - 1, 2**63, 2**64, 10**30, -(10**30), 10**60, -(10**62), 0, -1,
    1.0, 0.0, -0.0, 1e22, 1e-7, 1.5e300, 5e-324, 1.7976931348623157e308, 0.1, 123456789012345680.0,
    True, False, None, "", " ", "\u2028\u2029\x00\x1f\x7f\u0080\ufeff\ufffd\uffff\\\"/",
    PLANES, "e\u0301 \u00e9", "\U0001f468\u200d\U0001f469",
    [], {}, [[]], {"": {}}, {"": ""}, {"\x00": 1, "\u2028": 2, "\U0010ffff": 3, "$": 4, "a.b": 5},
    {"b": 1, "a": 2, "10": 3, "9": 4},
    _nested(60), [1, 1.0], {"outcome": "success", "value": 1}, {"completed_at_us": 1},
    {"$step": "a"}, {"result": {"error": None}},
]  # fmt: skip
DEEPEST: Final = next(n for n, value in enumerate(FIXED) if isinstance(value, list) and repr(value).count("[") == 30)
RAW: Final[list[bytes]] = [
    b'"\\ud83d\\ude80 \\u0000 \\/ \\u2028"', b"1E22", b"1e+22", b"-0", b"-0.0", b"1.50", b'{ "b" : 1 ,\t"a" : [ ] }',
    b'"\\u00e9"', b"100000000000000000000000000000000000000000000000001", b"1e308",
]  # fmt: skip


def same(one: Any, other: Any) -> bool:
    """Equal in value, in type, in sign of zero and in the order of members."""
    return repr(one) == repr(other)


@asynccontextmanager
async def client_of(tmp_path: Path) -> AsyncIterator[tuple[House, AsyncClient]]:
    listen = f"unix:{tmp_path / 'g.sock'}"
    async with house(python_plugin("py", SERVERS, "64"), store=SqliteStore(tmp_path / "data"), listen=listen) as h:
        assert await h.gateway.wait_plugins(10)
        async with AsyncClient(listen) as client:
            yield h, client


@requirement("submit.param.inputs", "status.results")
async def test_fixed_values_come_back_the_same(tmp_path: Path) -> None:
    async with client_of(tmp_path) as (_, client):
        flow_id = await client.store_flow(one_step("/py/echo"))
        run = await client.run(flow_id, FIXED, max_concurrency=50)
        assert run.results is not None
        for given_value, result in zip(FIXED, run.results, strict=True):
            assert result.error is None, result.error
            assert same(result.value, given_value), given_value
        # Read again, from the log on disk, in the other order, and by its blob.
        again = await client.get(run.run_id, include_results=True, order="byCompletion")
        assert again.results is not None
        assert {one.item_index: repr(one.value) for one in again.results} == {n: repr(v) for n, v in enumerate(FIXED)}
        for value in FIXED:
            assert same(await client.get_blob(await client.put_blob(value)), value)


@requirement("submit.param.inputs", "status.results")
async def test_however_a_value_is_written_it_means_the_same_after_the_way(tmp_path: Path) -> None:
    async with client_of(tmp_path) as (_, client):
        flow_id = await client.store_flow(one_step("/py/echo"))
        run = await client.run(flow_id, [RawJson(one) for one in RAW], max_concurrency=50)
        assert run.results is not None
        for raw, result in zip(RAW, run.results, strict=True):
            assert result.error is None, result.error
            assert same(result.value, json.loads(raw)), raw


@requirement("submit.param.inputs")
async def test_values_in_the_flow_itself_are_kept(tmp_path: Path) -> None:
    async with client_of(tmp_path) as (_, client):
        in_flow = [_nested(40) if value is FIXED[DEEPEST] else value for value in FIXED]  # a document adds levels of its own
        flow = {"steps": [{"id": "a", "component": "/py/echo", "input": {"$literal": in_flow}}], "output": {"$step": "a"}}
        run = await client.run(await client.store_flow(flow), [0])
        assert run.results is not None
        assert same(run.results[0].value, in_flow)


_TEXT: Final = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_VALUES: Final = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**40), 10**40) | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_TEXT, inner, max_size=4),
    max_leaves=12,
)


@requirement("submit.param.inputs", "status.results")
async def test_any_value_comes_back_the_same(tmp_path: Path) -> None:
    # The values are drawn first and sent as one run: a gateway per example would test the start of gateways.
    drawn: list[Any] = []

    @settings(max_examples=400, deadline=None, database=None)
    @given(_VALUES)
    def draw(value: Any) -> None:
        drawn.append(value)

    draw()
    async with client_of(tmp_path) as (_, client):
        run = await client.run(await client.store_flow(one_step("/py/echo")), drawn, max_concurrency=64)
        assert run.results is not None
        wrong = [value for value, result in zip(drawn, run.results, strict=True) if result.error or not same(result.value, value)]
        assert wrong == []
