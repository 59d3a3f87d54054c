"""What becomes of a step that fails: `on_error` and `retry`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeVar

from flowspan.flows.limits import MAX_RETRIES
from flowspan.flows.values import Embeddable, JsonObject, data_of, joined, kind_of, refuse

Backoff = Literal["exponential", "constant", "fibonacci"]
_BACKOFFS: Final = ("exponential", "constant", "fibonacci")
_ABOVE: Final = 4
"""The document, its steps, the step, and the policy: what a default stands in."""
_UNSET: Final = object()

_Policy = TypeVar("_Policy", "OnError", "Retry")


@dataclass(frozen=True, slots=True)
class OnError(Embeddable):
    """What a step does once its attempts are spent; made by `on_error.fail()`, `.use_default()`, `.retry()` and `.skip()`."""

    document: JsonObject
    depth: int
    nodes: int

    def _fragment(self, *, is_data: bool) -> str:
        return "on_error is an argument of a step, not a part of its values"

    @staticmethod
    def fail() -> OnError:
        """The step fails, and with it what needs it. This is what happens without an `on_error`, too."""
        return _on_error("fail")

    @staticmethod
    def use_default(value: object) -> OnError:
        """The step succeeds with this plain value (no handles). Not for failures of resolving the step's own input."""
        return _on_error("useDefault", default=value)

    @staticmethod
    def retry(*, max_retries: int | None = None, default: object = _UNSET) -> OnError:
        """More attempts when the component fails.

        Args:
            max_retries: 0 to 1,000; None: 3.
            default: a plain value with which the step succeeds once the retries are spent. None is such a value; without
                the argument, the step fails.
        """
        return _on_error("retry", max_retries, default)

    @staticmethod
    def skip() -> OnError:
        """The step counts as skipped."""
        return _on_error("skip")


on_error = OnError


@dataclass(frozen=True, slots=True)
class Retry(Embeddable):
    """How a step's attempts are repeated; made by `retry`."""

    document: JsonObject

    def _fragment(self, *, is_data: bool) -> str:
        return "retry is an argument of a step, not a part of its values"


def retry(*, max_retries: int | None = None, backoff: Backoff | None = None) -> Retry:
    """How attempts are repeated that time out or lose their component server.

    Args:
        max_retries: 0 to 1,000; None: as the gateway is configured.
        backoff: how the delay grows, also between the retries of `on_error.retry`; None: exponential.
    """
    document: JsonObject = {}
    if max_retries is not None:
        document["maxRetries"] = _count(max_retries, "max_retries of retry")
    if backoff is not None:
        if backoff not in _BACKOFFS:
            refuse(f"is one of {', '.join(_BACKOFFS)}, not {backoff!r}", "backoff of retry")
        document["backoff"] = str.__str__(backoff)
    return Retry(document)


def checked(value: object, kind: type[_Policy], name: str, step: str) -> _Policy:
    """`value`, if it was made by the functions above."""
    if not isinstance(value, kind):
        made = "on_error.retry(max_retries=2)" if kind is OnError else 'retry(backoff="constant")'
        refuse(f"is made by flowspan.flows, as in {made}; this is {kind_of(value)}", name, step)
    return value


def _on_error(action: str, max_retries: int | None = None, default: object = _UNSET) -> OnError:
    place = f"on_error ({action})"
    members: JsonObject = {"action": action}
    if max_retries is not None:
        members["maxRetries"] = _count(max_retries, f"max_retries of {place}")
    parts = {} if default is _UNSET else {"defaultValue": data_of(default, f"default of {place}", above=_ABOVE)}
    whole = joined(members, parts)
    return OnError(members | {key: part.document for key, part in parts.items()}, whole.depth, whole.nodes)


def _count(value: object, place: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        refuse(f"a whole number is needed, not {kind_of(value)}", place)
    if not 0 <= value <= MAX_RETRIES:
        refuse(f"is from 0 to {MAX_RETRIES:,}, not {value}", place)
    return int(value)
