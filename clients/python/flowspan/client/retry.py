"""Which failures are worth another try, and when. Pure: the caller brings the clock and the dice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from flowspan.errors import FlowspanError, GrpcCode

_RETRY_AFTER: Final = "retryAfterMs"


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how far apart.

    Attributes:
        max_retries: tries after the first one of a unary call.
        first_delay_s: bound of the wait before the first of them; doubles with each.
        longest_delay_s: where the doubling ends.
        give_up_after_s: how long a watch tries to resume without receiving anything; None: for ever.
    """

    max_retries: int = 2
    first_delay_s: float = 0.2
    longest_delay_s: float = 5.0
    give_up_after_s: float | None = 60.0

    def delay_s(self, retry: int, dice: float, error: FlowspanError) -> float:
        """Seconds to wait before retry number `retry` (from 0). `dice`: 0 to 1, so that clients do not come back together.

        A time that the peer named is kept, and up to a quarter more is added to it.
        """
        named_ms = error.details.get(_RETRY_AFTER)
        if isinstance(named_ms, (int, float)):
            return float(named_ms) / 1000 * (1 + dice / 4)
        ceiling: float = min(self.longest_delay_s, self.first_delay_s * 2 ** min(retry, 30))
        return ceiling * (0.5 + dice / 2)


def may_resume(error: FlowspanError) -> bool:
    """Whether a watch goes on from its cursor: as `FlowspanError.retryable`, and where the stream was cut rather than refused."""
    if error.retryable or error.row.grpc is GrpcCode.ABORTED:
        return True
    return not error.from_peer and ("RST_STREAM" in error.message or "Stream removed" in error.message)
