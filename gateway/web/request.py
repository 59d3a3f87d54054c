"""A request to the JSON face: its parameters, checked, and what it is served with."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final, TypeVar

import msgspec

from flowspan.errors import FlowspanError, InvalidArgumentError
from flowspan.jsonrpc import Dialect, RequestId, check_payload
from gateway.catalog import ComponentCatalog
from gateway.grpc_server.call import Call
from gateway.grpc_server.handlers import Service
from gateway.grpc_server.submissions import Submissions
from gateway.grpc_server.watch_stream import WatchStreams
from gateway.methods.context import RequestLink, RequestOrigin
from gateway.methods.wire import FromExecution, Observability, camel_name, invalid_params, read_params
from gateway.web.exchange import JSON, Exchange
from gateway.web.limits import BODY_LIMITS, MAX_ANSWER_BYTES, MAX_BODY_BYTES
from runtime_core.api import RuntimeApi

ParamsT = TypeVar("ParamsT", bound=FromExecution)
QueryT = TypeVar("QueryT", bound=msgspec.Struct)

_MEMBERS: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_NOT_IN_QUERIES: Final = frozenset({"taskToken", "observability"})
"""Addresses end up in logs."""
_METADATA: Final = "metadata."
_ORDERS: Final = {"by_index": "byIndex", "by_completion": "byCompletion"}


@dataclass(frozen=True, slots=True)
class Faces:
    """What the web face serves.

    Attributes:
        is_serving: whether the gateway takes work.
        services: of the gRPC server; `streams`, `submissions`: its own, whose bounds hold for all wires together.
    """

    api: RuntimeApi
    catalog: ComponentCatalog
    services: Sequence[Service]
    streams: WatchStreams
    submissions: Submissions
    is_serving: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Answer:
    """The whole answer to a request."""

    body: bytes
    status: int = 200
    content_type: str = JSON
    headers: Sequence[tuple[str, str]] = field(default=())


@dataclass(frozen=True, slots=True)
class WebRequest:
    """One request. `arguments`: parameters in its path, by name."""

    exchange: Exchange
    call: Call
    faces: Faces
    arguments: dict[str, str]

    @property
    def api(self) -> RuntimeApi:
        return self.faces.api

    @property
    def context(self) -> WebContext:
        """For the handlers that serve component servers, too."""
        return WebContext(self.call, self.faces.streams)

    async def members(self, model: type[ParamsT]) -> ParamsT:
        """The JSON object in the body, with the path's parameters, as `model`. An empty body is `{}`.

        Raises:
            FlowspanError: PARSE_ERROR: it is not JSON.
            InvalidArgumentError: it is no such object; `field` names the member.
            LimitExceededError: it is too large, too deep or too wide.
        """
        body = await self.exchange.body(MAX_BODY_BYTES) or b"{}"
        check_payload(body, BODY_LIMITS)
        try:
            members = _MEMBERS.decode(body)
        except msgspec.ValidationError:
            raise InvalidArgumentError("the body must be a JSON object", field="body") from None
        if self.arguments:
            members.update({name: msgspec.Raw(msgspec.json.encode(text)) for name, text in self.arguments.items()})
            body = msgspec.json.encode(members)
        params = read_params(model, body)
        if self.call.traceparent is not None and params.observability is None:
            params.observability = Observability(traceparent=self.call.traceparent)
        return params

    def parameters(self, model: type[QueryT]) -> QueryT:
        """The query, with the path's parameters, as `model`. Unknown names are ignored; camelCase and snake_case are read;
        a list is repeated or joined by commas.

        Raises:
            InvalidArgumentError: one is of the wrong type or out of range; `field` names it.
        """
        lists = {one.encode_name for one in msgspec.structs.fields(model) if one.default_factory is list}
        values: dict[str, object] = dict(self.arguments)
        labels: dict[str, str] = {}
        for name, text in self.exchange.query():
            if name.startswith(_METADATA):
                labels[name.removeprefix(_METADATA)] = text
                continue
            camel = camel_name(name)
            if camel in lists:
                known = values.setdefault(camel, [])
                assert isinstance(known, list)
                known += [part for part in text.split(",") if part]
            elif camel not in _NOT_IN_QUERIES and camel not in self.arguments:
                values[camel] = _ORDERS.get(text, text) if camel == "resultOrder" else text
        if labels:
            values["metadata"] = labels
        try:
            return msgspec.convert(values, model, strict=False)
        except msgspec.ValidationError as error:
            raise invalid_params(error) from None

    def accepts(self, content_type: str) -> bool:
        """Whether the caller would rather have this type than JSON."""
        return content_type in self.exchange.headers.get("accept", "").lower()


class WebContext:
    """A `RequestContext` of `gateway.methods`: a caller that is no component server, on an answer of bounded size."""

    def __init__(self, call: Call, streams: WatchStreams) -> None:
        self._call: Final = call
        self._streams: Final = streams

    @property
    def request_id(self) -> RequestId:
        return 0

    @property
    def dialect(self) -> Dialect:
        return "flowspan"

    @property
    def max_answer_bytes(self) -> int:
        return MAX_ANSWER_BYTES

    def link(self, origin: RequestOrigin) -> RequestLink:
        """The core decides what a task token is worth."""
        return RequestLink(self._call.namespace, origin.task_token or self._call.task_token)

    @contextmanager
    def waiting(self, link: RequestLink) -> Iterator[None]:
        """A wait counts as a stream of events, which it is."""
        with self._streams.holding():
            yield

    def notify(self, method: str, params: bytes) -> None:
        raise FlowspanError("an answer over HTTP has no notifications")

    async def wait_writable(self) -> None:
        return None
