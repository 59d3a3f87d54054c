"""What is said before the first call: who the server is and what it offers. Pure: bytes in, values out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from flowspan.errors import FlowspanError, LimitExceededError, Reason
from flowspan.jsonrpc import Dialect, printable
from gateway.catalog import OfferedComponent

PROTOCOL_VERSION: Final = 1
MAX_COMPONENTS: Final = 10_000
"""More than any server offers; a longer list is refused rather than walked on every look-up of a name."""
MAX_CAPACITY: Final = 4_096
"""Executions at once in one process, whatever it declares."""
DEFAULT_CAPACITY: Final = 256
"""For servers that declare none."""

INITIALIZE_PARAMS: Final = (
    b'{"runtimeProtocolVersion":1,"runtime_protocol_version":1,"protocolVersions":[1],'
    b'"capabilities":{"cancel":true,"watch":true,"drain":true,"bulk":true}}'
)
"""Both spellings: servers of the older generation know only snake_case."""


class IncompatibleServerError(FlowspanError):
    """The server speaks another protocol version, or offers what cannot be used. A restart does not help."""

    default_reason = Reason.RESOURCE_UNAVAILABLE


class HandshakeError(FlowspanError):
    """The server did not answer the handshake in time, or refused it. Another try may help."""

    default_reason = Reason.TIMEOUT


@dataclass(frozen=True, slots=True)
class ServerDeclaration:
    """The answer to `initialize`.

    Attributes:
        dialect: told from the spelling of the answer, or forced.
        capacity: executions at once, if declared.
        reentrant: whether it takes calls while its own executions wait for sub-runs.
        timeouts: whether it keeps the time-outs of executions itself (it is sent `timeoutMs`).
        started: whether it tells which executions have begun.
        cancel_ack: whether it confirms `$/cancel`.
        ping, shutdown: whether it answers these requests.
        derives_tokens: whether it derives idempotency tokens itself, from the ids that it is sent.
        bulk: whether it takes `$/execute` and answers with `$/outputs`. Tokens are not sent in bulk: it has to derive them.
    """

    dialect: Dialect
    capacity: int | None = None
    reentrant: bool = True
    timeouts: bool = False
    started: bool = False
    cancel_ack: bool = False
    ping: bool = False
    shutdown: bool = False
    derives_tokens: bool = False
    bulk: bool = False

    @property
    def is_trusted_with_timeouts(self) -> bool:
        """Whether executions may wait in it without a deadline of the gateway's: only if a hang of theirs is bounded by its
        notices, and one of its own found by pings."""
        return self.timeouts and self.started and self.ping


@dataclass(frozen=True, slots=True)
class ServerKind:
    """All that requests to a server depend on. Equal kinds get equal lines.

    Attributes:
        components: by name with a leading slash; None if the server does not tell.
        duplicates: names that the server listed twice: disabled, since nobody can say which one is meant.
    """

    declaration: ServerDeclaration
    components: Mapping[str, OfferedComponent] | None
    duplicates: frozenset[str] = frozenset()

    def wire_name(self, path: str) -> str | FlowspanError:
        """The name that the server knows for `path`, or why it cannot be called."""
        if path in self.duplicates:
            return FlowspanError(
                f"component {path!r} is disabled: its server lists it more than once",
                reason=Reason.COMPONENT_NOT_FOUND,
                component=path,
            )
        if self.components is None:
            return path
        offered = self.components.get(path)
        if offered is not None:
            return offered.name
        if any("{" in name for name in self.components):
            # Names with placeholders: which paths they cover is the server's business.
            return path
        return FlowspanError(f"its server offers no component {path!r}", reason=Reason.COMPONENT_NOT_FOUND, component=path)


def read_initialize(result: bytes, forced_dialect: Dialect | None) -> ServerDeclaration:
    """Read the answer to `initialize`.

    Raises:
        IncompatibleServerError: no version, or another one than ours; both are in the message.
    """
    answer = _object(result, "initialize")
    camel, snake = answer.get("serverProtocolVersion"), answer.get("server_protocol_version")
    version = camel if camel is not None else snake
    if version != PROTOCOL_VERSION or isinstance(version, bool):
        said = "none" if version is None else printable(repr(version))
        raise IncompatibleServerError(
            f"the server speaks protocol version {said}, this gateway speaks {PROTOCOL_VERSION}; use a matching release",
            serverVersion=said,
            gatewayVersion=PROTOCOL_VERSION,
        )
    # Newer releases of the older SDKs spell the version as we do, but have a member that nobody else has.
    is_stepflow = camel is None or "supportsBlobRefs" in answer
    dialect: Dialect = forced_dialect or ("stepflow" if is_stepflow else "flowspan")
    found = answer.get("capabilities")
    capabilities: dict[str, Any] = found if isinstance(found, dict) else {}
    capacity = capabilities.get("capacity", answer.get("capacity"))
    if isinstance(capacity, bool) or not isinstance(capacity, int) or capacity < 1:
        capacity = None
    return ServerDeclaration(
        dialect,
        None if capacity is None else min(capacity, MAX_CAPACITY),
        reentrant=capabilities.get("reentrant", answer.get("reentrant")) is not False,
        timeouts=capabilities.get("timeouts") is True,
        started=capabilities.get("started") is True,
        cancel_ack=capabilities.get("cancelAck") is True,
        derives_tokens=capabilities.get("derivesTokens") is True,
        bulk=capabilities.get("bulk") is True and capabilities.get("derivesTokens") is True and dialect == "flowspan",
        ping=capabilities.get("ping") is True,
        shutdown=capabilities.get("shutdown") is True,
    )


def read_components(result: bytes) -> tuple[dict[str, OfferedComponent], frozenset[str]]:
    """Components by name with a leading slash, and the names that were listed twice.

    Raises:
        IncompatibleServerError: the answer is no list of components.
        LimitExceededError: it is longer than `MAX_COMPONENTS`.
    """
    listed = _object(result, "components/list").get("components")
    if not isinstance(listed, list):
        raise IncompatibleServerError("the answer to components/list has no list `components`")
    if len(listed) > MAX_COMPONENTS:
        raise LimitExceededError(
            f"the server lists {len(listed)} components, at most {MAX_COMPONENTS} are accepted",
            limit="components",
            max=MAX_COMPONENTS,
            actual=len(listed),
        )
    components: dict[str, OfferedComponent] = {}
    duplicates: set[str] = set()
    for entry in listed:
        offered = _component(entry)
        path = offered.name if offered.name.startswith("/") else "/" + offered.name
        if path in components:
            duplicates.add(path)
        components[path] = offered
    for path in duplicates:
        del components[path]
    return components, frozenset(duplicates)


def _component(entry: object) -> OfferedComponent:
    if isinstance(entry, str) and entry:
        return OfferedComponent(entry)
    if isinstance(entry, dict):
        name = entry.get("component") or entry.get("name")
        if isinstance(name, str):
            description = entry.get("description")
            return OfferedComponent(
                name,
                description if isinstance(description, str) else None,
                _schema(entry, "input_schema", "inputSchema"),
                _schema(entry, "output_schema", "outputSchema"),
            )
    raise IncompatibleServerError("an entry of components/list has no name")


def _schema(entry: dict[str, Any], *names: str) -> bytes | None:
    for name in names:
        if entry.get(name) is not None:
            return msgspec.json.encode(entry[name])
    return None


def _object(result: bytes, method: str) -> dict[str, Any]:
    try:
        decoded = msgspec.json.decode(result)
    except (ValueError, RecursionError) as error:
        raise IncompatibleServerError(f"the answer to {method} cannot be read: {error}") from None
    if not isinstance(decoded, dict):
        raise IncompatibleServerError(f"the answer to {method} is no object")
    return decoded
