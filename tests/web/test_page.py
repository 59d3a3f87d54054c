"""docs/web.md does what it says: its commands are run as they stand, by curl, against a gateway."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

from tests.docs.pages import ROOT, blocks_of
from tests.web.house import WAIT_S, web_house

CURL = shutil.which("curl")
NODE = shutil.which("node")
COMMANDS = [block.text for block in blocks_of(ROOT / "docs" / "web.md") if block.language == "sh"]

READER = next(block.text for block in blocks_of(ROOT / "docs" / "web.md") if block.language == "js")

_FOLLOWS = """
// The network is cut twice: within an event, wherever that is.
let cuts = 0;
const untouched = globalThis.fetch;
globalThis.fetch = async (...request) => {
  const response = await untouched(...request);
  if (cuts === 2) return response;
  cuts += 1;
  let left = 10_001;
  const cut = new TransformStream({
    transform(part, controller) {
      controller.enqueue(part.subarray(0, left));
      left -= part.length;
      if (left <= 0) controller.error(new Error("cut"));
    },
  });
  return new Response(response.body.pipeThrough(cut), { status: response.status });
};
const seen = [];
let status = "";
for await (const { event, data } of events(...process.argv.slice(2))) {
  if (event === "result") seen.push(data.itemIndex);
  if (event === "status") status = data.status;
}
console.log(JSON.stringify({ seen: seen.sort((one, other) => one - other), status, cuts }));
"""


async def run_page(house_url: str, directory: Path) -> list[str]:
    """What each block prints. The shell is the same for all; a request that is refused ends it."""
    mark = "--- next ---"
    script = f"\nprintf '\\n{mark}\\n'\n".join(COMMANDS).replace("curl --silent", "curl --fail-with-body --silent")
    shell = await asyncio.create_subprocess_exec(
        "bash",
        "-euo",
        "pipefail",
        "-c",
        script,
        cwd=directory,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "WEB": house_url, "TOKEN": "a token of some length", "NO_PROXY": "*"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(2 * WAIT_S):
        out, errors = await shell.communicate()
    assert shell.returncode == 0, (out, errors)
    return out.decode().split(f"\n{mark}\n")


def test_the_page_has_commands_for_every_kind_of_thing() -> None:
    text = "".join(COMMANDS)
    assert all(f"/v1/{name}" in text for name in ("runs", "flows", "blobs", "components"))


if CURL is not None:

    async def test_the_commands_of_the_page_do_what_it_says_with_curl(tmp_path: Path) -> None:
        async with web_house(tmp_path) as house:
            _, stored, waited, exact, followed, paged, blobs, components = await run_page(house.url, tmp_path)
        assert json.loads(stored)["flowName"] == "double"
        run = json.loads(waited)
        assert run["status"] == "success" and [one["result"]["value"]["n"] for one in run["results"]] == [1, 2]
        assert '"n":9007199254740993' in exact
        whole, _, rest = followed.partition("event: status")
        assert "event: result" in whole and rest.count("event: status") == 1
        assert '"items":[' in paged and '"runs":[' in paged and '"unconfirmed"' in paged
        assert blobs.count('"blobId":"sha256:') == 2
        assert '"plugins":[' in components and '"/builtin/eval"' in components


if NODE is not None:

    async def test_the_reader_of_events_on_the_page_goes_on_where_it_was_cut_with_node(tmp_path: Path) -> None:
        assert NODE is not None
        script = tmp_path / "page.mjs"
        script.write_text(READER + _FOLLOWS)
        async with web_house(tmp_path) as house:
            flow_id = await house.store()
            run = await house.submitted(flow_id, [{"n": n} for n in range(500)])
            child = await asyncio.create_subprocess_exec(
                NODE, str(script), house.url, "a token of some length", run["runId"], stdout=asyncio.subprocess.PIPE
            )
            async with asyncio.timeout(2 * WAIT_S):
                out, _ = await child.communicate()
        assert json.loads(out) == {"seen": list(range(500)), "status": "success", "cuts": 2}
