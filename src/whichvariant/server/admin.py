"""Who may do what operators may: whoever knows the setting ``admin_token``."""

from __future__ import annotations

import secrets

from whichvariant.server.failures import Refused

_KINDS = frozenset({"bearer"})


def require_admin(admin_token: str | None, authorization: str | None) -> None:
    """Raise Refused (401) unless the header ``authorization`` carries the token.

    Without a token among the settings there is nobody who may.
    """
    if admin_token is None or not is_bearer(admin_token, authorization):
        raise Refused(
            401,
            "this needs the admin token, as 'Authorization: Bearer TOKEN'",
            headers=((b"www-authenticate", b'Bearer realm="whichvariant"'),),
        )


def is_bearer(token: str, authorization: str | None) -> bool:
    """Whether the header ``authorization`` carries the token. Takes as long whatever it says."""
    kind, _, given = (authorization or "").partition(" ")
    known = secrets.compare_digest(
        given.strip().encode("utf-8", "replace"), token.encode("utf-8", "replace")
    )
    return known and kind.lower() in _KINDS
