"""The raw peer itself works: a run through a server that the test plays byte by byte."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.house import one_step, raw_peer_house


async def test_a_run_through_a_server_played_by_the_test(tmp_path: Path) -> None:
    async with raw_peer_house(tmp_path) as (h, peer):
        await peer.handshake()
        run = await h.submit(await h.flow(one_step("/raw/work")), [b'{"n":1}'])
        request = await peer.expect(method="components/execute")
        assert request["params"]["component"] == "/work"
        assert request["params"]["input"] == {"n": 1}
        await peer.send_message({"jsonrpc": "2.0", "id": request["id"], "result": {"output": {"n": 2}}})
        fold = await h.follow(run.run_id)
        assert fold.results[0].value == {"n": 2}
