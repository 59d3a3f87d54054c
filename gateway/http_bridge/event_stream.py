"""Server-sent events: bytes of any cut in, the data of events out. Pure.

https://html.spec.whatwg.org/multipage/server-sent-events.html; names, ids and retry times of events mean nothing here.
"""

from __future__ import annotations

from flowspan.errors import LimitExceededError


class EventStream:
    """One stream. Events without data are left out.

    Args:
        max_event_bytes: of one event's data, and of what is kept of an unfinished line.
    """

    def __init__(self, max_event_bytes: int) -> None:
        self._max_event_bytes = max_event_bytes
        self._partial = b""
        self._ended_with_return = False
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._is_first = True

    def feed(self, data: bytes) -> list[bytes]:
        """The data of the events that end in these bytes.

        Raises:
            LimitExceededError: an event is too long; nothing more can be understood.
        """
        if self._ended_with_return and data.startswith(b"\n"):
            data = data[1:]
        if data:
            self._ended_with_return = data.endswith(b"\r")
        *lines, self._partial = (self._partial + data).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        events: list[bytes] = []
        for line in lines:
            if self._is_first:
                line, self._is_first = line.removeprefix(b"\xef\xbb\xbf"), False
            if not line:
                if self._data:
                    events.append(b"\n".join(self._data))
                self._data, self._data_bytes = [], 0
            elif line.startswith(b"data:") or line == b"data":
                self._data.append(line[5:].removeprefix(b" "))
                self._data_bytes += len(line)
                self._check(self._data_bytes)
        self._check(len(self._partial))
        return events

    def _check(self, size: int) -> None:
        if size > self._max_event_bytes:
            raise LimitExceededError(
                f"an event has more than {self._max_event_bytes} bytes; put large values into blobs",
                limit="line",
                max=self._max_event_bytes,
                actual=size,
            )
