"""What a running engine can say of components when a flow is stored: whether a route leads to them."""

from __future__ import annotations

from flowspan.view.status import FlowError
from runtime_core.flow.types.components import UNKNOWN_COMPONENT, Knowledge, NoRoute
from runtime_core.ports import ComponentRouter


class RoutedComponents:
    """Implements `runtime_core.flow.types.components.KnownComponents`. Plugins come and go, so what they offer is not asked."""

    def __init__(self, router: ComponentRouter) -> None:
        self._router = router

    def look_up(self, path: str) -> Knowledge:
        """Whether there is a route."""
        found = self._router.resolve(path)
        return NoRoute(found.message) if isinstance(found, FlowError) else UNKNOWN_COMPONENT
