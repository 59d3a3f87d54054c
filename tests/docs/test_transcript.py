"""The transcript of protocol/stdio.md, played against a real gateway: the test writes the server's lines, and reads its."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from flowspan.view.events import Outcome
from tests.docs.pages import ROOT, blocks_of
from tests.e2e.house import RawPeer, one_step, raw_peer_house

PAGE = ROOT / "docs" / "protocol" / "stdio.md"
VARYING = re.compile(
    r"[0-9a-f]{8}-[0-9a-f-]{27}|sha256:[0-9a-f]{64}|[0-9a-f]{32}|[0-9a-f]{16}|[a-z2-7]{26}|20\d\d-\d\d-\d\dT[\d:.]+Z|^[0-9a-f]{6}$"
)
"""What differs from run to run: ids, hashes, trace ids, spans, tokens, times. One text stands for one text throughout."""


class Player:
    """Reads the page's lines beside the real ones and remembers which real value stands for which printed one."""

    def __init__(self, peer: RawPeer, lines: list[str]) -> None:
        self._peer = peer
        self._lines = lines
        self._real: dict[str, str] = {}

    async def play(self, count: int) -> None:
        for line in self._lines[:count]:
            direction, message = line[0], line[1:].strip()
            if direction == "←":
                await self._peer.send(VARYING.sub(lambda match: self._real.get(match[0], match[0]), message).encode() + b"\n")
            else:
                self._compare(json.loads(message), await self._peer.receive(), "")
        del self._lines[:count]

    @property
    def left(self) -> int:
        return len(self._lines)

    def _compare(self, printed: Any, real: Any, place: str) -> None:
        if isinstance(printed, dict):
            assert isinstance(real, dict) and list(printed) == list(real), (place, printed, real)
            for key, value in printed.items():
                self._compare(value, real[key], f"{place}/{key}")
        elif isinstance(printed, list):
            assert isinstance(real, list) and len(printed) == len(real), (place, printed, real)
            for index, value in enumerate(printed):
                self._compare(value, real[index], f"{place}/{index}")
        elif isinstance(printed, str) and VARYING.search(printed):
            assert VARYING.sub("…", printed) == VARYING.sub("…", real), (place, printed, real)
            for shown, value in zip(VARYING.findall(printed), VARYING.findall(real), strict=True):
                is_time = shown.endswith("Z")
                assert is_time or self._real.setdefault(shown, value) == value, (place, shown, value)
        else:
            assert (type(printed), printed) == (type(real), real), (place, printed, real)


async def test_a_real_gateway_says_what_the_transcript_shows(tmp_path: Path) -> None:
    handshake, execution, cancelled = (
        block.text.strip().splitlines() for block in blocks_of(PAGE) if "transcript" in block.words
    )
    async with raw_peer_house(tmp_path, name="words") as (h, peer):
        player = Player(peer, [*handshake, *execution, *cancelled])
        await player.play(len(handshake))
        flow_id = await h.flow({**one_step("/words/count_all", id="all"), "name": "all", "output": {"$step": "all"}})
        run = await h.submit(flow_id, [b'["to be",""]'])
        await player.play(len(execution))
        fold = await h.follow(run.run_id)
        assert fold.results[0].value == 2

        run = await h.submit(flow_id, [b'["again"]'])
        await player.play(1)
        await h.api.cancel_run(run.run_id)
        await player.play(player.left)
        fold = await h.follow(run.run_id)
        assert fold.results[0].outcome is Outcome.CANCELLED


async def test_a_real_gateway_executes_in_bulk_as_the_page_shows(tmp_path: Path) -> None:
    (block,) = (block for block in blocks_of(PAGE) if "bulk" in block.words)
    async with raw_peer_house(tmp_path, name="words") as (h, peer):
        await peer.handshake({"capacity": 4, "derivesTokens": True, "bulk": True}, ("/count",))
        player = Player(peer, block.text.strip().splitlines())
        flow_id = await h.flow({**one_step("/words/count", id="one"), "name": "one", "output": {"$step": "one"}})
        run = await h.submit(flow_id, [b'"to be"', b'""', b'"or not to be"'])
        await player.play(player.left)
        fold = await h.follow(run.run_id)
    assert [(result.outcome, result.value) for result in sorted(fold.results, key=lambda result: result.item_index)] == [
        (Outcome.SUCCESS, 2), (Outcome.FAILED, None), (Outcome.SUCCESS, 4),
    ]  # fmt: skip
