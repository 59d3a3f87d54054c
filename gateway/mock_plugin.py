"""Plugins of type `mock`: components that answer by rote, for tests of flows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from itertools import islice
from typing import Any, Final

import msgspec

from flowspan.errors import FlowErrorCode
from flowspan.view.events import Outcome
from flowspan.view.flow_result import flow_result_from_wire
from gateway.catalog import OfferedComponent
from runtime_core.builtins.in_process import InProcessServer
from runtime_core.builtins.work import Instant, shown
from runtime_core.calls import CallAnswer, CallFailure, CallSkip
from runtime_core.model.json_value import canonical_json

COMPARED: Final = 100
"""Behaviours among which the nearest one is looked for, when none fits."""
COMPARED_CHARS: Final = 300
"""Of an input in that search, which every item of a run may need."""


@dataclass(frozen=True, slots=True)
class MockComponent:
    """`behaviors`: FlowResult (JSON) by the canonical JSON of the input. Schemas: JSON, or None."""

    behaviors: Mapping[bytes, bytes]
    input_schema: bytes | None = None
    output_schema: bytes | None = None


@dataclass(frozen=True, slots=True)
class MockSettings:
    """`components`: by path below the plugin's route, with a leading slash."""

    name: str
    components: Mapping[str, MockComponent]


class MockServer(InProcessServer):
    """The component server of one mock plugin."""

    def __init__(self, settings: MockSettings) -> None:
        super().__init__(
            settings.name,
            f"{settings.name}:",
            {path: Instant(_Rote(path, component.behaviors).answer) for path, component in settings.components.items()},
        )


def offered_mocks(settings: MockSettings) -> dict[str, OfferedComponent]:
    """What the catalogue says of them."""
    return {
        path: OfferedComponent(path, "Answers by rote.", one.input_schema, one.output_schema)
        for path, one in settings.components.items()
    }


def mock_answer(flow_result: bytes) -> CallAnswer:
    """The answer that a FlowResult of a configuration stands for.

    Raises:
        ValueError: it is not a FlowResult, has members that no such FlowResult has (a slip would be a mock that answers with
            null), or an error without a code of the table; the text says what is wrong.
    """
    outcome, payload = flow_result_from_wire(flow_result)
    given, known = msgspec.json.decode(flow_result, type=dict[str, msgspec.Raw]), _MEMBERS[outcome]
    if unknown := [name for name in given if name not in known]:
        raise ValueError(f"unknown member {unknown[0]!r}; known are {', '.join(known)}")
    if "value" in given and "result" in given:
        raise ValueError("result stands beside value, of which it is the older spelling; keep one of them")
    if outcome is Outcome.SUCCESS:
        return payload or b"null"
    if outcome is Outcome.SKIPPED:
        return CallSkip(msgspec.json.decode(payload).get("reason"))
    if not payload:
        raise ValueError("error is missing: {code, message, data?}")
    error = _error.decode(payload)
    if error.code not in FlowErrorCode.__members__:
        raise ValueError(f"error.code is {error.code[:40]!r}; it is one of {', '.join(FlowErrorCode.__members__)}")
    return CallFailure(FlowErrorCode(error.code), error.message, bytes(error.data) or None)


_FAILED_MEMBERS: Final = ("outcome", "error")
_MEMBERS: Final = {
    Outcome.SUCCESS: ("outcome", "value", "result"),
    Outcome.FAILED: _FAILED_MEMBERS,
    Outcome.CANCELLED: _FAILED_MEMBERS,
    Outcome.SKIPPED: ("outcome", "reason"),
}
"""`result`: the older spelling of `value`."""


class _Error(msgspec.Struct, forbid_unknown_fields=True):
    code: str
    message: str
    data: msgspec.Raw = msgspec.Raw()


_error: Final = msgspec.json.Decoder(_Error)


class _Rote:
    """One component. Inputs are equal if their canonical forms are: the order of keys does not count, 1 and 1.0 differ."""

    def __init__(self, path: str, behaviors: Mapping[bytes, bytes]) -> None:
        self._path = path
        self._answers = {given: mock_answer(flow_result) for given, flow_result in behaviors.items()}

    def answer(self, given: bytes) -> CallAnswer:
        canonical = canonical_json(given)
        answer = self._answers.get(canonical)
        return answer if answer is not None else self._no_match(canonical)

    def _no_match(self, given: bytes) -> CallFailure:
        message = f"mock {self._path} has no behavior for the input {shown(given)}"
        near = _nearest(given, islice(self._answers, COMPARED))
        message += f"; the nearest is {shown(near)}" if near is not None else "; it has none at all"
        data: dict[str, Any] = {"behaviors": len(self._answers)}
        return CallFailure(FlowErrorCode.COMPONENT_FAILED, message, msgspec.json.encode(data))


def _nearest(given: bytes, known: Iterable[bytes]) -> bytes | None:
    """The known input that shares the most characters with the given one, the first of equals. Their order is not compared: that
    would take quadratic time."""
    matcher = SequenceMatcher(None, "", given.decode()[:COMPARED_CHARS])
    nearest, most = None, -1.0
    for text in known:
        matcher.set_seq1(text.decode()[:COMPARED_CHARS])
        if matcher.real_quick_ratio() > most and (shared := matcher.quick_ratio()) > most:
            nearest, most = text, shared
    return nearest
