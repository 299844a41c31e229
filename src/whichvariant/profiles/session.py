"""Sessions: when one begins, how long it is, where it landed (docs/profiles.md#sessions)."""

from __future__ import annotations

from typing import Any

from xxhash import xxh3_128_hexdigest

from whichvariant.profiles.events import Page
from whichvariant.profiles.state import NEVER, Session

_NOWHERE: tuple[str, str, dict[str, str], str, str] = ("", "", {}, "", "")


def touch(session: Session | None, at_ms: int, timeout_ms: int) -> Session:
    """The sessions after an event at ``at_ms``; ``session`` itself is changed where it goes on.

    A pause of ``timeout_ms`` or longer begins a new session. An event that is older than the last
    one neither begins nor lengthens any.
    """
    if session is None:
        return Session(at_ms, at_ms)
    if at_ms - session.last_ms >= timeout_ms:
        return Session(at_ms, at_ms, session.count + 1, session.past_s + session.active_s)
    session.last_ms = max(session.last_ms, at_ms)
    return session


def land(session: Session, page: Page, at_ms: int) -> None:
    """Note a page view: the earliest of the session is its landing page."""
    if at_ms >= session.started_ms and (session.landing is None or at_ms < session.landing_ms):
        session.landing = (page.path, page.url, page.query, page.referrer, page.search)
        session.landing_ms = at_ms


def join(one: Session | None, other: Session | None) -> Session | None:
    """The sessions of two profiles that become one: added up, the newer one going on."""
    if one is None or other is None:
        return one or other
    newer, older = (other, one) if other.last_ms > one.last_ms else (one, other)
    return Session(
        newer.started_ms,
        newer.last_ms,
        one.count + other.count,
        one.past_s + other.past_s + older.active_s,
        newer.landing,
        newer.landing_ms,
    )


def session_object(session: Session | None, stable_id: str) -> dict[str, Any]:
    """The session in the API's shape.

    Lengths are seconds: whole ones of this session, the mean over all of them, this one included.
    The id is derived from the visitor and the session's start, so that it is the same for whoever
    computes it.
    """
    if session is None:
        session = Session(NEVER, NEVER, 0)
    path, url, query, referrer, search = session.landing or _NOWHERE
    active = session.active_s
    count = session.count
    total = session.past_s + active
    return {
        "id": _session_id(stable_id, session.started_ms),
        "isReturningVisitor": count > 1,
        "landingPage": {
            "path": path,
            "url": url,
            "query": query,
            "referrer": referrer,
            "search": search,
        },
        "count": count,
        "activeSessionLength": active,
        "averageSessionLength": _mean(total, count),
    }


def _mean(total: int, count: int) -> int | float:
    # A whole number is written as one, as JavaScript does.
    if count == 0:
        return 0
    return total // count if total % count == 0 else total / count


def _session_id(stable_id: str, started_ms: int) -> str:
    digest = xxh3_128_hexdigest(f"{started_ms}/{stable_id}".encode("utf-8", "surrogatepass"))
    return f"{digest[:8]}-{digest[8:12]}-8{digest[13:16]}-a{digest[17:20]}-{digest[20:]}"
