"""structlog without rich: its console renderer, which nothing here uses, would load rich's tracebacks and pygments at every
start, 80 ms of a command's life. Where rich is missing structlog does without, so it is told that it is missing."""

from __future__ import annotations

import sys

_hidden = "rich" not in sys.modules and "structlog" not in sys.modules
if _hidden:
    sys.modules["rich"] = None  # type: ignore[assignment]  # what `import` takes for a module that is not there
try:
    import structlog
finally:
    if _hidden:
        del sys.modules["rich"]

__all__ = ["structlog"]
