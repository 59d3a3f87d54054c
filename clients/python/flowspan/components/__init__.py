"""Component servers: functions that a gateway calls, in a process of their own."""

from flowspan.components.context import BlockingContext, ComponentContext
from flowspan.components.failures import ComponentError
from flowspan.components.server import ComponentServer
from flowspan.components.watch import RunWatch

__all__ = ["BlockingContext", "ComponentContext", "ComponentError", "ComponentServer", "RunWatch"]
