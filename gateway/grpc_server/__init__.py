"""The gRPC face of the core: `flowspan.v1` services over `runtime_core.api.RuntimeApi`, health and reflection beside them.

`listener` says where, `server` serves.
"""
