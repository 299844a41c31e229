"""The inspector: a page that shows what is decided for a profile, and why (docs/server.md).

The page is files of this package; the data it shows comes from `data`, by way of `routes`.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from whichvariant.errors import SettingsError

if TYPE_CHECKING:
    from whichvariant.server.settings import ServerSettings


def check_inspector(settings: ServerSettings) -> None:
    """Raise SettingsError if everybody could look at profiles."""
    if settings.inspector and settings.admin_token is None and not is_loopback(settings.host):
        raise SettingsError("inspector: needs admin_token unless host is loopback")


def is_loopback(host: str) -> bool:
    """Whether a host, by name or address, is this machine and cannot be reached from others."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"
