"""The cookie that carries a visitor's profile id between a server and the vendor's browser SDKs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal
from urllib.parse import unquote

from whichvariant.errors import SettingsError

NINETAILED: Final = "ntaid"
"""What `@ninetailed/experience.js-plugin-ssr` reads and writes [sdk]."""

OPTIMIZATION: Final = "ctfl-opt-aid"
"""What `@contentful/optimization-web` reads and writes [sdk]."""

YEAR_S: Final = 365 * 24 * 60 * 60

# Ids of the hosted API are UUIDs or hexadecimal. Whatever else may come is no id: it would end up
# in a header, in a URL and in logs.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:~-]{0,127}")
_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}")
_ATTRIBUTE = re.compile(r"[\x21-\x3a\x3c-\x7e]{1,256}")


@dataclass(frozen=True, kw_only=True)
class CookieSettings:
    """Which cookie, and with what attributes.

    Parameters
    ----------
    name
        The cookie that is written, and read first; "" to write none.
    also_read
        Cookies that are read where that one is missing, in this order.
    max_age_s
        Seconds that it lasts from the last personalised page; the vendor's plugin has 365 days.
    domain, path, samesite
        As in `Set-Cookie`. Without a domain the cookie is the host's own.
    secure
        None for: on pages that came by https.
    http_only
        Off, because the browser SDK has to read it: with the cookie out of its reach the browser
        begins with another profile than the server.
    """

    name: str = NINETAILED
    also_read: tuple[str, ...] = (NINETAILED, OPTIMIZATION)
    max_age_s: int = YEAR_S
    domain: str | None = None
    path: str = "/"
    samesite: Literal["Lax", "Strict", "None"] = "Lax"
    secure: bool | None = None
    http_only: bool = False

    def __post_init__(self) -> None:
        for name in (self.name, *self.also_read):
            if name and not _NAME.fullmatch(name):
                raise SettingsError(f"cookie name: not a cookie's name: {name!r}")
        for name, value in {"domain": self.domain, "path": self.path}.items():
            if value is not None and not _ATTRIBUTE.fullmatch(value):
                raise SettingsError(f"cookie {name}: cannot stand in a cookie: {value!r}")
        if self.samesite not in {"Lax", "Strict", "None"}:
            raise SettingsError(f"cookie samesite: Lax, Strict or None, not {self.samesite!r}")
        if self.samesite == "None" and self.secure is False:
            raise SettingsError("cookie samesite: browsers take None only with secure")
        if self.max_age_s <= 0:
            raise SettingsError(f"cookie max_age_s: more than 0, not {self.max_age_s}")

    @property
    def names(self) -> tuple[str, ...]:
        """The cookies that are read, the first that holds an id counts."""
        return tuple(dict.fromkeys(name for name in (self.name, *self.also_read) if name))


@dataclass(frozen=True)
class SetCookie:
    """One cookie to send with a response; ``max_age_s`` 0 takes it away."""

    name: str
    value: str
    max_age_s: int
    secure: bool
    settings: CookieSettings

    def header(self) -> str:
        """The value of a `Set-Cookie` header."""
        parts = [f"{self.name}={self.value}", f"Max-Age={self.max_age_s}"]
        if self.max_age_s == 0:
            epoch = datetime.fromtimestamp(0, UTC)
            parts.append(f"Expires={epoch:%a, %d %b %Y %H:%M:%S} GMT")
        parts.append(f"Path={self.settings.path}")
        if self.settings.domain:
            parts.append(f"Domain={self.settings.domain}")
        if self.secure:
            parts.append("Secure")
        if self.settings.http_only:
            parts.append("HttpOnly")
        parts.append(f"SameSite={self.settings.samesite}")
        return "; ".join(parts)


def is_profile_id(text: object) -> bool:
    """Whether this can be a profile id: 1 to 128 letters, digits and ``._:~-``."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


def read_profile_id(cookies: Mapping[str, str], settings: CookieSettings) -> str | None:
    """The visitor's profile id; None where no cookie holds what can be one."""
    for name in settings.names:
        value = unquote(cookies.get(name, ""))
        if is_profile_id(value):
            return value
    return None


def keep_profile_id(profile_id: str, settings: CookieSettings, *, https: bool) -> list[SetCookie]:
    """The cookie that makes the visitor known at the next page; none for what cannot be an id."""
    if not settings.name or not is_profile_id(profile_id):
        return []
    return [
        SetCookie(settings.name, profile_id, settings.max_age_s, _secure(settings, https), settings)
    ]


def forget(cookies: Mapping[str, str], settings: CookieSettings, *, https: bool) -> list[SetCookie]:
    """What takes away the cookies that came, for a visitor who does not agree to them."""
    secure = _secure(settings, https)
    return [SetCookie(name, "", 0, secure, settings) for name in settings.names if name in cookies]


def _secure(settings: CookieSettings, https: bool) -> bool:
    # Browsers refuse SameSite=None without it, wherever the page came from.
    return https or settings.samesite == "None" if settings.secure is None else settings.secure
