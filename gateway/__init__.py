"""The gateway: Flowspan's shells around the core (gRPC server, stdio bridge, command line)."""

import os

# Before the first import of grpc: its fork handlers kill children that are spawned under uvloop while calls run.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
# Before the first model: to look for pydantic's plugins reads the metadata of every distribution that is installed, 20 ms.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
