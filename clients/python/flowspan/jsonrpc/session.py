"""One JSON-RPC 2.0 conversation over a pair of pipes, without the pipes: bytes in, events out.

The gateway and the SDK use the same class, since both ends send requests. No clock, no task, no lock: the owner feeds what
it read, writes what it is given, and keeps the deadlines.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import msgspec
from msgspec import UNSET

from flowspan.errors import ERROR_TABLE, FlowspanError, LimitExceededError, Reason
from flowspan.jsonrpc import bulk
from flowspan.jsonrpc import messages as wire
from flowspan.jsonrpc.error_codes import WireError, decode_wire_error, wire_error
from flowspan.jsonrpc.events import (
    NotificationReceived,
    OutputsReceived,
    ProtocolViolation,
    RequestReceived,
    SessionEvent,
    ViolationKind,
)
from flowspan.jsonrpc.excerpt import excerpt, printable
from flowspan.jsonrpc.framing import Block, EndlessLine, LineFramer, OversizedLine
from flowspan.jsonrpc.guard import check_numbers, check_structure, check_utf8, numbers_look_bad, too_deep
from flowspan.jsonrpc.limits import DEFAULT_LIMITS, FrameLimits
from flowspan.jsonrpc.messages import ABSENT, Envelope, RequestId
from flowspan.jsonrpc.reports import EventList

_MAX_FORGOTTEN: Final = 65_536
"""Forgotten calls whose late answer is still expected; beyond it the oldest are taken for never asked."""

_INCARNATION_SHIFT: Final = 32
_MAX_INTEGER_INCARNATION: Final = 2**21 - 1
"""Integer ids stay below 2^53: peers written in JavaScript read them as doubles."""

_EMPTY_OBJECT: Final = b"{}"


@dataclass(frozen=True, slots=True)
class SessionStatistics:
    """Counts since the session began; the first two are of now."""

    open_calls: int
    open_requests: int
    requests_sent: int
    responses_received: int
    requests_received: int
    notifications_received: int
    late_responses: int
    fenced_responses: int
    violations: int
    noise_lines: int
    noise_bytes: int


class Session:
    """Both directions of one pipe pair, for the life of one process of the peer.

    Ids of our requests are `"<incarnation>-<n>"`, or integers from `integer_ids`, or whatever the owner registers; none may
    ever be used twice. An answer that carries the prefix of an earlier incarnation is dropped.

    With `trusted_payloads` the values in messages are not checked against `limits`: the peer is a gateway, which checked them.
    Lines are still bounded, and what is no JSON-RPC is still refused.

    Attributes:
        takes_outputs: the peer answers executions in bulk (`flowspan.jsonrpc.bulk`); to be set after the handshake.
    """

    def __init__(self, incarnation: int = 1, limits: FrameLimits = DEFAULT_LIMITS, *, trusted_payloads: bool = False) -> None:
        if not 1 <= incarnation <= _MAX_INTEGER_INCARNATION:
            raise ValueError(f"incarnation must be in 1..{_MAX_INTEGER_INCARNATION}, not {incarnation}")
        self._incarnation = incarnation
        self._limits = limits
        self._trusted_payloads = trusted_payloads
        self.takes_outputs = False
        self._framer = LineFramer(limits)
        self._next_number = 1
        self._next_integer = incarnation << _INCARNATION_SHIFT
        self._closed = False
        self._open: dict[RequestId, None] = {}  # Our calls, oldest first.
        self._forgotten: dict[RequestId, None] = {}
        self._highest_registered = -1
        self._incoming: set[RequestId] = set()
        self._requests_sent = 0
        self._responses_received = 0
        self._requests_received = 0
        self._notifications_received = 0
        self._late_responses = 0
        self._fenced_responses = 0
        self._violations = 0
        self._noise_lines = 0
        self._noise_bytes = 0

    # ------------------------------------------------------------------ sending

    def request(self, method: str, params: bytes) -> tuple[RequestId, bytes]:
        """Open a call: its id and the line to write. `params` is a JSON object."""
        self._refuse_if_closed()
        request_id = f"{self._incarnation}-{self._next_number}"
        self._next_number += 1
        self._open[request_id] = None
        self._requests_sent += 1
        return request_id, wire.encode_request(request_id, method, params)

    def integer_ids(self, count: int) -> range:
        """Allot and open `count` integer ids at once, for an owner that splices its own request lines."""
        self._refuse_if_closed()
        ids = range(self._next_integer, self._next_integer + count)
        self._next_integer += count
        self._open.update(dict.fromkeys(ids))
        self._requests_sent += count
        return ids

    def register(self, request_ids: Iterable[RequestId], *, in_bulk: int = 0) -> None:
        """Open calls under ids of the owner's choice. Raises ValueError, opening none, if one is open or repeated.

        `in_bulk`: how many executions go out with them in bulk; which of those are open only their owner knows.
        """
        self._refuse_if_closed()
        ids = list(request_ids)
        fresh = dict.fromkeys(ids)
        if len(fresh) != len(ids) or not self._open.keys().isdisjoint(fresh):
            raise ValueError("a request id may be used once only")
        self._open.update(fresh)
        self._requests_sent += len(ids) + in_bulk
        integers = [request_id for request_id in ids if isinstance(request_id, int)]
        if integers:
            self._highest_registered = max(self._highest_registered, max(integers))

    def notify(self, method: str, params: bytes) -> bytes:
        """The line of a notification."""
        return wire.encode_notification(method, params)

    def respond(self, request_id: RequestId, result: bytes) -> bytes:
        """Answer a request of the peer; b"" after `close`. Raises ValueError if it is not open (answered before)."""
        return wire.encode_result(request_id, result) if self._end_incoming(request_id) else b""

    def respond_all(self, results: Iterable[tuple[RequestId, bytes]]) -> bytes:
        """`respond` for many requests: one piece of bytes to write."""
        return b"".join([self.respond(request_id, result) for request_id, result in results])

    def fail(self, request_id: RequestId, error: FlowspanError | WireError) -> bytes:
        """Refuse a request of the peer; b"" after `close`. Raises ValueError if it is not open."""
        if not self._end_incoming(request_id):
            return b""
        return wire.encode_error(request_id, wire_error(error) if isinstance(error, FlowspanError) else error)

    def forget(self, request_ids: Iterable[RequestId]) -> None:
        """Give calls up (timed out, cancelled): their late answers are expected and dropped. Ids not open are skipped, but for
        integers where executions go out in bulk."""
        for request_id in request_ids:
            if request_id in self._open:
                del self._open[request_id]
            elif not self.takes_outputs or not isinstance(request_id, int):
                continue
            self._forgotten[request_id] = None
        while len(self._forgotten) > _MAX_FORGOTTEN:
            del self._forgotten[next(iter(self._forgotten))]

    def take_late(self, number: int) -> bool:
        """For an answer in bulk to an execution that its owner does not hold: whether it was given up, so that the answer was to
        be expected, once."""
        if number not in self._forgotten:
            return False
        del self._forgotten[number]
        self._late_responses += 1
        return True

    def close(self) -> list[RequestId]:
        """End the conversation: our calls that will never be answered, oldest first. Nothing is received afterwards."""
        self._closed = True
        unanswered = list(self._open)
        self._open.clear()
        self._forgotten.clear()
        self._incoming.clear()
        return unanswered

    # ------------------------------------------------------------------ state

    @property
    def open_calls(self) -> int:
        """How many of our requests wait for an answer."""
        return len(self._open)

    @property
    def open_requests(self) -> int:
        """How many requests of the peer wait for our answer."""
        return len(self._incoming)

    def is_open_request(self, request_id: RequestId) -> bool:
        """Whether this request of the peer waits for our answer."""
        return request_id in self._incoming

    @property
    def partial_bytes(self) -> int:
        """Bytes of a line that has begun and not ended, 0 between lines; for the owner's stall timer."""
        return self._framer.partial_bytes

    @property
    def partial_line(self) -> bytes:
        """The beginning of that line (at most 4 KiB), for a crash report."""
        return self._framer.partial_line

    def statistics(self) -> SessionStatistics:
        """Counts of this conversation."""
        return SessionStatistics(
            open_calls=len(self._open),
            open_requests=len(self._incoming),
            requests_sent=self._requests_sent,
            responses_received=self._responses_received,
            requests_received=self._requests_received,
            notifications_received=self._notifications_received,
            late_responses=self._late_responses,
            fenced_responses=self._fenced_responses,
            violations=self._violations,
            noise_lines=self._noise_lines,
            noise_bytes=self._noise_bytes,
        )

    # ------------------------------------------------------------------ receiving

    def receive(self, data: bytes) -> list[SessionEvent]:
        """Take bytes as they were read, of any cut, and return what they meant, in the order they came. Never raises."""
        if self._closed:
            return []
        out = EventList()
        for frame in self._framer.feed(data):
            if isinstance(frame, Block):
                self._receive_block(frame.data, out)
            else:
                self._receive_dropped(frame, out)
        self._violations += out.violations
        self._noise_lines += out.noise_lines
        self._noise_bytes += out.noise_bytes
        return out.finish()

    def _receive_block(self, block: bytes, out: EventList) -> None:
        clean = block.isascii() or _is_utf8(block)
        envelopes = wire.decode_block(block) if clean else None
        if envelopes is None:
            for line in block.split(b"\n")[:-1]:
                self._receive_line(line, out)
            return
        numbers_suspicious = not self._trusted_payloads and numbers_look_bad(block, self._limits)
        unchecked_bytes = self._limits.unchecked_bytes
        still_open = self._open
        answers = out.answers
        received = 0
        for envelope in envelopes:
            if (
                envelope.method is UNSET
                and envelope.error is ABSENT
                and envelope.result is not ABSENT
                and envelope.id in still_open
                and not numbers_suspicious
            ):
                result = bytes(envelope.result)
                if len(result) <= unchecked_bytes or not self._structure_looks_bad(result):
                    # The one path that every finished execution takes.
                    request_id = envelope.id
                    del still_open[request_id]
                    received += 1
                    answers.append((request_id, result, None))
                    continue
            if self.takes_outputs and envelope.method == bulk.OUTPUTS:
                self._receive_outputs(None, envelope, numbers_suspicious, out)
            else:
                self._receive_envelope(envelope, numbers_suspicious, None, out)
            answers = out.answers
        self._responses_received += received

    def _receive_outputs(self, line: bytes | None, envelope: Envelope, numbers_suspicious: bool, out: EventList) -> None:
        """Answers in bulk. What is wrong with one of them fails that one. `line`: where something near is no UTF-8."""
        params = envelope.params
        if envelope.id is not UNSET:
            self._lose_outputs("it has an id, but is a notification", line or bytes(params), out)
            return
        try:
            answers = bulk.read_answers(params, self._limits, numbers_suspicious=numbers_suspicious, is_utf8=line is None)
        except (ValueError, RecursionError) as error:
            self._lose_outputs(str(error), line or bytes(params), out)
            return
        self._responses_received += len(answers.outputs) + len(answers.failures)
        if self._open:
            # An execution that went out alone, being large, may be answered in bulk all the same.
            for number, _ in answers.outputs:
                self._open.pop(number, None)
            for request_id, _, _ in answers.failures:
                self._open.pop(request_id, None)
        if answers.outputs:
            out.add(OutputsReceived(answers.outputs))
        out.answers += answers.failures
        for defect, quoted in answers.defects:
            kind = _kind_of(defect)
            out.add(ProtocolViolation(kind, defect.message, excerpt(quoted), charged=kind is not ViolationKind.LIMIT_EXCEEDED))

    def _lose_outputs(self, why: str, quoted: bytes, out: EventList) -> None:
        """Nobody can say which executions these answers belong to, and none may be waited for in vain."""
        text = f"{bulk.OUTPUTS} cannot be read: {why}"
        out.add(ProtocolViolation(ViolationKind.BULK_UNREADABLE, text, excerpt(quoted), fatal=True))

    def _structure_looks_bad(self, result: bytes) -> bool:
        try:
            check_structure(result, self._limits, self._limits.response_envelope_depth - 1)
        except FlowspanError:
            return True
        return False

    def _receive_line(self, line: bytes, out: EventList) -> None:
        """One line that could not be taken in bulk, without its newline."""
        size_bytes = len(line) + 1
        line = line.removesuffix(b"\r")
        if not line.startswith(b"{"):
            self._receive_foreign_line(line, size_bytes, out)
            return
        defect: FlowspanError | None = None
        try:
            check_utf8(line)
        except FlowspanError as error:
            defect = error
        try:
            envelope = wire.decode_envelope(line)
        except RecursionError:
            self._refuse(ViolationKind.LIMIT_EXCEEDED, too_deep(self._limits.max_depth), None, line, out)
        except msgspec.ValidationError:
            self._receive_misshapen(line, defect, out)
        except ValueError as error:
            self._refuse(ViolationKind.PARSE_ERROR, defect or _parse_error(error), None, line, out)
        else:
            numbers_suspicious = numbers_look_bad(line, self._limits)
            if self.takes_outputs and envelope.method == bulk.OUTPUTS:
                self._receive_outputs(None if defect is None else line, envelope, numbers_suspicious, out)
            else:
                self._receive_envelope(envelope, numbers_suspicious, defect, out)
            return
        if self.takes_outputs and bulk.looks_like_outputs(line):
            self._lose_outputs("the line is broken", line, out)

    def _receive_foreign_line(self, line: bytes, size_bytes: int, out: EventList) -> None:
        """A line that does not start like a message; `size_bytes` counts its line ending."""
        if line.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff", b"\x00")):
            error = FlowspanError(
                "a line starts with a byte order mark or NUL; write UTF-8 without a mark",
                reason=Reason.PARSE_ERROR,
                cause="byte_order_mark",
            )
            self._refuse(ViolationKind.PARSE_ERROR, error, None, line, out)
        elif line[:15].lower() == b"content-length:":
            out.add(
                ProtocolViolation(
                    ViolationKind.CONTENT_LENGTH_FRAMING,
                    "the peer frames messages with Content-Length headers: use newline framing, one JSON object per line",
                    excerpt(line),
                    fatal=True,
                )
            )
        elif line.startswith(b"[") and _is_array(line):
            error = FlowspanError("batch not supported: send one object per line", reason=Reason.INVALID_REQUEST)
            self._refuse(ViolationKind.BATCH, error, None, line, out)
        else:
            out.add_noise(line, size_bytes)

    def _receive_envelope(
        self, envelope: Envelope, numbers_suspicious: bool, defect: FlowspanError | None, out: EventList
    ) -> None:
        """A well-formed message; `defect` says what is already known to be wrong with its bytes."""
        if envelope.method is UNSET:
            self._receive_response(envelope, numbers_suspicious, defect, out)
            return
        request_id, method = envelope.id, envelope.method
        params = bytes(envelope.params)
        if not params or params == b"null":
            params = _EMPTY_OBJECT
        if request_id is None or (request_id is not UNSET and not wire.id_fits(request_id, self._limits.max_id_bytes)):
            self._refuse_id(params, out)
            return
        reply_to = None if request_id is UNSET else request_id
        defect = defect or self._defect_of(params, numbers_suspicious, self._limits.request_envelope_depth)
        if defect is not None:
            kind = _kind_of(defect)
            # A parse error is answered without an id (JSON-RPC 2.0, section 5): what was read cannot be trusted.
            target = None if kind is ViolationKind.PARSE_ERROR else reply_to
            self._refuse(kind, defect, target, params, out)
            return
        if not params.startswith(b"{"):
            error = FlowspanError(
                f"params of {printable(method)} must be an object", reason=Reason.INVALID_ARGUMENT, field="params"
            )
            self._refuse(ViolationKind.INVALID_PARAMS, error, reply_to, params, out, silent=reply_to is None)
        elif request_id is UNSET:
            self._notifications_received += 1
            out.add(NotificationReceived(method, params))
        elif request_id in self._incoming:
            error = FlowspanError("this id belongs to a request that is still open", reason=Reason.INVALID_REQUEST)
            self._refuse(ViolationKind.DUPLICATE_REQUEST, error, request_id, params, out)
        else:
            self._incoming.add(request_id)
            self._requests_received += 1
            out.add(RequestReceived(request_id, method, params))

    def _receive_response(
        self, envelope: Envelope, numbers_suspicious: bool, defect: FlowspanError | None, out: EventList
    ) -> None:
        request_id = envelope.id
        result = None if envelope.result is ABSENT else bytes(envelope.result)
        raw_error = None if envelope.error is ABSENT else bytes(envelope.error)
        if raw_error == b"null" and result is not None:
            raw_error = None
        elif result == b"null" and raw_error is not None:
            result = None
        if request_id is None or request_id is UNSET:
            self._receive_without_id(request_id, result, raw_error, out)
            return
        if request_id not in self._open:
            self._receive_unexpected(request_id, out)
            return
        if (result is None) == (raw_error is None):
            said = "neither result nor error" if result is None else "both result and error"
            broken = FlowspanError(f"the peer's response has {said}", reason=Reason.PLUGIN_PROTOCOL)
            self._fail_call(request_id, broken, out)
            out.add(ProtocolViolation(ViolationKind.RESULT_AND_ERROR, broken.message, excerpt(result or b"")))
            return
        payload = result if result is not None else raw_error
        assert payload is not None
        if raw_error is not None:
            defect = defect or self._defect_of(raw_error, numbers_suspicious, self._limits.response_envelope_depth + 1)
        else:
            defect = defect or self._defect_of(payload, numbers_suspicious, self._limits.response_envelope_depth)
        if defect is not None:
            self._fail_call(request_id, defect, out)
            kind = _kind_of(defect)
            reply = wire.encode_error(None, wire_error(defect)) if kind is ViolationKind.PARSE_ERROR else None
            charged = kind is not ViolationKind.LIMIT_EXCEEDED
            out.add(ProtocolViolation(kind, defect.message, excerpt(payload), reply, charged=charged))
            return
        del self._open[request_id]
        self._responses_received += 1
        out.answers.append((request_id, result, decode_wire_error(raw_error) if raw_error is not None else None))

    def _receive_without_id(self, request_id: object, result: bytes | None, raw_error: bytes | None, out: EventList) -> None:
        if raw_error is not None:
            # The peer could not read something of ours. Not answered: two such peers would never stop.
            refusal = decode_wire_error(raw_error)
            out.add(
                ProtocolViolation(
                    ViolationKind.PEER_REFUSED_MESSAGE,
                    f"the peer refused a message of unknown id with {refusal.code}",
                    printable(refusal.message, 200),
                )
            )
        elif request_id is None:
            self._refuse_id(result or b"", out)
        else:
            error = FlowspanError("the object is neither a request nor a response", reason=Reason.INVALID_REQUEST)
            self._refuse(ViolationKind.INVALID_MESSAGE, error, None, result or b"", out)

    def _receive_unexpected(self, request_id: RequestId, out: EventList) -> None:
        """A response to no open call: late, of a former incarnation, repeated, or invented."""
        if request_id in self._forgotten:
            del self._forgotten[request_id]
            self._late_responses += 1
            return
        incarnation, number = _parts_of(request_id)
        if 0 < incarnation < self._incarnation:
            self._fenced_responses += 1
            return
        if isinstance(request_id, int):
            allotted = incarnation == self._incarnation and request_id < self._next_integer
            used = allotted or 0 <= request_id <= self._highest_registered
        else:
            used = incarnation == self._incarnation and 0 < number < self._next_number
        kind = ViolationKind.DUPLICATE_RESPONSE if used else ViolationKind.UNKNOWN_RESPONSE
        said = "a second response to one request" if used else "a response to a request that was never sent"
        out.add(ProtocolViolation(kind, said, printable(repr(request_id), 200)))

    def _receive_misshapen(self, line: bytes, defect: FlowspanError | None, out: EventList) -> None:
        """A JSON object whose members have wrong types: say which, and fail the call if it was an answer."""
        try:
            loose = wire.decode_loose_envelope(line)
        except (ValueError, RecursionError) as error:
            self._refuse(ViolationKind.PARSE_ERROR, _parse_error(error), None, line, out)
            return
        if defect is not None:
            self._refuse(ViolationKind.PARSE_ERROR, defect, None, line, out)
            return
        is_request = loose.method is not ABSENT
        request_id = None if loose.id is ABSENT else wire.valid_id(bytes(loose.id), self._limits.max_id_bytes)
        if request_id is None and loose.id is not ABSENT and bytes(loose.id) != b"null":
            self._refuse_id(line, out)
            return
        bad_version = bytes(loose.jsonrpc) != b'"2.0"'
        message = 'the member jsonrpc must be "2.0"' if bad_version else "the member method must be a string"
        refusal = FlowspanError(message, reason=Reason.INVALID_REQUEST)
        if not is_request and request_id is not None and request_id in self._open:
            self._fail_call(request_id, FlowspanError(message, reason=Reason.PLUGIN_PROTOCOL), out)
        if is_request or loose.error is ABSENT:
            self._refuse(ViolationKind.INVALID_MESSAGE, refusal, request_id if is_request else None, line, out)
        else:
            out.add(ProtocolViolation(ViolationKind.INVALID_MESSAGE, message, excerpt(line)))

    def _receive_dropped(self, frame: OversizedLine | EndlessLine, out: EventList) -> None:
        """A line over the limit, of which only the beginning was kept."""
        max_line_bytes = self._limits.max_line_bytes
        error = LimitExceededError(
            f"a line has {frame.size_bytes} bytes, at most {max_line_bytes} are accepted; put large values into blobs",
            limit="line",
            max=max_line_bytes,
            actual=frame.size_bytes,
        )
        request_id, is_request = wire.sniff_head(frame.head, self._limits.max_id_bytes)
        if self.takes_outputs and bulk.looks_like_outputs(frame.head):
            self._lose_outputs(error.message, frame.head, out)
        elif isinstance(frame, EndlessLine):
            fatal = f"a line did not end within {frame.size_bytes} bytes"
            out.add(ProtocolViolation(ViolationKind.ENDLESS_LINE, fatal, excerpt(frame.head), fatal=True))
        elif not frame.head.startswith(b"{"):
            out.add_noise(frame.head, frame.size_bytes + 1)
        elif request_id is not None and not is_request and request_id in self._open:
            self._fail_call(request_id, error, out)
            out.add(ProtocolViolation(ViolationKind.LIMIT_EXCEEDED, error.message, excerpt(frame.head), charged=False))
        elif request_id is not None and not is_request and request_id in self._forgotten:
            self._receive_unexpected(request_id, out)
        else:
            refused = request_id if is_request and request_id not in self._incoming else None
            self._refuse(ViolationKind.LIMIT_EXCEEDED, error, refused, frame.head, out)

    # ------------------------------------------------------------------ refusing

    def _defect_of(self, payload: bytes, numbers_suspicious: bool, envelope_depth: int) -> FlowspanError | None:
        if self._trusted_payloads:
            return None
        try:
            if len(payload) > self._limits.unchecked_bytes:
                # The message itself is a level of the envelope, but not of the payload.
                check_structure(payload, self._limits, envelope_depth - 1)
            if numbers_suspicious and numbers_look_bad(payload, self._limits):
                check_numbers(payload, self._limits)
        except FlowspanError as error:
            return error
        return None

    def _fail_call(self, request_id: RequestId, error: FlowspanError, out: EventList) -> None:
        del self._open[request_id]
        self._responses_received += 1
        out.answers.append((request_id, None, wire_error(error)))

    def _refuse_id(self, quoted: bytes, out: EventList) -> None:
        message = f"the id must be a string or an integer of at most {self._limits.max_id_bytes} bytes"
        error = FlowspanError(message, reason=Reason.INVALID_REQUEST, field="id")
        self._refuse(ViolationKind.INVALID_ID, error, None, quoted, out)

    def _refuse(
        self,
        kind: ViolationKind,
        error: FlowspanError,
        request_id: RequestId | None,
        quoted: bytes,
        out: EventList,
        silent: bool = False,
    ) -> None:
        """Report a violation with the error answer to write; `silent` for notifications, which are never answered."""
        reply = None if silent else wire.encode_error(request_id, wire_error(error))
        charged = kind is not ViolationKind.LIMIT_EXCEEDED
        out.add(ProtocolViolation(kind, error.message, excerpt(quoted), reply, charged=charged))

    def _end_incoming(self, request_id: RequestId) -> bool:
        if self._closed:
            return False
        if request_id not in self._incoming:
            raise ValueError(f"request {request_id!r} is not open: it was answered before, or never came")
        self._incoming.remove(request_id)
        return True

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise FlowspanError("the connection to the peer is closed", reason=Reason.UNAVAILABLE)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _is_array(line: bytes) -> bool:
    """Tells a batch from a log line such as `[INFO] ready`: it parses, or begins like an array of objects."""
    if line[1:].lstrip(b" \t\r").startswith((b"{", b"]")):
        return True
    try:
        msgspec.json.decode(line, type=msgspec.Raw)
    except (ValueError, RecursionError):
        return False
    return True


def _parse_error(error: Exception) -> FlowspanError:
    return FlowspanError(f"the line is not JSON: {error}", reason=Reason.PARSE_ERROR, cause="syntax")


def _kind_of(error: FlowspanError) -> ViolationKind:
    parse_code = ERROR_TABLE[Reason.PARSE_ERROR].jsonrpc
    return ViolationKind.PARSE_ERROR if error.row.jsonrpc == parse_code else ViolationKind.LIMIT_EXCEEDED


def _parts_of(request_id: RequestId) -> tuple[int, int]:
    """The incarnation and the number in an id of ours; (0, 0) if it has not that form."""
    if isinstance(request_id, int):
        return (request_id >> _INCARNATION_SHIFT, 0) if 0 <= request_id < 2**53 else (0, 0)
    prefix, dash, number = request_id.partition("-")
    if not dash or len(request_id) > 40 or not (request_id.isascii() and prefix.isdigit() and number.isdigit()):
        return 0, 0
    return int(prefix), int(number)
