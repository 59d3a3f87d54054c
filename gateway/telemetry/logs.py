"""Logs of the gateway: one structured line per event on stderr. JSON, or plain text where a person is watching.

A log line never holds up the gateway and never ends it: lines go through a bounded buffer to a thread that writes them. What
does not fit is dropped and counted, and so is everything after stderr is gone.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
from collections import deque
from collections.abc import Mapping, MutableMapping
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from gateway.telemetry.lean_structlog import structlog
from runtime_core.model.redaction import KNOWN_SECRETS

MAX_BUFFERED_BYTES: Final = 4 << 20
"""Lines that stderr has not taken: enough for a burst of some 20,000, small beside the gateway's memory budget."""
FLUSH_S: Final = 1.0
"""At exit, for what is still buffered; a reader that takes nothing does not keep the process."""
MAX_VALUE_CHARS: Final = 4_096
"""Of one field: a payload that slips into a log line does not fill it."""

LEVELS: Final = ("debug", "info", "warning", "error", "critical")
LOG_FORMATS: Final = ("auto", "json", "text")


class LineWriter:
    """Writes lines to a descriptor from a thread of its own. Safe from any thread.

    Args:
        descriptor: stays open; it is the process's.
        max_bytes: what is kept for a slow reader.
    """

    def __init__(self, descriptor: int, max_bytes: int = MAX_BUFFERED_BYTES) -> None:
        self._descriptor: Final = descriptor
        self._max_bytes: Final = max_bytes
        self._lines: Final[deque[bytes]] = deque()
        self._changed: Final = threading.Condition()
        self._buffered_bytes = 0
        self._dropped_lines = 0
        self._is_broken = False
        self._is_writing = False
        self._thread: threading.Thread | None = None

    @property
    def dropped_lines(self) -> int:
        """Lines that nobody will see, since the start."""
        return self._dropped_lines

    def write(self, line: bytes) -> None:
        """Take a line (with its newline) and return at once."""
        with self._changed:
            if self._is_broken or self._buffered_bytes + len(line) > self._max_bytes:
                self._dropped_lines += 1
                return
            self._lines.append(line)
            self._buffered_bytes += len(line)
            if self._thread is None:
                # A daemon: a blocked write must not keep the process from ending.
                self._thread = threading.Thread(target=self._drain, name="log-writer", daemon=True)
                self._thread.start()
            self._changed.notify_all()

    def flush(self, timeout_s: float = FLUSH_S) -> bool:
        """Wait until everything is written. False: it was not within the time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._is_broken or not (self._lines or self._is_writing), timeout_s)

    def _drain(self) -> None:
        while True:
            with self._changed:
                self._is_writing = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: bool(self._lines))
                block = b"".join(self._lines)
                self._lines.clear()
                self._is_writing = True
            try:
                view = memoryview(block)
                while view:
                    view = view[os.write(self._descriptor, view) :]
            except OSError:
                # The reader is gone (EPIPE), or the disk behind it is full: work goes on without logs.
                with self._changed:
                    self._is_broken = True
                    self._dropped_lines += block.count(b"\n") + len(self._lines)
                    self._lines.clear()
                    self._changed.notify_all()
                return
            with self._changed:
                self._buffered_bytes -= len(block)


_writer: LineWriter | None = None


def setup_telemetry(*, level: str = "info", log_format: str = "auto", descriptor: int = 2) -> LineWriter:
    """Send structlog's events, and the standard library's, to `descriptor`. The last call holds.

    Args:
        level: one of `LEVELS`; what is below it is dropped where it is made.
        log_format: one of `LOG_FORMATS`; auto is text on a terminal, else JSON.
    """
    global _writer
    if level not in LEVELS or log_format not in LOG_FORMATS:
        raise ValueError(f"log level {level!r} or format {log_format!r} is unknown")
    is_text = log_format == "text" or (log_format == "auto" and os.isatty(descriptor))
    if _writer is None:
        atexit.register(flush_logs)
    writer = _writer = LineWriter(descriptor)
    threshold = logging.getLevelNamesMapping()[level.upper()]

    def deliver(_logger: object, method: str, event: MutableMapping[str, Any]) -> str:
        if KNOWN_SECRETS:
            event = KNOWN_SECRETS.value(event)
        writer.write(_text_line(method, event) if is_text else _json_line(method, event))
        raise structlog.DropEvent

    structlog.configure(
        processors=[structlog.contextvars.merge_contextvars, structlog.processors.format_exc_info, deliver],
        wrapper_class=structlog.make_filtering_bound_logger(threshold),
        context_class=dict,
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    for handler in [handler for handler in root.handlers if isinstance(handler, _StandardHandler)]:
        root.removeHandler(handler)
    root.addHandler(_StandardHandler(writer, is_text=is_text))
    root.setLevel(max(threshold, logging.WARNING) if threshold > logging.DEBUG else logging.INFO)
    return writer


def dropped_lines() -> int:
    """Log lines that nobody will see, since logs were set up."""
    return 0 if _writer is None else _writer.dropped_lines


def flush_logs(timeout_s: float = FLUSH_S) -> None:
    """Wait, bounded, until stderr has taken every line. Before exits that run no exit handlers."""
    if _writer is not None:
        _writer.flush(timeout_s)


class _StandardHandler(logging.Handler):
    """Takes what libraries log (grpc, asyncio) into the same stream."""

    def __init__(self, writer: LineWriter, *, is_text: bool) -> None:
        super().__init__()
        self._writer: Final = writer
        self._is_text: Final = is_text

    def emit(self, record: logging.LogRecord) -> None:
        try:
            event: dict[str, Any] = {"event": record.getMessage(), "logger": record.name}
            if record.exc_info:
                event["exception"] = logging.Formatter().formatException(record.exc_info)
        except (TypeError, ValueError):
            # Arguments that do not fit their format are the library's mistake, not a reason to fail.
            event = {"event": str(record.msg), "logger": record.name}
        if KNOWN_SECRETS:
            event = KNOWN_SECRETS.value(event)
        level = record.levelname.lower()
        self._writer.write(_text_line(level, event) if self._is_text else _json_line(level, event))


_LEVEL_NAMES: Final = {"warn": "warning", "exception": "error", "fatal": "critical"}


def _json_line(method: str, event: Mapping[str, Any]) -> bytes:
    fields = {"time": _now(), "level": _LEVEL_NAMES.get(method, method), "event": _shortened(event.get("event", ""))}
    for name, value in event.items():
        if name not in fields:
            fields[name] = _shortened(value)
    try:
        return msgspec.json.encode(fields, enc_hook=repr) + b"\n"
    except (ValueError, TypeError, UnicodeEncodeError, msgspec.MsgspecError):
        return msgspec.json.encode({name: ascii(value) for name, value in fields.items()}) + b"\n"


def _text_line(method: str, event: Mapping[str, Any]) -> bytes:
    level = _LEVEL_NAMES.get(method, method)
    rest = [f"{name}={_quoted(value)}" for name, value in event.items() if name not in ("event", "exception")]
    line = " ".join((_now()[11:23], f"{level:<7}", _printable(str(event.get("event", ""))), *rest))
    # A traceback is ours and worth its lines; a peer's text is never put there.
    trace = "".join(f"\n    {_printable(part)}" for part in str(event.get("exception", "")).splitlines())
    return f"{line}{trace}\n".encode("utf-8", "backslashreplace")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _shortened(value: Any) -> Any:
    if isinstance(value, str) and len(value) > MAX_VALUE_CHARS:
        return f"{value[:MAX_VALUE_CHARS]}... ({len(value)} characters)"
    return value.decode("utf-8", "backslashreplace")[:MAX_VALUE_CHARS] if isinstance(value, bytes) else value


def _quoted(value: Any) -> str:
    text = str(_shortened(value))
    escaped = _printable(text)
    return escaped if escaped == text and text and not any(char in text for char in ' "=') else f'"{escaped}"'


def _printable(text: str) -> str:
    """Without control characters: what a peer sends can neither start a line of its own nor colour the terminal."""
    return text if text.isprintable() else "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)
