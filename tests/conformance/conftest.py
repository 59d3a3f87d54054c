"""One runner per test process, and a loud word on SDKs whose toolchain is absent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from .runner import Runner
from .sdks import SDKS


@pytest.fixture(scope="session")
def runner() -> Iterator[Runner]:
    """Keeps its gateways and programs for all tests of this process."""
    runner = Runner()
    yield runner
    runner.close()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    absent = [f"{sdk.name} ({sdk.missing})" for sdk in SDKS if sdk.missing is not None]
    if absent:
        terminalreporter.write_line(f"conformance: WARNING: NOT RUN: {', '.join(absent)}", red=True)
