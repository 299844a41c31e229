"""What a request says: its events, checked, and what is found out about its visitor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from whichvariant.profiles.events import Event, IdentifyEvent, read_events
from whichvariant.profiles.firmographics import FEATURE
from whichvariant.profiles.location import Located, read_location, supplement, wants_location
from whichvariant.service.settings import Options


class Said(NamedTuple):
    """Events that are checked, and what was found out for them."""

    events: list[Event]
    located: Located | None
    firmographics: Mapping[str, Any] | None


async def read_said(events: Sequence[Mapping[str, Any]], options: Options, now_ms: int) -> Said:
    """Check what a request for one profile says. EventError names the place of what is wrong."""
    checked = read_events(events, now_ms)
    found = None
    if options.locate is not None and wants_location(checked, options.features):
        found = await options.locate()
    firmographics = None
    if _enriches(options):
        assert options.enrich is not None
        firmographics = await options.enrich()
    return Said(checked, _located(found, options), firmographics)


def said_at_once(events: Sequence[Mapping[str, Any]], options: Options, now_ms: int) -> Said | None:
    """As `read_said`; None if the server has to be asked about the visitor."""
    if _enriches(options):
        return None
    checked = read_events(events, now_ms)
    if options.locate is not None and wants_location(checked, options.features):
        return None
    return Said(checked, _located(None, options), None)


def names_user(event: Event) -> bool:
    """Whether an event says who the visitor is."""
    return isinstance(event.fields, IdentifyEvent) and bool(event.fields.user_id)


def _enriches(options: Options) -> bool:
    return options.enrich is not None and FEATURE in options.features


def _located(located: Located | None, options: Options) -> Located | None:
    """What the server and the options say; later wins."""
    if options.location is not None:
        given = read_location(options.location, "options.location")
        if given:
            base = located or Located({})
            location = supplement(base.location, given)
            same_city = location.get("city") == base.location.get("city")
            located = Located(location, base.city_names if same_city else {})
    return located if located is not None and located.location else None
