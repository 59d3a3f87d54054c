"""A flow as its author wrote it, typed. Expressions are still JSON here; `plan` compiles them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Final

import msgspec

from runtime_core.flow.schemas import SchemaCheck
from runtime_core.flow.variables import DeclaredVariables
from runtime_core.model.json_value import JsonObject, JsonValue

DEFAULT_MAX_RETRIES: Final = 3
"""Both retry budgets, where the flow names no other figure."""


class OnErrorAction(StrEnum):
    """What becomes of a step whose attempts are spent."""

    FAIL = "fail"
    USE_DEFAULT = "useDefault"
    RETRY = "retry"
    SKIP = "skip"


class OnError(msgspec.Struct, frozen=True):
    """A step's `onError`.

    Attributes:
        default_value: a literal, used if `has_default`.
        has_default: always with `useDefault` (absent means null); with `retry` only where the author gave a value.
        max_retries: component retries after the first attempt, >= 0; counts only with `retry`.
    """

    action: OnErrorAction = OnErrorAction.FAIL
    default_value: JsonValue = None
    has_default: bool = False
    max_retries: int = DEFAULT_MAX_RETRIES


class BackoffKind(StrEnum):
    """How the delay grows from one retry to the next."""

    EXPONENTIAL = "exponential"
    CONSTANT = "constant"
    FIBONACCI = "fibonacci"


class RetrySettings(msgspec.Struct, frozen=True):
    """A step's `retry`.

    Attributes:
        max_retries: transport retries (time-outs, lost servers), >= 0; None: the configured number.
        backoff: shape of the delays.
    """

    max_retries: int | None = None
    backoff: BackoffKind = BackoffKind.EXPONENTIAL


class Step(msgspec.Struct, frozen=True):
    """One step. `input` and `skip` are expressions; `skip` None means there is no condition.

    Attributes:
        timeout_s: bound on one attempt, > 0, or None.
        skip_field: the spelling the author used, `skip` or `skipIf`; diagnostics point there.
    """

    id: str
    component: str
    input: JsonValue = None
    skip: JsonValue = None
    on_error: OnError = OnError()
    must_execute: bool = False
    timeout_s: float | None = None
    retry: RetrySettings = RetrySettings()
    metadata: JsonObject = msgspec.field(default_factory=dict)
    skip_field: str = "skip"


class FlowSchemas(msgspec.Struct, frozen=True):
    """JSON Schemas that a flow declares; None where it declares none. Each sees the definitions that they share.

    Attributes:
        steps: of the outputs of steps, by their ids.
        input_check: what every item's input is checked with.
        declared: the variables.
    """

    input: JsonValue = None
    output: JsonValue = None
    variables: JsonObject | None = None
    steps: Mapping[str, JsonValue] = msgspec.field(default_factory=dict)
    input_check: SchemaCheck | None = None
    declared: DeclaredVariables = msgspec.field(default_factory=lambda: DeclaredVariables(None))


class Flow(msgspec.Struct, frozen=True):
    """A flow that compiles.

    Attributes:
        value: the whole document; overrides are applied to it. Never changed in place.
        output: an expression.
    """

    value: JsonObject
    name: str | None = None
    description: str | None = None
    version: str | None = None
    schemas: FlowSchemas = FlowSchemas()
    steps: tuple[Step, ...] = ()
    output: JsonValue = None
    test: JsonObject | None = None
    examples: tuple[JsonValue, ...] = ()
    metadata: JsonObject = msgspec.field(default_factory=dict)
