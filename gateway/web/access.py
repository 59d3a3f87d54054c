"""Who may call: by which name, from whose page, with what token."""

from __future__ import annotations

import hmac
import ipaddress
from typing import Final

from flowspan.errors import FlowspanError, Reason
from gateway.web.exchange import Exchange
from gateway.web.failures import misdirected
from gateway.web.settings import WebSettings

_SCHEME: Final = "bearer "
_PREFLIGHT_S: Final = 7_200
"""How long browsers remember what they may send; the longest that all of them take."""

_REQUEST_HEADERS: Final = (
    "authorization, content-type, last-event-id, idempotency-key, flowspan-namespace, flowspan-task-token, traceparent, "
    "connect-protocol-version, connect-timeout-ms, x-grpc-web, x-user-agent, grpc-timeout"
)
_ANSWER_HEADERS: Final = "retry-after, grpc-status, grpc-message, grpc-status-details-bin"


class Access:
    """The rules of one listener. `host`: by which it listens."""

    def __init__(self, settings: WebSettings) -> None:
        self._token: Final = None if settings.token is None else settings.token.encode()
        self._origins: Final = frozenset(origin.rstrip("/").lower() for origin in settings.origins)
        own = settings.listen.rpartition(":")[0].strip("[]").lower()
        self._hosts: Final = frozenset({"localhost", own, *(host.lower() for host in settings.hosts)})
        self._scheme: Final = settings.scheme

    @property
    def is_authenticated(self) -> bool:
        """Whether whoever gets in has shown a token."""
        return self._token is not None

    def check_place(self, exchange: Exchange) -> None:
        """By which name, and from whose page. Marks the answer for the browser.

        Raises:
            FlowspanError: the name is not one of this listener's, or the page's origin is not let in.
        """
        host = exchange.headers.get("host", "")
        if not self._knows(host):
            # A page whose own name was made to point here (DNS rebinding) does not get in.
            raise misdirected(host)
        origin = exchange.headers.get("origin")
        if origin is None:
            return
        exchange.answer_headers.append(("vary", "origin"))
        if origin.lower() == f"{self._scheme}://{host.lower()}":
            return
        if origin.lower() not in self._origins:
            raise FlowspanError(
                f"pages of {origin[:200]!r} may not call; name the origin in web.origins", reason=Reason.PERMISSION_DENIED
            )
        exchange.answer_headers += (
            ("access-control-allow-origin", origin),
            ("access-control-expose-headers", _ANSWER_HEADERS),
        )

    def check_token(self, exchange: Exchange) -> None:
        """FlowspanError (UNAUTHENTICATED) unless the caller shows the token."""
        if self._token is None:
            return
        given = exchange.headers.get("authorization", "")
        if given[: len(_SCHEME)].lower() == _SCHEME and hmac.compare_digest(
            given[len(_SCHEME) :].strip().encode("latin-1"), self._token
        ):
            return
        raise FlowspanError(
            "this listener needs the header `Authorization: Bearer <token>`; the server file that `flowspan serve` names in "
            "its ready line holds the token",
            reason=Reason.UNAUTHENTICATED,
        )

    async def answer_preflight(self, exchange: Exchange, methods: str) -> None:
        """A browser asks whether a page may send this; its origin was checked."""
        await exchange.answer(
            204,
            b"",
            headers=(
                ("access-control-allow-methods", methods),
                ("access-control-allow-headers", _REQUEST_HEADERS),
                ("access-control-max-age", str(_PREFLIGHT_S)),
            ),
        )

    def _knows(self, host: str) -> bool:
        """Whether a Host header names an address, `localhost`, or a name that was configured."""
        name = host[1 : host.index("]")] if host.startswith("[") and "]" in host else host.partition(":")[0]
        if name.lower() in self._hosts:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True
