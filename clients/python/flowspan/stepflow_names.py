"""The names that the page on run methods and existing component servers use, for what Flowspan calls otherwise."""

from flowspan.components import ComponentContext as StepflowContext
from flowspan.components import ComponentError as StepflowComponentError
from flowspan.components import ComponentServer as StepflowServer
from flowspan.components import ComponentServer as StepflowStdioServer

__all__ = ["StepflowComponentError", "StepflowContext", "StepflowServer", "StepflowStdioServer"]
