"""The flow that a built-in is to run: by id, or as a document in its input."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

import msgspec

from flowspan.errors import InvalidArgumentError
from runtime_core.api import RuntimeApi
from runtime_core.builtins.inputs import is_given
from runtime_core.model.ids import parse_blob_id

KNOWN_FLOWS: Final = 256
KNOWN_BYTES: Final = 16 << 20
"""Documents whose ids are remembered: as many as there are compiled flows in memory, and no more than two of the largest."""


@dataclass(frozen=True, slots=True)
class ChosenFlow:
    """Either is set. `document`: JSON of an object."""

    flow_id: str | None
    document: bytes | None


def choose_flow(**given: msgspec.Raw) -> ChosenFlow:
    """The one flow among the fields that may name it, by their names. A field `flow_id` holds an id, any other an id or a flow.

    Raises:
        InvalidArgumentError: none, several, or neither an id nor an object.
    """
    chosen = {field: raw for field, raw in given.items() if is_given(raw)}
    names = " or ".join(given)
    if len(chosen) != 1:
        what = f"both {' and '.join(chosen)} are given" if chosen else f"the field {names} is missing"
        raise InvalidArgumentError(f"{what}; give one flow: its id, or the document itself", field=next(iter(chosen or given)))
    [(field, raw)] = chosen.items()
    data = bytes(raw)
    if data[:1] == b'"':
        return ChosenFlow(parse_blob_id(msgspec.json.decode(data), field=field), None)
    if data[:1] == b"{" and field != "flow_id":
        return ChosenFlow(None, data)
    expected = "the id of a flow" if field == "flow_id" else "a flow or its id"
    raise InvalidArgumentError(f"{field} must be {expected}", field=field)


class FlowDocuments:
    """Flows given as documents: each is stored and named once, however many calls bring it."""

    def __init__(self, api: RuntimeApi) -> None:
        self._api = api
        self._ids: OrderedDict[tuple[str, bytes], str] = OrderedDict()
        self._bytes = 0
        self._storing: dict[tuple[str, bytes], asyncio.Future[None]] = {}

    async def flow_id(self, namespace: str, document: bytes) -> str:
        """The id of a document that is stored.

        Raises:
            FlowInvalidError: it does not compile; nothing is stored.
        """
        key = (namespace, document)
        while (storing := self._storing.get(key)) is not None:
            await asyncio.shield(storing)
        known = self._ids.get(key)
        if known is not None:
            self._ids.move_to_end(key)
            return known
        done = self._storing[key] = asyncio.get_running_loop().create_future()
        try:
            stored = await self._api.store_flow(document, namespace=namespace, is_yaml=False)
        finally:
            del self._storing[key]
            done.set_result(None)
        self._remember(key, stored.flow_id)
        return stored.flow_id

    def forget(self, namespace: str, document: bytes) -> None:
        """Its blob is not there any more."""
        if self._ids.pop((namespace, document), None) is not None:
            self._bytes -= len(document)

    def _remember(self, key: tuple[str, bytes], flow_id: str) -> None:
        self._ids[key] = flow_id
        self._bytes += len(key[1])
        while len(self._ids) > KNOWN_FLOWS or (self._bytes > KNOWN_BYTES and self._ids):
            (_, document), _ = self._ids.popitem(last=False)
            self._bytes -= len(document)
