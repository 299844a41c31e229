"""From an evaluation context to a visitor (docs/openfeature.md#the-evaluation-context) [policy].

A context is flat by custom: a targeting key and attributes. Rules read profiles in the API's
shape. This is the one place that knows which attribute stands for what.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any, NamedTuple

from whichvariant.errors import ProfileError
from whichvariant.profiles.device import device_of

_OBJECTS = frozenset({"traits", "location", "session", "stickyVariants"})
_OTHERS = frozenset({"device", "userAgent", "events"})
_SPECIAL = _OBJECTS | _OTHERS
_LONGEST_PATH = 64
_DEEPEST = 128


class Visitor(NamedTuple):
    """What an engine is asked about: `Engine.select`'s arguments of these names."""

    profile: dict[str, Any]
    device: str | None = None
    events: Sequence[Mapping[str, Any]] | None = None
    counts: Sequence[int] | None = None


def is_plain(attributes: Mapping[str, Any]) -> bool:
    """Whether all attributes are traits by their own names, so that nothing is to be sorted.

    TypeError if a name is no text.
    """
    return _SPECIAL.isdisjoint(attributes) and "." not in "".join(attributes)


def visitor_of(targeting_key: str, attributes: Mapping[str, Any]) -> Visitor:
    """The visitor that a context describes.

    Parameters
    ----------
    targeting_key
        The visitor's stable id.
    attributes
        ``traits``, ``location``, ``session``, ``stickyVariants``: objects, or single values of
        them as ``location.city``; ``device``: a kind of device; ``userAgent``: what it is told
        from, unless ``device`` is there; ``events``: events in the API's shape, for rules that
        count. Everything else is a trait; a dot leads into nested ones. Of two attributes for one
        value the later counts. Values are not copied.

    Raises
    ------
    ProfileError
        With the name of an attribute of these that is not what it has to be.
    """
    if not isinstance(targeting_key, str):
        raise ProfileError("targetingKey", f"expected a text, got {type(targeting_key).__name__}")
    profile: dict[str, Any] = {"stableId": targeting_key}
    traits: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for name, value in attributes.items():
        if name in _OBJECTS:
            if value is not None:
                object_ = value if type(value) is dict else _object(name, value)
                profile[name] = {**profile[name], **object_} if name in profile else object_
        elif name in _OTHERS:
            others[name] = value
        elif not isinstance(name, str):
            raise ProfileError("", f"names of attributes are texts, not {type(name).__name__}")
        elif "." not in name:
            traits[name] = value
        else:
            head, _, rest = name.partition(".")
            if head in _OBJECTS:
                profile[head] = _with(profile.get(head), rest, value)
            else:
                traits[head] = _with(traits.get(head), rest, value)
    if traits:
        given = profile.get("traits")
        profile["traits"] = traits if given is None else {**given, **traits}
    if not others:
        return Visitor(profile)
    return Visitor(profile, _device(others), _events(others))


def on_top_of(stored: Visitor, said: Visitor) -> Visitor:
    """A visitor who is known, with what a context says of them now [policy].

    Traits, location, session and sticky choices are merged at their top level, as an identify
    event merges traits. ``stored`` has counts; events of the context have to be added to them by
    whoever has the engine.
    """
    profile = dict(stored.profile)
    for name in _OBJECTS & said.profile.keys():
        if said.profile[name]:
            profile[name] = {**(profile.get(name) or {}), **said.profile[name]}
    return Visitor(profile, said.device or stored.device, said.events, stored.counts)


def _device(others: Mapping[str, Any]) -> str | None:
    for name in ("device", "userAgent"):
        value = others.get(name)
        if value is not None and not isinstance(value, str):
            _refuse(name, value, "a text")
    device: str | None = others.get("device")
    return device_of(others.get("userAgent")) if device is None else device


def _events(others: Mapping[str, Any]) -> Sequence[Mapping[str, Any]] | None:
    events = others.get("events")
    if events is not None and (not isinstance(events, Sequence) or isinstance(events, str | bytes)):
        _refuse("events", events, "a list of events")
    return events


def _object(name: str, value: Any) -> dict[str, Any]:
    return dict(value) if isinstance(value, Mapping) else _refuse(name, value, "an object")


def _refuse(name: str, value: Any, expected: str) -> Any:
    raise ProfileError(name, f"expected {expected}, got {type(value).__name__}")


def _with(given: Any, path: str, value: Any) -> dict[str, Any]:
    """``given`` with ``value`` at a dotted path: a copy as far as the path goes.

    Objects on the way are made, other values there give way.
    """
    whole: dict[str, Any] = dict(given) if isinstance(given, Mapping) else {}
    target = whole
    *heads, last = path.split(".", _LONGEST_PATH)
    for head in heads:
        below = target.get(head)
        target[head] = dict(below) if isinstance(below, Mapping) else {}
        target = target[head]
    target[last] = value
    return whole


def with_dates_as_texts(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy in which every date is ISO 8601 text, as JavaScript writes dates into JSON.

    A datetime without a time zone is taken for UTC. What is no JSON value otherwise stays, for the
    engine to refuse if a rule reads it. ProfileError if it is nested too deeply.
    """
    copy: dict[str, Any] = _plain(attributes, 0)
    return copy


def _plain(value: Any, depth: int) -> Any:
    if isinstance(value, datetime):
        return _iso(value)
    if isinstance(value, date):
        return value.isoformat()
    if depth > _DEEPEST:
        raise ProfileError("", "the context is nested too deeply")
    if isinstance(value, Mapping):
        return {key: _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, depth + 1) for item in value]
    return value


def _iso(moment: datetime) -> str:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
