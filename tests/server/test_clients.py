"""Who a request is from, and who can pretend to be somebody else."""

from __future__ import annotations

import ipaddress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whichvariant.errors import SettingsError
from whichvariant.profiles.location import Located
from whichvariant.server import ServerSettings, create_app
from whichvariant.server.clients import Address, Clients, read_address
from whichvariant.server.visitors import Visitors, VisitorSources

PROXY = "10.0.0.7"
SERVER = "10.0.0.8"
VISITOR = "198.51.100.4"
TRUSTED = ("10.0.0.0/24", "2001:db8:1::/48", "127.0.0.1")


def scope(peer: str | None, **headers: str | bytes) -> dict[str, Any]:
    """A request's ASGI scope; ``_`` in names of headers is ``-``."""
    pairs = [
        (
            name.replace("_", "-").encode(),
            value if isinstance(value, bytes) else value.encode("latin-1"),
        )
        for name, value in headers.items()
    ]
    return {"type": "http", "client": None if peer is None else (peer, 50_000), "headers": pairs}


def address(peer: str | None, trusted: tuple[str, ...] = TRUSTED, **headers: str | bytes) -> str:
    """The visitor's address, empty if unknown."""
    client = Clients(trusted).client_of(scope(peer, **headers))
    return "" if client.address is None else str(client.address)


@pytest.mark.parametrize("peer", [VISITOR, "2001:db8:2::1", "::ffff:198.51.100.4"])
def test_whom_nobody_trusts_is_whoever_connects(peer: str) -> None:
    expected = VISITOR if "ffff" in peer else peer
    assert address(peer, x_force_ip="1.1.1.1", x_forwarded_for="1.1.1.1") == expected
    client = Clients(TRUSTED).client_of(scope(peer, x_force_ip="1.1.1.1"))
    assert not client.relayed
    assert not client.forced


@pytest.mark.parametrize(
    ("forwarded", "expected"),
    [
        (VISITOR, VISITOR),
        (f"1.1.1.1, {VISITOR}", VISITOR),
        (f"1.1.1.1,{VISITOR} , 10.0.0.3,\t10.0.0.4", VISITOR),
        (f"{VISITOR}:4711", VISITOR),
        ("[2001:db8:2::1]:443, 10.0.0.3", "2001:db8:2::1"),
        ('"[2001:db8:2::1]"', "2001:db8:2::1"),
        ("2001:db8:2::1%eth0", "2001:db8:2::1"),
        ("2001:db8:2::1, 2001:db8:1::9", "2001:db8:2::1"),
        (f"::ffff:{VISITOR}, ::ffff:10.0.0.3", VISITOR),
        (f",,{VISITOR},, ,", VISITOR),
        # Everybody is trusted: then the first is the visitor.
        ("10.0.0.1, 10.0.0.2", "10.0.0.1"),
        ("", PROXY),
        (" , ", PROXY),
        # What a trusted proxy could not tell, nobody can.
        ("unknown", ""),
        (f"{VISITOR}, unknown", ""),
        (f"{VISITOR}, _hidden, 10.0.0.3", ""),
        ("1.1.1.1.1", ""),
        ("[2001:db8:2::1", ""),
        ("1.1.1.1:http", ""),
        ("a" * 5_000, ""),
        ("\xff\x00", ""),
    ],
)
def test_the_rightmost_hop_that_nobody_trusts(forwarded: str, expected: str) -> None:
    assert address(PROXY, x_forwarded_for=forwarded) == expected


def test_several_headers_are_one_list() -> None:
    request = scope(PROXY)
    request["headers"] = [
        (b"x-forwarded-for", b"1.1.1.1"),
        (b"x-forwarded-for", VISITOR.encode()),
        (b"x-forwarded-for", b"10.0.0.3"),
    ]
    assert str(Clients(TRUSTED).client_of(request).address) == VISITOR


def test_no_number_of_hops_takes_long_or_passes_for_a_visitor() -> None:
    many = ", ".join(["1.1.1.1"] * 100_000)
    assert address(PROXY, x_forwarded_for=f"{many}, {VISITOR}") == VISITOR
    assert address(PROXY, x_forwarded_for=", ".join(["10.0.0.9"] * 100_000)) == "10.0.0.9"


def test_a_trusted_server_names_its_visitor() -> None:
    assert address(SERVER, x_force_ip=VISITOR) == VISITOR
    assert address(SERVER, x_force_ip="2001:db8:2::1") == "2001:db8:2::1"
    # Through a proxy that is trusted as well.
    assert address(PROXY, x_force_ip=VISITOR, x_forwarded_for=SERVER) == VISITOR
    client = Clients(TRUSTED).client_of(scope(SERVER, x_force_ip=VISITOR))
    assert client.forced
    for garbage in ("nonsense", "1.2.3", "1.2.3.4, 5.6.7.8", "\xff"):
        assert address(SERVER, x_force_ip=garbage) == ""


def test_a_proxy_does_not_lend_its_trust_to_browsers() -> None:
    # The browser's header comes through a proxy that leaves it as it is, and says who sent it.
    assert address(PROXY, x_force_ip="1.1.1.1", x_forwarded_for=VISITOR) == VISITOR
    spoofed = f"{SERVER}, {VISITOR}, 10.0.0.3"
    assert address(PROXY, x_force_ip="1.1.1.1", x_forwarded_for=spoofed) == VISITOR
    assert address(PROXY, x_force_ip="1.1.1.1", x_forwarded_for="unknown") == ""


def test_unix_sockets_are_trusted_only_if_that_is_said() -> None:
    for peer in (None, ""):
        assert address(peer, TRUSTED, x_forwarded_for=VISITOR, x_force_ip=VISITOR) == ""
        assert address(peer, ("unix",), x_forwarded_for=VISITOR) == VISITOR
        assert address(peer, ("unix",), x_force_ip=VISITOR) == VISITOR
    assert address("testclient", ("unix", *TRUSTED), x_forwarded_for=VISITOR) == ""
    assert address(VISITOR, ("unix",), x_forwarded_for="1.1.1.1") == VISITOR


@pytest.mark.parametrize(
    "entry", ["", "*", "localhost", "10.0.0.0/33", "10.0.0", "1.2.3.4-5", "::/129", "Unix"]
)
def test_what_cannot_be_trusted_is_refused_at_the_start(entry: str) -> None:
    with pytest.raises(SettingsError, match=r"^trusted_proxies: ") as refused:
        create_app(ServerSettings(trusted_proxies=("10.0.0.1", entry)))
    assert repr(entry) in str(refused.value)


def test_an_address_within_a_network_is_no_network() -> None:
    with pytest.raises(SettingsError, match=r"the network is '10\.0\.0\.0/24'"):
        create_app(ServerSettings(trusted_proxies=("10.0.0.7/24",)))


@given(st.text(max_size=120))
def test_any_text_is_an_address_or_none(text: str) -> None:
    found = read_address(text)
    assert found is None or read_address(str(found)) == found


@given(st.ip_addresses(), st.integers(min_value=0, max_value=65_535))
def test_addresses_with_ports(expected: Address, port: int) -> None:
    text = f"[{expected}]:{port}" if expected.version == 6 else f"{expected}:{port}"
    if isinstance(expected, ipaddress.IPv6Address) and expected.ipv4_mapped:
        expected = expected.ipv4_mapped
    assert read_address(text) == expected
    assert read_address(str(expected)) == expected


class Everywhere:
    """A database that knows every address."""

    def find(self, address: Address) -> Located | None:
        return Located({"city": str(address)})


_HEADERS = st.sampled_from(
    [
        *(b"x-forwarded-for", b"x-force-ip", b"forwarded", b"x-real-ip", b"true-client-ip"),
        *(b"cf-connecting-ip", b"cf-ipcountry", b"cf-ipcity", b"cf-ipcontinent", b"cf-region"),
        *(b"cf-region-code", b"cf-iplatitude", b"cf-iplongitude", b"cf-postal-code"),
        *(b"cf-timezone", b"cf-metro-code", b"host", b"via", b"x-client-ip", b"client-ip"),
    ]
)
_VALUES = st.one_of(
    st.ip_addresses().map(lambda found: str(found).encode()),
    st.sampled_from([b"DE", b"T1", b"XX", b"Munich", b"EU", b"48.1", b"127.0.0.1, 10.0.0.1"]),
    st.binary(max_size=60),
)


@given(st.lists(st.tuples(_HEADERS, _VALUES), max_size=12), st.ip_addresses())
def test_without_trusted_peers_no_header_changes_anything(
    headers: list[tuple[bytes, bytes]], peer: Address
) -> None:
    database: Any = Everywhere()
    visitors = Visitors(VisitorSources(Clients(()), database))
    plain = scope(str(peer))
    spoofed = {**plain, "headers": headers}
    clients = Clients(())
    assert clients.client_of(spoofed) == clients.client_of(plain)
    assert visitors.locate(spoofed) == visitors.locate(plain)
    # Nor with trusted ones, unless it is one of them that connects.
    elsewhere = Clients(("203.0.113.7",))
    assert elsewhere.client_of(spoofed) == clients.client_of(plain)


@given(st.lists(st.tuples(_HEADERS, _VALUES), max_size=12))
def test_whatever_a_trusted_peer_sends_is_no_error(headers: list[tuple[bytes, bytes]]) -> None:
    database: Any = Everywhere()
    visitors = Visitors(VisitorSources(Clients(("127.0.0.1",)), database))
    located = visitors.locate({**scope("127.0.0.1"), "headers": headers})
    assert located is None or located.location


def test_the_peer_of_a_browser_with_a_made_up_list_of_hops_is_found() -> None:
    for spoofed in ("10.0.0.8", "127.0.0.1, 10.0.0.1", "unknown", "1.1.1.1, " * 50):
        forwarded = f"{spoofed}, {VISITOR}"
        assert address(PROXY, x_forwarded_for=forwarded, x_force_ip="9.9.9.9") == VISITOR
