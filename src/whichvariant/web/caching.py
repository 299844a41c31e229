"""What a response's cache headers become when it was made for one visitor.

A personalised page must not be shown to another visitor, so shared caches may not keep it. Nothing
here ever makes a response more cacheable than it was; one that nothing personal went into stays
exactly as it is [policy].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# These speak to certain shared caches, and go before Cache-Control there (RFC 9213).
_TARGETED: Final = (
    "CDN-Cache-Control",
    "Surrogate-Control",
    "Cloudflare-CDN-Cache-Control",
    "Vercel-CDN-Cache-Control",
    "Netlify-CDN-Cache-Control",
    "Akamai-Cache-Control",
    "Edge-Control",
    "X-Accel-Expires",
)

# What only concerns shared caches, or lets a stored response be used where private forbids it.
_SHARED_ONLY: Final = frozenset({"public", "s-maxage", "proxy-revalidate"})

ACCEL: Final = "X-Accel-Expires"


def private_headers(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers to set on a personalised response, given those that it has.

    ``headers`` are by lower-case name; several lines of one joined by commas. `Cache-Control`
    becomes private: what speaks to shared caches goes, ``max-age`` and the like stay; a response
    that says nothing also gets ``no-cache``, so that no cache guesses. `Vary` gets Cookie.
    """
    changed = {}
    control = _private(headers.get("cache-control", ""))
    if control != headers.get("cache-control"):
        changed["Cache-Control"] = control
    vary = _vary(headers.get("vary", ""))
    if vary != headers.get("vary"):
        changed["Vary"] = vary
    for name in _TARGETED:
        if name.lower() in headers:
            changed[name] = "0" if name == ACCEL else "no-store"
    return changed


def _private(control: str) -> str:
    directives = [part.strip() for part in _split(control) if part.strip()]
    names = [part.partition("=")[0].strip().lower() for part in directives]
    if "no-store" in names:
        return control
    kept = [
        part
        for part, name in zip(directives, names, strict=True)
        # private="field" hides single fields only, and so would let the rest be shared.
        if name not in _SHARED_ONLY and name != "private"
    ]
    return ", ".join(["private", *(kept or ["no-cache"])])


def _split(text: str) -> list[str]:
    """The members of a list, where a quoted text may hold commas."""
    parts, quoted = [""], False
    for character in text:
        if character == '"':
            quoted = not quoted
        if character == "," and not quoted:
            parts.append("")
        else:
            parts[-1] += character
    return parts


def _vary(vary: str) -> str:
    names = [name.strip().lower() for name in vary.split(",")]
    if "*" in names or "cookie" in names:
        return vary
    return f"{vary}, Cookie" if vary.strip() else "Cookie"
