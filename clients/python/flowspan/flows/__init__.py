"""The flow language on the author's side: paths, and building flows in Python (docs/flow-builder).

Names are loaded on first use: the gateway takes the grammars from here and never builds a flow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from flowspan.flows.builder import FlowBuilder as FlowBuilder
    from flowspan.flows.expressions import Expression as Expression
    from flowspan.flows.expressions import InputHandle as InputHandle
    from flowspan.flows.expressions import StepHandle as StepHandle
    from flowspan.flows.expressions import VariableHandle as VariableHandle
    from flowspan.flows.expressions import coalesce as coalesce
    from flowspan.flows.expressions import if_ as if_
    from flowspan.flows.expressions import literal as literal
    from flowspan.flows.policies import Backoff as Backoff
    from flowspan.flows.policies import OnError as OnError
    from flowspan.flows.policies import Retry as Retry
    from flowspan.flows.policies import on_error as on_error
    from flowspan.flows.policies import retry as retry

_HOMES: Final = {
    "FlowBuilder": "builder",
    "Expression": "expressions",
    "InputHandle": "expressions",
    "StepHandle": "expressions",
    "VariableHandle": "expressions",
    "coalesce": "expressions",
    "if_": "expressions",
    "literal": "expressions",
    "Backoff": "policies",
    "OnError": "policies",
    "Retry": "policies",
    "on_error": "policies",
    "retry": "policies",
}

__all__ = [
    "Backoff",
    "Expression",
    "FlowBuilder",
    "InputHandle",
    "OnError",
    "Retry",
    "StepHandle",
    "VariableHandle",
    "coalesce",
    "if_",
    "literal",
    "on_error",
    "retry",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'flowspan.flows' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"flowspan.flows.{home}"), name)
    globals()[name] = value
    return value
