"""Components that say that their step is skipped, as SDKs of the stepflow dialect do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from flowspan.view.events import Outcome
from tests.e2e.house import one_step, raw_peer_house

FLOW: dict[str, Any] = {
    **one_step("/raw/work"),
    "output": {"$coalesce": [{"$step": "a"}, "instead"]},
}


@pytest.mark.parametrize(
    ("dialect", "output", "outcome", "payload"),
    [
        ("stepflow", {"outcome": "skipped"}, Outcome.SKIPPED, {}),
        ("stepflow", {"outcome": "skipped", "reason": "nothing to do"}, Outcome.SKIPPED, {"reason": "nothing to do"}),
        ("stepflow", {"outcome": "skipped", "more": 1}, Outcome.SUCCESS, {"outcome": "skipped", "more": 1}),
        ("stepflow", {"outcome": "success"}, Outcome.SUCCESS, {"outcome": "success"}),
        ("flowspan", {"outcome": "skipped"}, Outcome.SUCCESS, {"outcome": "skipped"}),
    ],
)
async def test_a_step_is_skipped_where_the_dialect_says_so(
    tmp_path: Path, dialect: str, output: Any, outcome: Outcome, payload: Any
) -> None:
    async with raw_peer_house(tmp_path, dialect=dialect) as (house, peer):
        await peer.handshake()
        plain = await house.submit(await house.flow(one_step("/raw/work")), [b"1"])
        caught = await house.submit(await house.flow(FLOW), [b"2"])
        for _ in range(2):
            request = await peer.expect(method="components/execute")
            await peer.send_message({"jsonrpc": "2.0", "id": request["id"], "result": {"output": output}})
        (result,) = (await house.follow(plain.run_id)).results
        assert (result.outcome, json.loads(result.payload)) == (outcome, payload)
        (instead,) = (await house.follow(caught.run_id)).results
        assert json.loads(instead.payload) == ("instead" if outcome is Outcome.SKIPPED else payload)
