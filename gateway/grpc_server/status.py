"""How a call that failed is answered: one place, for every service."""

from __future__ import annotations

import asyncio
from typing import Final, NoReturn
from uuid import uuid4

import grpc
import structlog

from flowspan.errors import FlowspanError, Reason
from flowspan.protobuf.status import STATUS_TRAILER, status_from_error
from gateway.grpc_server.call import Context

_log: Final = structlog.get_logger(__name__)


async def refuse(context: Context, error: Exception, method: str) -> NoReturn:
    """End the call with what `error` means on this wire.

    A FlowspanError becomes its status with details. Anything else is a bug: it is logged once, and the caller sees
    INTERNAL and the incident's id, never the text.

    Raises:
        grpc.aio.AbortError: always; gRPC's own sign that a call was ended.
        asyncio.CancelledError: the caller is gone, there is nobody to tell.
    """
    failure = failure_of(error, method)
    status = status_from_error(failure)
    code = grpc.StatusCode[failure.row.grpc.value]
    try:
        await context.abort(code, status.message, ((STATUS_TRAILER, status.SerializeToString()),))
    except grpc.aio.InternalError:
        raise asyncio.CancelledError from None
    raise AssertionError("abort always raises")


def failure_of(error: Exception, method: str) -> FlowspanError:
    """What a caller is told of `error`: a FlowspanError is itself, anything else a bug, which is logged here."""
    if isinstance(error, FlowspanError):
        return error
    incident_id = uuid4().hex[:12]
    _log.error("incident", incident_id=incident_id, method=method, exc_info=error)
    return FlowspanError(
        f"internal error; look for incident {incident_id} in the gateway's log", reason=Reason.INTERNAL, incidentId=incident_id
    )
