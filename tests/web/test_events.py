"""Server-sent events: every result once, whatever is cut, and nothing behind the end."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.web import events, limits
from tests.web.house import HOLD, all_events, events_of, holding_plugin, raw_caller, web_house

ITEMS = 400


async def test_results_come_with_their_cursors_and_the_status_comes_last(tmp_path: Path) -> None:
    async with web_house(tmp_path) as house:
        flow_id = await house.store()
        run = await house.submitted(flow_id, [{"n": n} for n in range(50)])
        seen = await all_events(house, run["runId"])
        assert [event.name for event in seen] == ["result"] * 50 + ["status"]
        assert sorted(event.data["itemIndex"] for event in seen[:-1]) == list(range(50))
        ids = [event.id for event in seen]
        assert ids == sorted(set(ids))
        status = (await house.ask("GET", f"/v1/runs/{run['runId']}")).json()
        assert seen[-1].data == status and seen[-1].id == status["asOfSeq"]
        whole = (await house.ask("GET", f"/v1/runs/{run['runId']}?includeResults=true&resultOrder=byCompletion")).json()
        assert [event.data for event in seen[:-1]] == whole["results"]


async def test_a_stream_that_is_cut_at_random_goes_on_without_gap_or_repetition(tmp_path: Path) -> None:
    dice = random.Random(7)
    async with web_house(tmp_path, holding_plugin(tmp_path)) as house:
        flow_id = await house.store(HOLD)
        run = await house.submitted(flow_id, [0.001] * ITEMS, maxConcurrency=4)
        seen: list[int] = []
        last_id, cuts, names = 0, 0, []
        async with asyncio.timeout(50):
            while "status" not in names:
                # These very bytes, cut within an event as well as between two.
                async with raw_caller(house) as caller:
                    await caller.send(
                        f"GET /v1/runs/{run['runId']}/events HTTP/1.1\r\nHost: localhost\r\nLast-Event-ID: {last_id}\r\n"
                        "Authorization: Bearer a token of some length\r\n\r\n".encode()
                    )
                    wanted, data = dice.randrange(200, 6_000), b""
                    while len(data) < wanted and b"event: status" not in data:
                        part = await caller.reader.read(dice.randrange(1, 700))
                        if not part:
                            break
                        data += part
                    cuts += 1
                for block in _body(data).decode().split("\n\n")[:-1]:
                    fields = dict(line.split(": ", 1) for line in block.split("\n"))
                    if fields.get("event") == "result":
                        last_id = int(fields["id"])
                        seen.append(last_id)
                    names.append(fields.get("event", ""))
                if b"event: status" in data:
                    break
        rest = await all_events(house, run["runId"], headers={"last-event-id": str(last_id)})
        ids = [*seen, *(event.id for event in rest if event.name == "result")]
        whole = await all_events(house, run["runId"])
        assert ids == [event.id for event in whole if event.name == "result"]
        assert len(ids) == ITEMS and cuts > 5


def _body(data: bytes) -> bytes:
    """What a cut answer in chunks holds of its body."""
    _, _, rest = data.partition(b"\r\n\r\n")
    body = b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        try:
            length = int(size, 16)
        except ValueError:
            break
        body += rest[:length]
        rest = rest[length + 2 :]
    return body


async def test_behind_the_last_event_there_is_nothing_and_browsers_stop_asking(tmp_path: Path) -> None:
    async with web_house(tmp_path) as house:
        run = await house.submitted(await house.store(), [{"n": 1}], wait=True)
        path = f"/v1/runs/{run['runId']}/events"
        assert (await house.ask("GET", path, headers={"last-event-id": str(run["asOfSeq"])})).status_code == 204
        assert (await house.ask("GET", f"{path}?afterSeq={run['asOfSeq']}")).status_code == 204
        beyond = await house.ask("GET", f"{path}?afterSeq={run['asOfSeq'] + 1}")
        assert (beyond.status_code, beyond.json()["error"]["data"]["reason"]) == (400, "INVALID_ARGUMENT")
        nonsense = await house.ask("GET", path, headers={"last-event-id": "-1"})
        assert (nonsense.status_code, nonsense.json()["error"]["data"]["field"]) == (400, "afterSeq")


async def test_a_quiet_stream_shows_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_S", 0.02)
    async with web_house(tmp_path, holding_plugin(tmp_path)) as house:
        run = await house.submitted(await house.store(HOLD), [60])
        async with asyncio.timeout(10), house.client.stream("GET", f"/v1/runs/{run['runId']}/events") as answer:
            text = ""
            async for part in answer.aiter_text():
                text += part
                if text.count(": alive\n\n") >= 3:
                    break
            assert text.startswith("retry: 1000\n\n")
        await house.ask("POST", f"/v1/runs/{run['runId']}/cancel")


async def test_a_reader_that_does_not_read_is_let_go_and_costs_no_more_than_one_piece(tmp_path: Path) -> None:
    async with web_house(tmp_path) as house:
        run = await house.submitted(await house.store(), [{"n": "x" * 400_000} for _ in range(30)], wait=True)
        server = house.gateway._server
        assert server is not None
        server.streams._deadlines.timeout_s = 0.5  # type: ignore[misc]
        async with raw_caller(house) as caller:
            await caller.send(
                f"GET /v1/runs/{run['runId']}/events HTTP/1.1\r\nHost: localhost\r\n"
                "Authorization: Bearer a token of some length\r\n\r\n".encode()
            )
            await _until(lambda: server.streams.open_streams == 1)
            await _until(lambda: server.statistics().writing_bytes > 0)
            assert server.statistics().writing_bytes < 4 * limits.EVENT_BYTES
            await _until(lambda: server.streams.open_streams == 0)
        assert server.statistics().writing_bytes == server.statistics().stalled_bytes == 0


async def test_a_gateway_that_stops_ends_streams_with_a_word_and_without_moving_the_cursor(tmp_path: Path) -> None:
    async with web_house(tmp_path, holding_plugin(tmp_path)) as house:
        run = await house.submitted(await house.store(HOLD), [0, 60], maxConcurrency=2)
        async with asyncio.timeout(20), house.client.stream("GET", f"/v1/runs/{run['runId']}/events") as answer:
            stream = events_of(answer)
            first = await anext(stream)
            assert first.name == "result"
            stopping = asyncio.create_task(house.gateway.stop(grace_s=0.0))
            rest = [event async for event in stream]
            await stopping
        assert [(event.name, event.id) for event in rest] == [("failure", None)]
        assert rest[0].data["error"]["data"]["reason"] == "UNAVAILABLE"


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():
            await asyncio.sleep(0)
