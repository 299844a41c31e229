"""A visitor from the first page view to a known customer, on stored profiles.

Run it in the root of the repository, in the environment that `make demo` sets up::

    .venv/bin/python examples/profiles.py
"""

from __future__ import annotations

import asyncio
import itertools
import pathlib
import tempfile
from typing import Any

from whichvariant import Answer, Engine, HistoryUnavailable, Namespace
from whichvariant.service import Options, ProfileService
from whichvariant.store import EmbeddedStore

CONFIGURATION = pathlib.Path(__file__).parents[1] / "fixtures" / "storefront" / "space.json"
SHOP = Namespace("fernweh", "main")
MESSAGES = itertools.count()

PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) Version/17.4 Mobile/15E148 Safari/604.1"
)


def event(kind: str, at: str, path: str, **more: Any) -> dict[str, Any]:
    """An event as the vendor's SDKs send it."""
    page = {
        "path": path,
        "url": f"https://fernweh.example{path}",
        "query": {},
        "referrer": "",
        "search": "",
    }
    return {
        "type": kind,
        "channel": "web",
        # Whoever repeats a request repeats its ids, and nothing counts twice.
        "messageId": f"message-{next(MESSAGES)}",
        "timestamp": at,
        "context": {
            "library": {"name": "Fernweh Shop", "version": "4.2.0"},
            "page": page,
            "userAgent": PHONE,
        },
        **({"properties": page} if kind == "page" else {}),
        **more,
    }


def show(moment: str, answer: Answer) -> None:
    """Print who the visitor is, and what they see instead of the baseline."""
    profile = answer.profile
    shown = [one["experienceId"] for one in answer.experiences if one["variantIndex"] > 0]
    print(moment)
    print(f"  profile      {profile['id'][:12]}…, visit {profile['session']['count']}")
    print(f"  traits       {profile['traits']}")
    print(f"  on a variant {', '.join(shown) or 'of nothing'}")


async def main() -> None:
    """Two devices, one visitor."""
    engine = Engine.load(CONFIGURATION)
    with tempfile.TemporaryDirectory() as folder:
        # Any number of processes may open the same file.
        async with EmbeddedStore.open(pathlib.Path(folder) / "profiles.db") as store:
            service = ProfileService(store, {SHOP: engine})

            # A page is rendered on a server. The preflight stores nothing, but its id is good.
            landing = event("page", "2026-03-02T09:00:00Z", "/")
            berlin = Options(location={"city": "Berlin", "countryCode": "DE"})
            preview = await service.create(SHOP, [landing], berlin, preflight=True)
            visitor = preview.profile["id"]

            # The browser comes back with it: now the profile exists, and sees the same.
            first = await service.update(SHOP, visitor, [landing], berlin)
            assert first.experiences == preview.experiences
            show("Monday, the first page", first)

            # Two days later, at a second visit, they say who they are.
            await service.update(
                SHOP,
                visitor,
                [
                    event("page", "2026-03-04T18:00:00Z", "/tents"),
                    event(
                        "identify",
                        "2026-03-04T18:05:00Z",
                        "/account",
                        userId="customer-7",
                        traits={"firstname": "Zoë", "newsletter": True},
                    ),
                ],
            )
            show("Wednesday, signed in", await service.get(SHOP, visitor))

            # What was it on Tuesday? The history knows.
            show("Tuesday", await service.get(SHOP, visitor, at="2026-03-03T12:00:00Z"))

            # On another device a stranger turns out to be the same customer: two profiles become
            # one. The response names it, and both ids lead to it from now on.
            answer = await service.create(SHOP, [event("page", "2026-03-06T20:00:00Z", "/")])
            stranger = answer.profile["id"]
            answer = await service.update(
                SHOP,
                stranger,
                [
                    event(
                        "identify",
                        "2026-03-06T20:01:00Z",
                        "/account",
                        userId="customer-7",
                        traits={"plan": "pro"},
                    )
                ],
            )
            assert answer.profile["id"] == visitor
            assert (await service.get(SHOP, stranger)).profile == answer.profile
            show("Friday, on both devices", answer)

            # Before that moment there were two profiles, so there is no one answer for it.
            try:
                await service.get(SHOP, "customer-7", at="2026-03-03T12:00:00Z")
            except HistoryUnavailable as error:
                print(f"Tuesday, asked again\n  {error}")


if __name__ == "__main__":
    asyncio.run(main())
