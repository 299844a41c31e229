"""Who may do what operators may: whoever knows the setting ``admin_token``."""

from __future__ import annotations

import secrets

from whichvariant.server.failures import Refused


def require_admin(admin_token: str | None, authorization: str | None) -> None:
    """Raise Refused (401) unless the header ``authorization`` carries the token.

    Without a token among the settings there is nobody who may.
    """
    kind, _, given = (authorization or "").partition(" ")
    known = admin_token is not None and secrets.compare_digest(
        given.strip().encode("utf-8", "replace"), admin_token.encode("utf-8", "replace")
    )
    if kind.lower() != "bearer" or not known:
        raise Refused(
            401,
            "this needs the admin token, as 'Authorization: Bearer TOKEN'",
            headers=((b"www-authenticate", b'Bearer realm="whichvariant"'),),
        )
