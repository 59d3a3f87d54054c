"""Connections that a flow asked for: to public addresses only, however the name is written or resolved.

A name is resolved once, every address that comes back is checked, and the connection goes to a checked address: between the
check and the use nobody can answer differently. TLS still shows and verifies the name.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import Iterable
from typing import Any

import httpcore

_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_NOT_OF_THE_INTERNET = (
    # IETF protocol assignments (RFC 6890; a cloud has metadata at 192.0.0.192), relays to 6to4 (RFC 7526)
    *map(ipaddress.ip_network, ("192.0.0.0/24", "192.88.99.0/24")),
    # site-local addresses (RFC 3879), documentation (RFC 9637), segment routing (RFC 9602)
    *map(ipaddress.ip_network, ("fec0::/10", "3fff::/20", "5f00::/16")),
)
"""What the standard library takes for global, in some or all of its versions."""


class NotPublicError(Exception):
    """A name leads to an address that flows may not reach."""


class PublicAddresses(httpcore.AsyncNetworkBackend):
    """A network backend of httpcore."""

    def __init__(self) -> None:
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        addresses = await checked_addresses(host, port, timeout)
        for address in addresses[:-1]:
            with contextlib.suppress(httpcore.ConnectError):  # it has others: a host may have lost one of its networks
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
        return await self._network.connect_tcp(addresses[-1], port, timeout, local_address, socket_options)

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)


async def checked_addresses(host: str, port: int, timeout_s: float | None) -> list[str]:
    """Where `host` leads; at least one address, all of them public.

    Raises:
        NotPublicError: one of them is not.
        httpcore.ConnectError: there are none.
        httpcore.ConnectTimeout: nobody said in time.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(timeout_s):
            found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except TimeoutError as error:
        raise httpcore.ConnectTimeout(f"{host} was not resolved in time") from error
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError(f"{host} cannot be resolved") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not addresses:
        raise httpcore.ConnectError(f"{host} has no address")
    for address in addresses:
        if not is_public(address):
            raise NotPublicError(f"{host} leads to {address}, which is not a public address")
    return addresses


def is_public(address: str) -> bool:
    """Whether an address as `getaddrinfo` writes it belongs to the internet at large, and so does one that it contains."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo is not None else None)
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFF_FFFF)
        if inner is not None:
            return is_public(str(inner))
    if any(ip in network for network in _NOT_OF_THE_INTERNET):
        return False
    return ip.is_global and not (ip.is_multicast or ip.is_reserved or ip.is_unspecified)
