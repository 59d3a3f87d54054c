"""Where a server listens. Apart from the server, which takes its time to load: who only says where needs no gRPC."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import grpc

UNIX_PREFIX: Final = "unix:"


@dataclass(frozen=True, slots=True)
class Listener:
    """One address to listen on.

    Attributes:
        target: `unix:/path` (the socket is made with mode 0600) or `host:port` (port 0: any free one).
        token: callers must show it. None: no token; right for unix sockets, and elsewhere the caller's decision.
        credentials: TLS. None: plain.
    """

    target: str
    token: str | None = None
    credentials: grpc.ServerCredentials | None = None

    @property
    def is_unix(self) -> bool:
        return self.target.startswith(UNIX_PREFIX)

    @property
    def socket_path(self) -> str:
        return self.target.removeprefix(UNIX_PREFIX)
