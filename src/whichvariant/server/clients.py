"""Who a request comes from: the peer, or what trusted peers say (docs/server.md)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from whichvariant.errors import SettingsError

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
Network: TypeAlias = ipaddress.IPv4Network | ipaddress.IPv6Network

UNIX = "unix"
"""Stands for whoever connects by a Unix socket, in `trusted_proxies`."""

# A hop is an address, perhaps with brackets, zone and port.
_LONGEST_HOP = 100
_LONGEST_HEADER = 8_192
_MOST_HOPS = 32


class Client(NamedTuple):
    """Who a request is from.

    ``address`` is the visitor's, None if it is not known. ``relayed`` says that the peer is
    trusted, so that what it says of the visitor counts; ``forced`` that a trusted server named the
    visitor by `X-Force-IP`, so that what else a proxy says is about that server.
    """

    address: Address | None
    relayed: bool = False
    forced: bool = False


class Clients:
    """Tells the address of visitors, by whom the operator trusts.

    Parameters
    ----------
    trusted
        Addresses and networks of proxies, and of servers that send `X-Force-IP`; "unix" for peers
        on a Unix socket.

    Raises
    ------
    SettingsError
        An entry is none of these.
    """

    def __init__(self, trusted: Sequence[str]) -> None:
        self._unix = UNIX in trusted
        self._networks = tuple(_network(entry) for entry in trusted if entry != UNIX)
        self.trusts_nobody = not trusted

    def client_of(self, scope: Mapping[str, Any]) -> Client:
        """Who sent the request with this ASGI scope. Never raises, whatever the headers hold."""
        peer = scope.get("client")
        host = peer[0] if peer else ""
        address = read_address(host) if host else None
        trusted = self._trusts(address) if host else self._unix
        if not trusted:
            return Client(address)
        forwarded, forced = _said(scope["headers"])
        outsider = False
        for hop in _hops(forwarded):
            # Whoever is trusted wrote down who connected to it: the next hop to the left.
            address = read_address(hop)
            if not self._trusts(address):
                outsider = True
                break
        if forced and not outsider:
            # Nobody but trusted ones has touched this request, so its sender is one of them. A
            # browser's X-Force-IP never gets here: its own address is a hop.
            return Client(read_address(forced), relayed=True, forced=True)
        return Client(address, relayed=True)

    def _trusts(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._networks)


def read_address(text: str) -> Address | None:
    """An address as headers write it: plain, or with brackets, port or zone. None if it is none.

    An IPv4 address that is written as an IPv6 one is the IPv4 address.
    """
    text = text.strip(' \t"')
    if not text or len(text) > _LONGEST_HOP:
        return None
    if text[0] == "[":
        text, closed, rest = text[1:].partition("]")
        if not closed or (rest and not _is_port(rest)):
            return None
    elif text.count(":") == 1:
        text, _, port = text.partition(":")
        if not _is_port(f":{port}"):
            return None
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _is_port(text: str) -> bool:
    return 1 < len(text) <= 6 and text[0] == ":" and text[1:].isascii() and text[1:].isdigit()


def _network(entry: str) -> Network:
    try:
        network = ipaddress.ip_network(entry, strict=False)
    except ValueError:
        raise SettingsError(
            f"trusted_proxies: {entry[:100]!r} is no address, no network, and not 'unix'"
        ) from None
    address = entry.partition("/")[0]
    if "/" in entry and ipaddress.ip_address(address) != network.network_address:
        raise SettingsError(
            f"trusted_proxies: {entry!r} is an address within a network; the network is"
            f" '{network}', the address '{address}'"
        )
    return network


def _said(headers: Sequence[tuple[bytes, bytes]]) -> tuple[str, str]:
    """`X-Forwarded-For`, of several the last parts behind the others, and `X-Force-IP`."""
    forwarded = []
    forced = b""
    for name, value in headers:
        if name == b"x-forwarded-for":
            forwarded.append(value)
        elif name == b"x-force-ip":
            forced = value
    return b",".join(forwarded)[-_LONGEST_HEADER:].decode("latin-1"), forced.decode("latin-1")


def _hops(forwarded: str) -> Iterator[str]:
    """The hops, from the right, at most as many as are sensible."""
    rest = forwarded
    for _ in range(_MOST_HOPS):
        if not rest:
            return
        rest, _, hop = rest.rpartition(",")
        hop = hop.strip()
        if hop:
            yield hop
