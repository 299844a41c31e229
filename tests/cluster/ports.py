"""Ports that stay one's own while nobody listens on them."""

from __future__ import annotations

import random
import socket

# Below those that systems give to connections of their own choosing (from 32,768 on).
_FIRST, _LAST = 20_000, 32_000


def steady_port() -> int:
    """A port that nobody listens on, and that no outgoing connection will take meanwhile."""
    while True:
        port = random.randint(_FIRST, _LAST)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port
