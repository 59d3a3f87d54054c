"""Where the web face listens and whom it lets in. Apart from the server, which needs the extra's libraries."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class WebTls:
    """PEM files. `client_ca`: callers must show a certificate that it signed."""

    certificate: Path
    key: Path
    client_ca: Path | None = None


@dataclass(frozen=True, slots=True)
class WebSettings:
    """One HTTP listener.

    Attributes:
        listen: `host:port`; port 0: any free one.
        token: callers must show it. None: nobody is asked, which is right on loopback only.
        origins: `https://flows.example.org`: whose pages may call.
        hosts: names by which the listener may be asked, beside addresses, `localhost` and its own.
        tls: None: plain HTTP.
    """

    listen: str
    token: str | None = None
    origins: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    tls: WebTls | None = None

    @property
    def scheme(self) -> str:
        return "http" if self.tls is None else "https"
