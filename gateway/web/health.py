"""`grpc.health.v1.Health/Check`, which clients of `flowspan.v1` ask whatever carries their calls."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Final

from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2

from flowspan.errors import NotFoundError
from gateway.grpc_server.call import Call

CHECK: Final = "/grpc.health.v1.Health/Check"
"""Asked without a token, as on gRPC."""


class HealthService:
    """Check alone: watching health is for load balancers, which speak gRPC. `names`: of the services that are told apart."""

    descriptor: Final[ServiceDescriptor] = health_pb2.DESCRIPTOR.services_by_name["Health"]  # type: ignore[assignment]

    def __init__(self, is_serving: Callable[[], bool], names: Collection[str]) -> None:
        self._is_serving: Final = is_serving
        self._names: Final = frozenset(names)

    async def Check(self, request: health_pb2.HealthCheckRequest, _call: Call) -> health_pb2.HealthCheckResponse:
        if request.service and request.service not in self._names:
            raise NotFoundError(f"there is no service {request.service[:200]!r} here")
        serving = health_pb2.HealthCheckResponse.SERVING
        return health_pb2.HealthCheckResponse(
            status=serving if self._is_serving() else health_pb2.HealthCheckResponse.NOT_SERVING
        )
