"""Flows of built-ins, and what became of their items."""

from __future__ import annotations

import json
from typing import Any

from flowspan.view.fold import RunFold
from flowspan.view.status import ItemResult, ResultOrder
from tests.engine.house import House

ECHO: dict[str, Any] = {"name": "echo", "steps": [], "output": {"$input": "$"}}
"""A flow without components that answers with its input."""


def builtin(component: str, **step: Any) -> dict[str, Any]:
    """A flow of one built-in step that takes the item's input and gives the output."""
    return {
        "name": component,
        "steps": [{"id": "it", "component": f"/builtin/{component}", "input": {"$input": "$"}, **step}],
        "output": {"$step": "it"},
    }


def encoded(value: object) -> bytes:
    return json.dumps(value).encode()


async def run(h: House, document: dict[str, Any], *inputs: object, **options: Any) -> RunFold:
    """The whole run; inputs that are bytes are taken as they are."""
    texts = [one if isinstance(one, bytes) else encoded(one) for one in inputs]
    accepted = await h.submit(await h.flow(encoded(document)), texts, **options)
    return await h.follow(accepted.run_id)


def results(fold: RunFold) -> list[ItemResult]:
    """By index."""
    return list(fold.snapshot(order=ResultOrder.BY_INDEX).results or ())


async def call(h: House, component: str, given: object, **step: Any) -> ItemResult:
    """One item through one built-in."""
    [result] = results(await run(h, builtin(component, **step), given))
    return result


async def refused(h: House, component: str, given: object) -> str:
    """The message with which a built-in refuses an input: INVALID_INPUT, and never a second attempt."""
    retrying = builtin(component, onError={"action": "retry", "maxRetries": 3})
    fold = await run(h, retrying, given)
    [result] = results(fold)
    assert result.error is not None, result.payload
    assert result.error.code == "INVALID_INPUT", result.error
    events = [type(event).__name__ for segment in await h.log(fold.snapshot().description.run_id) for event in segment.events]
    assert "AttemptEnded" not in events
    return result.error.message
