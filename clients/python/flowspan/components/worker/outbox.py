"""What a worker still has to say: short words at once, results until the gateway has taken them over."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from flowspan.jsonrpc import WireError
from flowspan.v1 import worker_service_pb2 as pb

MESSAGE_BYTES: Final = 1 << 20
"""Outputs of one message, unless a single one is larger."""
MESSAGE_RESULTS: Final = 2_048
MAX_UNACKNOWLEDGED_BYTES: Final = 64 << 20
"""Beyond it no further results are written: a gateway that takes none over gets no more of them."""


class ResultBatch:
    """Results that go out together. Not for two threads at once."""

    __slots__ = ("failures", "numbers", "outputs")

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.outputs: list[bytes] = []
        self.failures: list[tuple[int, WireError]] = []

    def __len__(self) -> int:
        return len(self.numbers) + len(self.failures)

    def add_output(self, number: int, output: bytes) -> None:
        self.numbers.append(number)
        self.outputs.append(output)

    def add_failure(self, number: int, error: WireError) -> None:
        self.failures.append((number, error))

    def move_into(self, numbers: list[int], outputs: list[bytes], failures: list[tuple[int, WireError]]) -> None:
        """Append all of it there; nothing is left here."""
        numbers += self.numbers
        outputs += self.outputs
        failures += self.failures
        self.numbers, self.outputs, self.failures = [], [], []


class _Sent(NamedTuple):
    """A message of results that the gateway has not acknowledged."""

    sequence: int
    message: bytes
    executions: Sequence[int]


class Outbox:
    """Results come in on any thread; everything else happens on the loop's thread.

    Args:
        wake: called on the loop's thread when there is something to write.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, wake: Callable[[], None]) -> None:
        self._loop = loop
        self._loop_thread = threading.get_ident()
        self._wake = wake
        self._lock = threading.Lock()
        self._numbers: list[int] = []
        self._outputs: list[bytes] = []
        self._failures: list[tuple[int, WireError]] = []
        self._words: deque[bytes] = deque()
        self._unsent: deque[_Sent] = deque()
        self._sent: deque[_Sent] = deque()
        self._sent_bytes = 0
        self._sequence = 0

    @property
    def is_empty(self) -> bool:
        """All is said, and all results were taken over."""
        return not (self._numbers or self._failures or self._words or self._unsent or self._sent)

    def say(self, message: pb.ConnectRequest) -> None:
        """Send this ahead of results. Lost with the connection."""
        self._words.append(message.SerializeToString())
        self._wake()

    def add(self, batch: ResultBatch) -> None:
        """Results; on any thread."""
        with self._lock:
            was_empty = not (self._numbers or self._failures)
            batch.move_into(self._numbers, self._outputs, self._failures)
        if threading.get_ident() == self._loop_thread:
            self._wake()
        elif was_empty:  # else somebody has called already
            try:
                self._loop.call_soon_threadsafe(self._wake)
            except RuntimeError:
                return  # the loop is closed: the process is about to end

    def next(self) -> bytes | None:
        """What is to be written now; None: nothing."""
        if self._words:
            return self._words.popleft()
        if self._sent_bytes > MAX_UNACKNOWLEDGED_BYTES:
            return None
        if not self._unsent and (self._numbers or self._failures):
            self._unsent.append(self._collect())
        if not self._unsent:
            return None
        sent = self._unsent.popleft()
        self._sent.append(sent)
        self._sent_bytes += len(sent.message)
        return sent.message

    def acknowledge(self, through_sequence: int) -> list[int]:
        """Results up to there need not be kept; numbers of their executions."""
        executions: list[int] = []
        while self._sent and self._sent[0].sequence <= through_sequence:
            done = self._sent.popleft()
            self._sent_bytes -= len(done.message)
            executions += done.executions
        self._wake()
        return executions

    def reconnected(self) -> None:
        """The gateway may have missed what was not acknowledged: it is written again, in the same order."""
        self._words.clear()
        self._unsent.extendleft(reversed(self._sent))
        self._sent.clear()
        self._sent_bytes = 0

    def reset(self) -> None:
        """Another gateway: nobody waits for anything of this."""
        with self._lock:
            self._numbers, self._outputs, self._failures = [], [], []
        self._words.clear()
        self._unsent.clear()
        self._sent.clear()
        self._sent_bytes = self._sequence = 0

    def _collect(self) -> _Sent:
        """The next message of results: as many as fit."""
        with self._lock:
            count = size = 0
            for output in self._outputs:
                size += len(output)
                if count and (size > MESSAGE_BYTES or count == MESSAGE_RESULTS):
                    break
                count += 1
            numbers, outputs = self._numbers[:count], self._outputs[:count]
            del self._numbers[:count], self._outputs[:count]
            failures = self._failures[:MESSAGE_RESULTS]
            for position, (_, error) in enumerate(failures):
                size += len(error.data or b"")
                if position and size > MESSAGE_BYTES:
                    del failures[position:]
                    break
            del self._failures[: len(failures)]
        self._sequence += 1
        results = pb.WorkerResults(sequence=self._sequence, executions=numbers, outputs=outputs)
        for number, error in failures:
            failure = results.failures.add(execution=number, code=error.code, message=error.message)
            if error.data is not None:
                failure.data.json = error.data
        message = pb.ConnectRequest(results=results).SerializeToString()
        return _Sent(self._sequence, message, [*numbers, *(number for number, _ in failures)])
