"""Component paths to component servers, by the configuration's `routes`: the longest prefix that fits wins, then the order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flowspan.errors import FlowErrorCode
from flowspan.view.status import FlowError
from runtime_core.ports import ComponentServer, Route


@dataclass(frozen=True, slots=True)
class RouteEntry:
    """`prefix` with a leading slash, such as `/python`; `/` takes what nothing else takes."""

    prefix: str
    server: ComponentServer


class PrefixRouter:
    """`runtime_core.ports.ComponentRouter`. Prefixes end at a slash: `/py` does not take `/python/x`."""

    def __init__(self, routes: Sequence[RouteEntry]) -> None:
        by_prefix: dict[str, ComponentServer] = {}
        for route in routes:
            by_prefix.setdefault("/" + route.prefix.strip("/"), route.server)
        self._by_prefix = by_prefix
        self._depth = max((prefix.count("/") for prefix in by_prefix), default=0)

    @property
    def routes(self) -> Mapping[str, ComponentServer]:
        """Prefixes without a trailing slash (`/` itself apart) and their servers."""
        return self._by_prefix

    def resolve(self, path: str) -> Route | FlowError:
        """The server of `path`, and the path that is left for it: the prefix stripped, the leading slash kept."""
        names = path.strip("/").split("/")
        for depth in range(min(len(names), self._depth), 0, -1):
            server = self._by_prefix.get("/" + "/".join(names[:depth]))
            if server is not None:
                return Route(server, "/" + "/".join(names[depth:]))
        server = self._by_prefix.get("/")
        if server is not None:
            return Route(server, "/" + "/".join(names))
        known = ", ".join(sorted(self._by_prefix)) or "none"
        return FlowError(
            FlowErrorCode.COMPONENT_NOT_FOUND.value, f"no route leads to component {path!r}; the configured prefixes are: {known}"
        )
