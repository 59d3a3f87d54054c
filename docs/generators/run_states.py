"""run-states.md: the table and the diagram of `runtime_core.model.machine.RUN_MOVES`."""

from __future__ import annotations

from flowspan.view.events import RunStatusCode
from runtime_core.model.machine import RUN_MOVES

_CAUSES = {
    (RunStatusCode.PENDING, RunStatusCode.RUNNING): "first items start",
    (RunStatusCode.PENDING, RunStatusCode.SUCCESS): "no items",
    (RunStatusCode.PENDING, RunStatusCode.CANCELLED): "cancelled before an item started",
    (RunStatusCode.RUNNING, RunStatusCode.SUCCESS): "all ended, none failed",
    (RunStatusCode.RUNNING, RunStatusCode.FAILED): "all ended, one or more failed",
    (RunStatusCode.RUNNING, RunStatusCode.CANCELLED): "cancelled, what had started has ended",
}


def diagram() -> str:
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {RunStatusCode.PENDING.wire_name}: submit is durable"]
    for source, targets in RUN_MOVES.items():
        lines += [f"    {source.wire_name} --> {target.wire_name}: {_CAUSES[source, target]}" for target in sorted(targets)]
        if not targets:
            lines.append(f"    {source.wire_name} --> [*]")
    return "\n".join([*lines, "```"])


def table() -> str:
    lines = ["| From | To |", "|---|---|"]
    for source, targets in RUN_MOVES.items():
        listed = ", ".join(f"`{target.wire_name}` ({_CAUSES[source, target]})" for target in sorted(targets))
        lines.append(f"| `{source.wire_name}` | {listed or 'nothing: final'} |")
    return "\n".join(lines)


SECTIONS = {"diagram": diagram, "moves": table}
