"""Which database a store is in, how it is connected to, and what of that may be shown."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, unquote, urlencode

from whichvariant.errors import StoreError

_SCHEMES: Final = ("postgresql://", "postgres://")
_HIDDEN: Final = "***"
# Parameters of a URL whose values nobody should see.
_SECRET_PARAMETERS: Final = ("password", "sslpassword")
# Ours, in the parameters of the URL; what else is there goes to the driver and the server.
_OURS: Final = {
    "pool_size": "connections",
    "connect_timeout": "connect_timeout_s",
    "pool_timeout": "pool_timeout_s",
    "patience": "patience_s",
}


def is_postgres(target: str) -> bool:
    """Whether a store's name is a URL of a PostgreSQL database, and not a file."""
    return target.startswith(_SCHEMES)


def shown(target: str) -> str:
    """A store's name as logs and listings may have it: a URL without its passwords."""
    if not is_postgres(target):
        return target
    scheme, _, rest = target.partition("://")
    rest, question, query = rest.partition("?")
    place, slash, database = rest.partition("/")
    user, at, hosts = place.rpartition("@")
    if at:
        name, colon, _ = user.partition(":")
        user = f"{name}{colon}{_HIDDEN if colon else ''}"
    if question:
        parts = []
        for part in query.split("&"):
            name, equals, _ = part.partition("=")
            hide = equals and unquote(name).lower() in _SECRET_PARAMETERS
            parts.append(f"{name}={_HIDDEN}" if hide else part)
        query = "&".join(parts)
    return f"{scheme}://{user}{at}{hosts}{slash}{database}{question}{query}"


@dataclass(frozen=True)
class Target:
    """A database, and how long things with it may take. Made by ``read_target``.

    ``connections`` is the most for each event loop. ``connect_timeout_s`` is for one attempt to
    connect, ``pool_timeout_s`` for waiting until another task gives a connection back, and
    ``patience_s`` for trying again while the database is away, from the first failure on.
    ``named`` are the parameters that the URL gives to the driver and the server.
    """

    dsn: str = field(repr=False)
    connections: int = 8
    connect_timeout_s: float = 5.0
    pool_timeout_s: float = 10.0
    patience_s: float = 5.0
    named: frozenset[str] = frozenset()

    @property
    def shown(self) -> str:
        """The URL without its passwords."""
        return shown(self.dsn)

    @property
    def several_hosts(self) -> bool:
        """Whether there is more than one server to try."""
        hosts = re.split(r"[/?]", self.dsn.partition("://")[2], maxsplit=1)[0]
        return "," in hosts.rpartition("@")[2]

    @property
    def chooses_host(self) -> bool:
        """Whether the URL itself says which kind of server is wanted."""
        return "target_session_attrs=" in self.dsn


def read_target(dsn: str) -> Target:
    """A URL with our own parameters taken out of it.

    Raises:
        StoreError: one of them is no positive number.
    """
    plain, question, query = dsn.partition("?")
    if not question:
        return Target(dsn)
    kept: list[tuple[str, str]] = []
    ours: dict[str, float] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name not in _OURS:
            kept.append((name, value))
            continue
        try:
            number = float(value)
        except ValueError:
            number = 0.0
        if not 0 < number <= 100_000:
            raise StoreError(f"{shown(dsn)}: {name} must be a positive number, not {value!r}")
        ours[_OURS[name]] = number
    query = urlencode(kept)
    return Target(
        f"{plain}?{query}" if query else plain,
        connections=int(max(1.0, ours.pop("connections", Target.connections))),
        named=frozenset(name for name, _ in kept),
        **ours,
    )
