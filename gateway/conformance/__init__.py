"""Checks of component servers on their pipes, for authors of any: `flowspan conformance -- COMMAND`.

Each check is one sentence of docs/protocol/stdio.md, put to the program itself: no gateway, no flow and no component of a
certain name is needed.
"""

from __future__ import annotations

from gateway.conformance.checking import CheckResult, Probe, State, check_server

__all__ = ["CheckResult", "Probe", "State", "check_server"]
