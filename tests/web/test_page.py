"""docs/web.md does what it says: its commands are run as they stand, by curl, against a gateway."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path

from tests.docs.pages import ROOT, blocks_of
from tests.web.house import WAIT_S, web_house

CURL = shutil.which("curl")
COMMANDS = [block.text for block in blocks_of(ROOT / "docs" / "web.md") if block.language == "sh"]


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
