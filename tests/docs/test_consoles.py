"""What pages show of a terminal is what the terminal shows."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, blocks_of, name_of
from tests.docs.shell import PageShell, fits

WITH_CONSOLES = [page for page in PAGES if any(block.language == "console" for block in blocks_of(page))]


def test_there_are_such_pages() -> None:
    assert len(WITH_CONSOLES) >= 2


@pytest.mark.timeout(120)
@pytest.mark.parametrize("page", WITH_CONSOLES, ids=name_of)
def test_the_commands_of_a_page_say_what_it_shows(page: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    # Short: the path of a unix socket below it is bounded.
    shell = PageShell(tmp_path_factory.mktemp("d"))
    blocks = blocks_of(page)
    for block in blocks:
        if block.file is not None:
            (shell.directory / block.file).write_text(block.text, encoding="utf-8")
    with ExitStack() as resources:
        is_served = False
        for block in blocks:
            if block.language != "console":
                continue
            if "served" in block.words and not is_served:
                resources.enter_context(shell.gateway())
                is_served = True
            for step in block.text.split("\n$ "):
                command, _, shown = step.removeprefix("$ ").partition("\n")
                said = shell.run(command)
                assert fits(shown, said), f"{block}: $ {command}\nshown:\n{shown}\nsaid:\n{said}"
