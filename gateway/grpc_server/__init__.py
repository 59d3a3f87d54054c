"""The gRPC face of the core: `flowspan.v1` services over `runtime_core.api.RuntimeApi`, health and reflection beside them."""

from gateway.grpc_server.server import GrpcServer, GrpcServerStatistics, Listener

__all__ = ["GrpcServer", "GrpcServerStatistics", "Listener"]
