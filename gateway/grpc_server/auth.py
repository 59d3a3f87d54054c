"""Who may call: a bearer token on listeners that other users of the machine, or the network, can reach."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeAlias

import grpc

from flowspan.errors import FlowspanError, Reason
from gateway.grpc_server.call import Context
from gateway.grpc_server.status import refuse

_EXEMPT_PREFIX: Final = "/grpc.health.v1.Health/"
"""Load balancers and supervisors ask for health without a secret."""

_SCHEME: Final = b"bearer "

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"


class TokenInterceptor(grpc.aio.ServerInterceptor):
    """Refuses calls without `authorization: Bearer <token>`, before their request is read.

    Args:
        token: not empty.
    """

    def __init__(self, token: str) -> None:
        if not token:
            raise ValueError("a listener's token must not be empty")
        self._token: Final = token.encode()
        self._refusal: Final[Handler] = grpc.stream_stream_rpc_method_handler(_refuse_unauthenticated)

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        if handler_call_details.method.startswith(_EXEMPT_PREFIX) or self._admits(handler_call_details):
            return await continuation(handler_call_details)
        # On the wire every call is a stream of messages both ways, so one refusal serves all methods.
        return self._refusal

    def _admits(self, call: grpc.HandlerCallDetails) -> bool:
        for key, value in call.invocation_metadata or ():
            if key == "authorization":
                given = value if isinstance(value, bytes) else value.encode()
                return given[: len(_SCHEME)].lower() == _SCHEME and hmac.compare_digest(
                    given[len(_SCHEME) :].strip(), self._token
                )
        return False


async def _refuse_unauthenticated(_requests: object, context: Context) -> None:
    error = FlowspanError(
        "this listener needs the metadata `authorization: Bearer <token>`; the server file that `flowspan serve` names in its "
        "ready line holds the token",
        reason=Reason.UNAUTHENTICATED,
    )
    await refuse(context, error, "authentication")
