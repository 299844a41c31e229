"""Addresses of pages, taken apart as browsers do.

Rules compare paths, search strings and query parameters with what a browser said of the same page.
So a server that builds a page view has to arrive at the browser's spelling: encoded where it
encodes, without dot segments, with the last of repeated parameters.

Source of the rules: the URL Standard (url.spec.whatwg.org), which the vendor's SDKs use through
``new URL(...)``.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote_to_bytes

_SPECIAL = frozenset({"http", "https", "ws", "wss", "ftp"})
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*):")
_EDGES = "".join(map(chr, range(33)))
_LINE_BREAKS = re.compile(r"[\t\n\r]")

_ENCODED_IN_QUERY = re.compile(r"""[^\x21\x24-\x3b\x3d\x3f-\x7e]""")
_ENCODED_IN_SPECIAL_QUERY = re.compile(r"""[^\x21\x24-\x26\x28-\x3b\x3d\x3f-\x7e]""")
_ENCODED_IN_PATH = re.compile(r"""[^\x21\x24-\x3b\x3d\x40-\x5f\x61-\x7a\x7c\x7e]""")
_ENCODED_IN_OPAQUE_PATH = re.compile(r"[^\x20-\x7e]")

_NOT_IN_HOSTS = re.compile(r"[\x00-\x20#/:<>?@\[\\\]^|%\x7f\ufffd]")
_NOT_IN_OPAQUE_HOSTS = re.compile(r"[\x00\t\n\r #/:<>?@\[\\\]^|]")
_IPV6 = re.compile(r"\[[0-9A-Fa-f:.]+\]")
_PORT = re.compile(r"[0-9]*")

_HERE = frozenset({".", "%2e"})
_UP = frozenset({"..", ".%2e", "%2e.", "%2e%2e"})


class WebAddress(NamedTuple):
    """The parts of an address that events carry.

    ``path`` and ``search`` are percent-encoded, ``search`` with its ``?`` (empty without a query);
    ``query`` is decoded, the last value for each name.
    """

    path: str
    search: str
    query: dict[str, str]


def read_web_address(text: str) -> WebAddress | None:
    """The parts of an absolute address; None for what a browser would not take for one.

    Of hosts only their characters are looked at, since no part of them is given.
    """
    # A lone surrogate is no character; browsers put this one in its place.
    text = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    text = _LINE_BREAKS.sub("", text.strip(_EDGES))
    scheme = _SCHEME.match(text)
    if scheme is None:
        return None
    special = scheme[1].lower() in _SPECIAL
    rest = text[scheme.end() :].partition("#")[0]
    rest, asked, search = rest.partition("?")
    path = _read_special(rest) if special else _read_other(rest)
    if path is None:
        return None
    encoded = _ENCODED_IN_SPECIAL_QUERY if special else _ENCODED_IN_QUERY
    search = _encode(search, encoded)
    query = dict(parse_qsl(search, keep_blank_values=True, errors="replace"))
    return WebAddress(path, f"?{search}" if asked and search else "", query)


def _read_special(rest: str) -> str | None:
    """The path of an address with a host, as http has one; None if the host is none."""
    # Any number of slashes begins the authority, whichever way they lean.
    authority, slash, path = rest.replace("\\", "/").lstrip("/").partition("/")
    host = _host_of(authority)
    if not host or (host[0] != "[" and _NOT_IN_HOSTS.search(_decoded(host))):
        return None
    return _normal(f"{slash}{path}") or "/"


def _read_other(rest: str) -> str | None:
    """The path of an address of a scheme that browsers do not know."""
    if not rest.startswith("/"):
        return _encode(rest, _ENCODED_IN_OPAQUE_PATH)
    if not rest.startswith("//"):
        return _normal(rest)
    authority, slash, path = rest[2:].partition("/")
    host = _host_of(authority)
    if host is None or (host[:1] != "[" and _NOT_IN_OPAQUE_HOSTS.search(host)):
        return None
    return _normal(f"{slash}{path}")


def _host_of(authority: str) -> str | None:
    """The host of an authority, perhaps empty; None if it or its port cannot be one."""
    _user, at, place = authority.rpartition("@")
    if place.startswith("["):
        found = _IPV6.match(place)
        if found is None:
            return None
        host, port = found[0], place[found.end() :]
        if port and not port.startswith(":"):
            return None
        port = port[1:]
    else:
        host, _, port = place.partition(":")
    if not _PORT.fullmatch(port) or int(port.lstrip("0")[:6] or 0) > 65_535:
        return None
    return None if not host and (at or port) else host


def _decoded(host: str) -> str:
    return unquote_to_bytes(host).decode("utf-8", "replace")


def _normal(path: str) -> str:
    """A path that begins with a slash, or is empty: without dot segments, and encoded."""
    kept: list[str] = []
    segments = path.split("/")[1:]
    for number, segment in enumerate(segments):
        last = number == len(segments) - 1
        lowered = segment.lower()
        if lowered in _UP:
            if kept:
                kept.pop()
            if last:
                kept.append("")
        elif lowered in _HERE:
            if last:
                kept.append("")
        else:
            kept.append(_encode(segment, _ENCODED_IN_PATH))
    return "".join(f"/{segment}" for segment in kept)


def _encode(text: str, encoded: re.Pattern[str]) -> str:
    return encoded.sub(_escape, text)


def _escape(found: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in found[0].encode())
