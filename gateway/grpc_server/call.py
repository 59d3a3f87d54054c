"""What a service knows of the call that it answers, beside the request."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

import grpc

from flowspan.errors import FlowspanError, InvalidArgumentError, Reason
from gateway.grpc_server.limits import MAX_TASK_TOKEN_BYTES

Context: TypeAlias = "grpc.aio.ServicerContext[bytes, bytes]"
"""gRPC's handle on a call. Messages are bytes for it; `gateway.grpc_server.handlers` parses them."""

DEFAULT_NAMESPACE: Final = "default"

_NAMESPACE: Final = re.compile(r"[a-z0-9-]{1,63}\Z")
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}\Z")
"""W3C Trace Context. What does not match is ignored, as that specification asks."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call.

    Attributes:
        namespace: whose runs, flows and blobs the call is about.
        task_token: from the metadata `flowspan-task-token`: the execution on whose behalf the caller acts.
        traceparent: from the metadata `traceparent`, if it is well-formed.
    """

    namespace: str
    task_token: str | None
    traceparent: str | None


def read_call(context: Context, *, is_authenticated: bool) -> Call:
    """The metadata of a call over gRPC; see `call_of`."""
    return call_of(context.invocation_metadata() or (), is_authenticated=is_authenticated)


def call_of(metadata: Iterable[tuple[str, str | bytes]], *, is_authenticated: bool) -> Call:
    """Read the metadata of a call.

    Args:
        is_authenticated: the caller showed a token, or reached a socket that only this user can open.

    Raises:
        FlowspanError: UNAUTHENTICATED: a stranger names a namespace.
        InvalidArgumentError: the metadata is malformed.
    """
    namespace, task_token, traceparent = DEFAULT_NAMESPACE, None, None
    for key, value in metadata:
        if key == "flowspan-namespace":
            namespace = _namespace(_text(value), is_authenticated)
        elif key == "flowspan-task-token":
            task_token = read_task_token(_text(value), "flowspan-task-token")
        elif key == "traceparent":
            traceparent = read_traceparent(_text(value))
    return Call(namespace, task_token, traceparent)


def read_task_token(text: str, field: str = "taskToken") -> str | None:
    """None if it is empty. InvalidArgumentError if it is too long to be one."""
    if len(text.encode()) > MAX_TASK_TOKEN_BYTES:
        raise InvalidArgumentError(f"{field} has more than {MAX_TASK_TOKEN_BYTES} bytes", field=field)
    return text or None


def read_traceparent(text: str) -> str | None:
    """None unless it is well-formed."""
    return text if _TRACEPARENT.match(text) else None


def _namespace(name: str, is_authenticated: bool) -> str:
    if not _NAMESPACE.match(name):
        raise InvalidArgumentError(
            "flowspan-namespace must be 1 to 63 of the characters a-z, 0-9 and -", field="flowspan-namespace"
        )
    if name != DEFAULT_NAMESPACE and not is_authenticated:
        raise FlowspanError(
            "this listener knows no callers, so it serves the namespace `default` only", reason=Reason.UNAUTHENTICATED
        )
    return name


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "replace")
