"""The methods of a component server that execute nothing: handshake, list, ping."""

from __future__ import annotations

import logging
from typing import Any, Final

import msgspec

from flowspan import __version__
from flowspan.components.registry import Registry
from flowspan.errors import FlowspanError, NotFoundError, Reason
from flowspan.jsonrpc import method_not_found, printable

PROTOCOL_VERSION: Final = 1


class _InitializeParams(msgspec.Struct):
    runtimeProtocolVersion: int | None = None
    runtime_protocol_version: int | None = None
    protocolVersions: list[int] | None = None
    protocol_versions: list[int] | None = None
    capabilities: dict[str, Any] | None = None


class _InfoParams(msgspec.Struct):
    component: str


class ServerMethods:
    """Answers by method name.

    Attributes:
        initialized: whether the handshake was accepted.
        gateway_drains: whether the gateway replaces a process that says `$/drain`.
    """

    def __init__(self, registry: Registry, capacity: int) -> None:
        self.initialized = False
        self.gateway_drains = False
        self.log = logging.getLogger("flowspan.components")
        self._registry = registry
        self._capacity = capacity

    def answer(self, method: str, params: bytes) -> bytes:
        """The result as JSON.

        Raises:
            FlowspanError: METHOD_NOT_FOUND, NOT_INITIALIZED, COMPONENT_NOT_FOUND, or RESOURCE_UNAVAILABLE for other
                protocol versions.
            msgspec.DecodeError: the parameters are wrong.
        """
        if method == "initialize":
            return self._initialize(params)
        if method == "ping":
            return b"{}"
        if method == "shutdown":
            return b"{}"
        if method not in ("components/list", "components/info"):
            raise method_not_found(method)
        if not self.initialized:
            raise FlowspanError("initialize comes first", reason=Reason.NOT_INITIALIZED)
        if method == "components/list":
            return msgspec.json.encode({"components": [component.info() for component in self._registry.all()]})
        name = msgspec.json.decode(params, type=_InfoParams).component
        component = self._registry.by_name.get(name)
        if component is None:
            raise NotFoundError(
                f"there is no component {printable(name)!r} here; see components/list", reason=Reason.COMPONENT_NOT_FOUND
            )
        return msgspec.json.encode({"info": component.info()})

    def _initialize(self, params: bytes) -> bytes:
        asked = msgspec.json.decode(params, type=_InitializeParams)
        offered = [
            version
            for version in (
                asked.runtimeProtocolVersion,
                asked.runtime_protocol_version,
                *(asked.protocolVersions or ()),
                *(asked.protocol_versions or ()),
            )
            if version is not None
        ]
        if offered and PROTOCOL_VERSION not in offered:
            raise FlowspanError(
                f"the gateway speaks protocol versions {sorted(set(offered))}, this server speaks {PROTOCOL_VERSION}: "
                "update the older one",
                reason=Reason.RESOURCE_UNAVAILABLE,
                gatewayVersions=sorted(set(offered)),
                serverVersions=[PROTOCOL_VERSION],
            )
        self.initialized = True
        self.gateway_drains = (asked.capabilities or {}).get("drain") is True
        result: dict[str, Any] = {
            "serverProtocolVersion": PROTOCOL_VERSION,
            "server_protocol_version": PROTOCOL_VERSION,
            "serverInfo": {"name": "flowspan-python", "version": __version__},
            "capabilities": {
                "capacity": self._capacity,
                "cancelAck": True,
                "timeouts": True,
                "reentrant": True,
                "ping": True,
                "shutdown": True,
                "started": True,
                "progress": True,
                "watch": True,
                "derivesTokens": True,
                "bulk": True,
            },
        }
        return msgspec.json.encode(result)
