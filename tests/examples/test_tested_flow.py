"""`examples/tested_flow` through `flowspan test`."""

from __future__ import annotations

from tests.examples.commands import EXAMPLES, command, execute


def test_the_flow_with_tests_passes_them() -> None:
    done = execute(command("flowspan"), "test", "tested_flow", "--json", "-q", directory=EXAMPLES)
    assert (done.json["passed"], done.json["failed"], done.json["errors"]) == (3, 0, 0)
