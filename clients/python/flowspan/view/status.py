"""What a run looks like from outside: plain values, the same for the gateway and for SDK users.

Names are the contract's (docs/protocol/runs-methods.md) in snake_case; `to_wire` in `flowspan.view.wire` writes the
contract's camelCase.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec

from flowspan.errors import FlowErrorCode, FlowspanError, Reason
from flowspan.view.events import Outcome, RunStatusCode


class ResultOrder(StrEnum):
    """The order of item results, in the contract's words."""

    BY_INDEX = "byIndex"
    BY_COMPLETION = "byCompletion"


class RunDescription(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """What never changes about a run; the payload of `RunAccepted`, as JSON.

    `created_at_us`: microseconds since 1970 (UTC). `max_concurrency`: after defaults and clamping.
    """

    run_id: str
    flow_id: str
    total: int
    created_at_us: int
    max_concurrency: int
    root_run_id: str
    flow_name: str | None = None
    flow_label: str | None = None
    parent_run_id: str | None = None
    source_run_id: str | None = None
    metadata: dict[str, str] = {}


class ItemCounts(msgspec.Struct, frozen=True):
    """How many items are where; `total` is the sum of the others, always."""

    total: int
    pending: int
    running: int
    success: int
    failed: int
    cancelled: int


if TYPE_CHECKING:
    OptionalRaw = msgspec.Raw | None
else:
    # msgspec takes a union of Raw and None for null alone, and would refuse every error that has data.
    OptionalRaw = msgspec.Raw


class FlowError(msgspec.Struct, frozen=True, omit_defaults=True):
    """Why a step or an item failed. `code`: see `flowspan.errors.FlowErrorCode`. `data`: raw JSON, if any."""

    code: str
    message: str
    data: OptionalRaw = None

    @property
    def data_value(self) -> Any:
        """`data` as Python values."""
        return None if self.data is None else msgspec.json.decode(self.data)


@dataclass(frozen=True, slots=True)
class FlowResult:
    """What a flow yielded for one item, in the contract's words and as Python values.

    Attributes:
        outcome: `success`, `failed` or `skipped`. An item that a cancel ended is failed, with the error code CANCELLED.
        value: with `success`, the flow's output.
        error: with `failed`, why.
        reason: with `skipped`, why, if the flow says so.
    """

    outcome: str
    value: Any = None
    error: FlowError | None = None
    reason: str | None = None


class RunFailedError(FlowspanError):
    """Raised by `RunStatus.raise_for_failures`, and by nothing else: a run that failed is an answer, not an error.

    `details` holds `runId`, `failed` and `cancelled`; `status` is the whole answer.
    """

    default_reason = Reason.COMPONENT_FAILED

    def __init__(self, message: str, status: RunStatus, *, reason: Reason) -> None:
        items = status.items
        super().__init__(message, reason=reason, runId=status.run_id, failed=items.failed, cancelled=items.cancelled)
        self.status = status


class ItemResult(msgspec.Struct, frozen=True, gc=False):
    """The result of one item. `payload` is as in `flowspan.view.events.ItemCompleted`; `value` and `error` decode it.

    A Struct, since a watcher makes one per item: a frozen dataclass costs three times as much. Change it by
    `msgspec.structs.replace`.
    """

    item_index: int
    outcome: Outcome
    payload: bytes
    completed_at_us: int
    is_blob: bool = False
    item_label: str | None = None
    source_item_index: int | None = None

    @property
    def completed_at(self) -> datetime:
        return datetime_of_us(self.completed_at_us)

    @property
    def value(self) -> Any:
        """The flow's output as Python values; None unless the outcome is SUCCESS."""
        return msgspec.json.decode(self.payload) if self.outcome is Outcome.SUCCESS else None

    @property
    def error(self) -> FlowError | None:
        """Why the item failed or was cancelled; None if it did not."""
        if self.outcome is Outcome.CANCELLED and not self.payload:
            return FlowError(FlowErrorCode.CANCELLED, "the run was cancelled")
        if self.outcome in (Outcome.FAILED, Outcome.CANCELLED):
            return msgspec.json.decode(self.payload, type=FlowError)
        return None

    @property
    def result(self) -> FlowResult:
        """What the flow yielded, decoded."""
        if self.outcome is Outcome.SUCCESS:
            return FlowResult("success", self.value)
        if self.outcome is Outcome.SKIPPED:
            return FlowResult("skipped", reason=self.reason)
        return FlowResult("failed", error=self.error)

    @property
    def reason(self) -> str | None:
        """Why the item was skipped, if the flow says so."""
        if self.outcome is not Outcome.SKIPPED or not self.payload:
            return None
        reason: str | None = msgspec.json.decode(self.payload).get("reason")
        return reason


@dataclass(frozen=True, slots=True)
class ResultsOmitted:
    """Results were asked for and did not fit: `count` results of `bytes` bytes, `limit` bytes fit; read on at index `next`."""

    count: int
    bytes: int
    limit: int
    next: int


@dataclass(frozen=True, slots=True)
class RunProgress:
    """Speed of a run; the only part of a status that is not durable fact."""

    rate_per_second: float
    eta_seconds: float | None = None
    waiting_for: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RunStatus:
    """The state of a run as of event `as_of_seq`. `results` is None if they were not asked for."""

    description: RunDescription
    status: RunStatusCode
    items: ItemCounts
    as_of_seq: int
    completed_at_us: int | None = None
    cancel_reason: str | None = None
    results: Sequence[ItemResult] | None = None
    results_omitted: ResultsOmitted | None = None
    progress: RunProgress | None = field(default=None, compare=False)

    @property
    def run_id(self) -> str:
        return self.description.run_id

    @property
    def flow_id(self) -> str:
        return self.description.flow_id

    @property
    def flow_name(self) -> str | None:
        return self.description.flow_name

    @property
    def flow_label(self) -> str | None:
        return self.description.flow_label

    @property
    def is_terminal(self) -> bool:
        return self.status.is_terminal

    @property
    def created_at(self) -> datetime:
        return datetime_of_us(self.description.created_at_us)

    @property
    def completed_at(self) -> datetime | None:
        return None if self.completed_at_us is None else datetime_of_us(self.completed_at_us)

    def raise_for_failures(self) -> RunStatus:
        """This status, if no item failed and the run was not cancelled.

        Raises:
            RunFailedError: the message names the run and, where results are here, the first failure.
        """
        items = self.items
        if self.status is RunStatusCode.CANCELLED:
            why = f": {self.cancel_reason}" if self.cancel_reason else ""
            raise RunFailedError(f"run {self.run_id} was cancelled{why}", self, reason=Reason.CANCELLED)
        if items.failed == 0 and self.status is not RunStatusCode.FAILED:
            return self
        message = f"{items.failed} of {items.total} items of run {self.run_id} failed"
        for item in self.results or ():
            if item.outcome is Outcome.FAILED and (error := item.error) is not None:
                message += f"; item {item.item_index}: {error.code}: {error.message}"
                break
        raise RunFailedError(message, self, reason=Reason.COMPONENT_FAILED)


def datetime_of_us(us: int) -> datetime:
    """Aware UTC datetime of microseconds since 1970."""
    seconds, micros = divmod(us, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros)


def rfc3339(us: int) -> str:
    """`2025-01-15T10:30:00.123Z`: RFC 3339, UTC, milliseconds (or microseconds where there are any), `Z`."""
    seconds, micros = divmod(us, 1_000_000)
    fraction = f"{micros // 1000:03d}" if micros % 1000 == 0 else f"{micros:06d}"
    return f"{_second_text(seconds)}.{fraction}Z"


@lru_cache(maxsize=64)
def _second_text(seconds: int) -> str:
    """A status tells three times, most of them of the same second."""
    return datetime.fromtimestamp(seconds, UTC).replace(tzinfo=None).isoformat(timespec="seconds")
