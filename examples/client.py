"""A page that is decided in this process, and whose visitor the API knows afterwards.

It needs a server of the API. In the root of the repository, in the environment that `make demo`
sets up::

    .venv/bin/pip install --editable '.[server]'
    .venv/bin/whichvariant serve --config fixtures/storefront/space.json --store profiles.db
    .venv/bin/python examples/client.py http://127.0.0.1:8000

The hosted API works as well: without an address, with one's own organization and configuration.
"""

from __future__ import annotations

import pathlib
import sys
from typing import Any

from whichvariant import events
from whichvariant.client import Decided, ExperienceClient, Preflight, ProfileAnswer
from whichvariant.errors import ClientError, ProfileNotFound
from whichvariant.events import RequestContext

CONFIGURATION = pathlib.Path(__file__).parents[1] / "fixtures" / "storefront" / "space.json"
BERLIN = {"city": "Berlin", "country": "Germany", "countryCode": "DE", "continent": "EU"}

# What a view of Starlette, FastAPI, Django or Flask has as `request`; here as ASGI says it.
REQUEST: dict[str, Any] = {
    "type": "http",
    "scheme": "https",
    "path": "/tents",
    "raw_path": b"/tents",
    "query_string": b"utm_campaign=winter-sale&utm_source=mail",
    "headers": [
        (b"host", b"fernweh.example"),
        (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0"),
        (b"accept-language", b"de-DE, en;q=0.7"),
        (b"referer", b"https://search.example/"),
    ],
    "client": ("192.0.2.7", 50_000),
}


def show(moment: str, answer: Decided | ProfileAnswer) -> None:
    """Print what the visitor sees in place of the baseline."""
    if isinstance(answer, ProfileAnswer):
        answer = Decided.by("remote", answer.to_answer(), answer.configuration)
    shown = [one["experienceId"] for one in answer.experiences if one["variantIndex"] > 0]
    print(f"{moment}, decided by {answer.decided_by}")
    print(f"  profile      {answer.profile['id'][:12]}…, traits {answer.profile['traits']}")
    print(f"  on a variant {', '.join(shown) or 'of nothing'}")


def main(client: ExperienceClient) -> None:
    """One visitor."""
    context = RequestContext.from_asgi(REQUEST, location=BERLIN)
    print(f"A visitor of {context.path} with {context.campaign} who prefers {context.locale}")

    # A view that renders a page wants to wait for nobody. The configuration is followed here, and
    # the API is asked only where it has to be.
    with Preflight(CONFIGURATION, client) as preflight:
        page = events.page(context, {"category": "tents"})
        rendered = preflight.preflight([page], locale=context.locale)
        show("The first page", rendered)
        visitor = rendered.profile["id"]  # which the view sets as a cookie

        # Once the page is out, the visitor becomes known: a batch makes profiles at given ids.
        client.upsert_many(events.addressed([page], visitor))

        # From now on the API has what is stored of them, and is asked.
        client.update(visitor, [events.identify("customer-7", {"plan": "gold"}, context=context)])
        again = preflight.preflight([events.page(context)], visitor)
        show("The second page", again)
        assert again.decided_by == "remote"
        assert again.profile["traits"] == {"plan": "gold"}

    # Everything that the API answers has names and types.
    stored = client.get("customer-7")
    show("What is stored", stored)
    place = stored.profile.location
    print(f"  session      {stored.profile.session.count}, in {place.city}, {place.country_code}")
    for change in stored.changes:
        print(f"  change       {change.key} = {change.value!r}")

    client.delete(visitor)
    try:
        client.get("customer-7")
    except ProfileNotFound as error:
        print(f"Deleted\n  {error}")


if __name__ == "__main__":
    address = {"base_url": sys.argv[1]} if len(sys.argv) > 1 else {}
    try:
        with ExperienceClient("default", "main", **address) as experience_client:
            main(experience_client)
    except ClientError as trouble:
        sys.exit(str(trouble))
