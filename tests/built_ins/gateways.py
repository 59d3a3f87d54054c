"""A real embedded gateway, made from the text of a configuration as `flowspan run` makes it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from flowspan.view.status import ItemResult, ResultOrder
from gateway.app import open_gateway
from gateway.assembly import assemble
from gateway.config import load_config
from tests.built_ins.flows import builtin, encoded
from tests.e2e.house import House


@asynccontextmanager
async def configured(directory: Path, text: str, **environment: str) -> AsyncIterator[House]:
    """The configuration is written to `directory`, from which its paths are seen."""
    path = directory / "flowspan.yml"
    path.write_text(text)
    loaded = load_config(path, environment=environment)
    gateway = await open_gateway(assemble(loaded.config, store=None, name=str(path)))
    try:
        yield House(gateway)
    finally:
        await gateway.stop(grace_s=0.0)


async def item(h: House, document: dict[str, Any], given: object) -> ItemResult:
    """One item through a flow. Inputs that are bytes are taken as they are."""
    fold = await h.run(document, [given if isinstance(given, bytes) else encoded(given)])
    [result] = fold.snapshot(order=ResultOrder.BY_INDEX).results or ()
    return result


async def call(h: House, component: str, given: object, **step: Any) -> ItemResult:
    """One item through one built-in."""
    return await item(h, builtin(component, **step), given)


async def refused(h: House, component: str, given: object) -> str:
    """The message of an INVALID_INPUT."""
    result = await call(h, component, given)
    assert result.error is not None, result.payload
    assert result.error.code == "INVALID_INPUT", result.error
    return result.error.message
