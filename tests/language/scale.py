"""How long a large flow takes from its bytes to a plan: `python -m tests.language.scale` prints medians in milliseconds."""

from __future__ import annotations

import gc
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any, Final

from gateway.cli import GARBAGE_THRESHOLDS
from runtime_core.flow.diagnostics import DiagnosticLog
from runtime_core.flow.parse import check_flow
from runtime_core.flow.plan import compile_flow
from runtime_core.flow.source import parse_flow, read_document
from runtime_core.flow.types.check import check_types

SIZES: Final = (1_000, 2_000, 4_000, 8_000)
FAN_IN: Final = 10
"""Steps of the wide part that one step of the deep part refers to."""


def large_flow(steps: int) -> dict[str, Any]:
    """Half of the steps read the input and nothing else; the others are a chain, each with ten of these and a branch."""
    wide = steps // 2
    listed: list[dict[str, Any]] = []
    for n in range(wide):
        listed.append({
            "id": f"wide_{n}",
            "component": "/builtin/noop",
            "input": {"row": {"$input": f"$.rows[{n}].name"}, "limit": n, "tags": ["a", "b"], "on": {"$variable": "region"}},
        })  # fmt: skip
    for n in range(steps - wide):
        before = {"$step": f"deep_{n - 1}", "path": "$.total"} if n else {"$input": "$.start"}
        listed.append({
            "id": f"deep_{n}",
            "component": "/builtin/noop",
            "input": {
                "total": before,
                "parts": [{"$step": f"wide_{(n + k) % wide}", "path": "$.row"} for k in range(FAN_IN)],
                "choice": {
                    "$if": {"$step": f"wide_{n % wide}"},
                    "then": {"$coalesce": [before, 0]},
                    "else": {"$literal": {"n": n}},
                },
            },
            "onError": {"action": "retry", "maxRetries": 2},
            "timeout": "30s",
        })  # fmt: skip
    last = f"deep_{steps - wide - 1}"
    return {
        "name": "large",
        "description": f"{steps} steps, a wide and a deep part",
        "schemas": {
            "properties": {
                "input": {"type": "object", "properties": {"rows": {"type": "array"}, "start": {"type": "integer"}}},
                "variables": {"properties": {"region": {"type": "string", "default": "eu"}}},
            }
        },
        "steps": listed,
        "output": {"last": {"$step": last}, "all": [{"$step": f"wide_{n}", "path": "$.limit"} for n in range(wide)]},
    }


def as_yaml(flow: dict[str, Any]) -> bytes:
    """Block style, as people write it."""
    import yaml

    return yaml.dump(flow, Dumper=yaml.CSafeDumper, sort_keys=False).encode()


def plan(data: bytes) -> None:
    """What `FlowService` and the first submit do: read, check, compile."""
    parsed = parse_flow(data)
    assert parsed.flow is not None
    assert compile_flow(parsed.flow).output is not None


def median_ms(work: Callable[[], object], repetitions: int) -> float:
    """Of the process's CPU time, so that a busy machine counts less."""
    spent: list[float] = []
    for _ in range(repetitions):
        gc.collect()
        started = time.process_time()
        work()
        spent.append(time.process_time() - started)
    return statistics.median(spent) * 1000


def figures(steps: int, repetitions: int) -> dict[str, float]:
    """Milliseconds by part, and the document's size in KiB."""
    document = large_flow(steps)
    data = json.dumps(document).encode()
    text = as_yaml(document)
    checked = check_flow(document)
    flow = checked.flow
    assert flow is not None, checked.diagnostics
    return {
        "KiB": len(data) / 1024,
        "read JSON": median_ms(lambda: read_document(data), repetitions),
        "check": median_ms(lambda: check_flow(document), repetitions),
        "compile": median_ms(lambda: compile_flow(flow), repetitions),
        "JSON to plan": median_ms(lambda: plan(data), repetitions),
        "types": median_ms(lambda: check_types(flow, DiagnosticLog()), repetitions),
        "read YAML": median_ms(lambda: read_document(text), repetitions),
        "YAML to plan": median_ms(lambda: plan(text), repetitions),
    }


def main() -> None:
    gc.set_threshold(*GARBAGE_THRESHOLDS)  # as the command has it; a gateway's are alike
    repetitions = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    for steps in SIZES:
        found = figures(steps, repetitions)
        if steps == SIZES[0]:
            print("steps".rjust(7), *(name.rjust(13) for name in found))
        print(f"{steps:7d}", *(f"{value:13.1f}" for value in found.values()))


if __name__ == "__main__":
    main()
