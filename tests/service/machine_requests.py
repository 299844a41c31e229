"""Requests for the machine, each made from a few numbers."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any

from profiles.samples import DAY, LAPTOP, MINUTE, PHONE, event, place
from service.model import over, told
from whichvariant.profiles.location import Located
from whichvariant.service import Options

Json = Any

USERS = ["user-0", "user-1", "user-2", "user-3"]
BATCHED = ["batch-0", "batch-1", "batch-2", "user-1"]
FRANCE = {"country": "France", "countryCode": "FR", "city": "Paris"}
PLACES = [
    {"country": "Germany", "countryCode": "DE", "city": "Berlin"},
    {"countryCode": "DE", "city": "Köln"},
    {"city": "Lyon", "region": ""},
    {"countryCode": "FR", "timezone": None},
    {},
]
AGES = [0, 0, 0, 1, 10_000, 10 * MINUTE, 30 * MINUTE, 31 * MINUTE, DAY, 8 * DAY, -60_000]


def digits(number: int, *bases: int) -> list[int]:
    """A number taken apart."""
    parts = []
    for base in bases:
        number, part = divmod(number, base)
        parts.append(part)
    return parts


class Requests:
    """Makes events and options; remembers what was sent, to send it again."""

    now: int
    sent: list[Json]
    keys: dict[str, list[str]]

    def event(self, number: int) -> Json:
        kind, age, message, agent, where, style, detail = digits(number, 14, 11, 6, 4, 9, 3, 5)
        if message == 1 and self.sent:
            # Sent before, or only its message id.
            return self.sent[detail * 7 % len(self.sent)]
        name = f"m{len(self.sent)}"
        if message == 2 and self.sent:
            name = self.sent[detail * 5 % len(self.sent)]["messageId"]
        at: Json = self.now - AGES[age]
        if style == 1:
            at = dt.datetime.fromtimestamp(at / 1000, dt.UTC).isoformat()
        context: Json = {}
        if agent < 2:
            context["userAgent"] = (PHONE, LAPTOP)[agent]
        if where < len(PLACES):
            context["location"] = PLACES[where]
        if style == 2:
            at = None
            context["library"] = {"name": "old", "version": "3.13.9"}
        made = event(*self.fields(kind, detail)[:1], at, name, context=context)
        made |= self.fields(kind, detail)[1]
        self.sent.append(made)
        return made

    def fields(self, kind: int, detail: int) -> tuple[str, Json]:
        if kind < 3:
            return "page", {"properties": place(("/", "/buy")[detail % 2])}
        if kind < 5:
            return "track", {"event": ("buy", "look")[detail % 2], "properties": {"n": detail}}
        if kind == 5:
            return "screen", {"properties": {"name": ("map", "list")[detail % 2]}}
        if kind == 6:
            return "identify", {"userId": None, "traits": {f"k{detail % 3}": detail}}
        if kind < 10:
            # Now and then another profile's own id.
            known = self.keys["a"]
            user = USERS[detail % 4] if kind < 9 else known[(detail * 3) % len(known)]
            return "identify", {"userId": user, "traits": {"k0": {"who": detail}}}
        if kind < 12:
            return "component", {
                "componentId": "c",
                "experienceId": ("e1", "e2", "e3")[detail % 3],
                "variantIndex": (0, 1, 2, 3, None)[detail],
            }
        return ("alias", "component_click")[kind % 2], {}

    def events(self, numbers: list[int]) -> list[Json]:
        return [self.event(number) for number in numbers]

    def options(self, number: int) -> tuple[Options, Callable[[list[Json]], Json]]:
        """Options, and how a server is to locate who sends these events with them."""
        place_, features, locate = digits(number, 12, 3, 3)
        location = PLACES[place_] if place_ < len(PLACES) else None

        async def found() -> Located:
            return Located(FRANCE)

        options = Options(
            location=location,
            features=("location",) if features == 0 else (),
            locate=found if locate == 0 else None,
        )

        def located(events: list[Json]) -> Json:
            contexts = [one["context"] for one in events]
            wanted = features == 0 or any(
                context["library"]["version"] == "3.13.9" for context in contexts
            )
            if any(not told(context.get("location", {"": 1})) for context in contexts):
                wanted = False
            return over(FRANCE if wanted and locate == 0 else {}, told(location))

        return options, located

    def located_by(self, options: Options, events: list[Json]) -> Json:
        at = PLACES.index(options.location) if options.location is not None else len(PLACES)
        features = 0 if options.features else 1
        locate = 0 if options.locate else 1
        return self.options(at + 12 * (features + 3 * locate))[1](events)

    def batched(self, numbers: list[int]) -> list[Json]:
        events = []
        for number in numbers:
            made = self.event(number)
            if "anonymousId" not in made:
                keys = [*BATCHED, *self.keys["a"][-3:]]
                made = {**made, "anonymousId": keys[number % len(keys)]}
                self.sent.append(made)
            events.append(made)
        return events
