"""What profiles are, said once more and slowly: whole lists of events, counted from the start.

Written from docs/profiles.md and SEMANTICS section 5. It shares no code with what it is compared
with, and knows nothing of records, hashes, rows or transactions.
"""

from __future__ import annotations

import copy
import dataclasses
import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

Json = Any

SESSION_MS = 30 * 60 * 1000
DAY_MS = 86_400_000
LONG_AGO = -(10**18)
IDLE = ("alias", "group", "component_click", "component_hover")


class Question(NamedTuple):
    """What a counter counts: events of a type, perhaps with a name or path, perhaps of late."""

    kind: str
    name: str | None = None
    days: int | None = None

    def is_met_by(self, event: Json) -> bool:
        if event["type"] != self.kind:
            return False
        if self.name is None:
            return True
        if self.kind == "page":
            return bool(event["properties"]["path"] == self.name)
        if self.kind == "track":
            return bool(event["event"] == self.name)
        return bool(event["properties"]["name"] == self.name)


@dataclass(frozen=True)
class Rules:
    """A configuration: which counts make which audiences, and what is sticky up to which index."""

    audiences: dict[str, tuple[Question, int]]
    sticky: dict[str, int]

    @property
    def questions(self) -> set[Question]:
        return {question for question, _ in self.audiences.values()}


@dataclass(frozen=True)
class Happened:
    """An event with its time."""

    event: Json
    at: int

    def __deepcopy__(self, memo: Json) -> Happened:
        return self


@dataclass
class Request:
    """The events of one request that were new to the profile, in the order of their times.

    ``before_merge``: it belongs to the time before profiles became one.
    """

    happened: list[Happened]
    located: Json
    sticky: dict[str, int]
    before_merge: bool = False


@dataclass
class Sessions:
    started: int
    last: int
    count: int = 1
    past_seconds: int = 0
    landing: Json = None
    landing_at: int = LONG_AGO

    @property
    def active(self) -> int:
        return (self.last - self.started) // 1000


@dataclass
class Facts:
    """What events come to, but for counters."""

    traits: dict[str, tuple[int, Json]] = field(default_factory=dict)
    sessions: Sessions | None = None
    location: tuple[int, Json] = (LONG_AGO, {})
    device: tuple[int, str | None] = (LONG_AGO, None)
    sticky: dict[str, tuple[int, int]] = field(default_factory=dict)

    def add(self, request: Request, until: int | None = None, sticky: Json = None) -> None:
        """Let a request happen, or the part of it up to a moment."""
        happened = [one for one in request.happened if until is None or one.at <= until]
        if not happened:
            return
        said: Json = {}
        for one in happened:
            if one.event["type"] not in IDLE:
                self._one(one.event, one.at, request.sticky if sticky is None else sticky)
                said = told(one.event["context"].get("location")) or said
        if request.located or said:
            where = over(request.located or {}, said)
            if happened[-1].at >= self.location[0]:
                self.location = (happened[-1].at, where)

    def _one(self, event: Json, at: int, sticky: dict[str, int]) -> None:
        session = self.sessions
        if session is None:
            session = self.sessions = Sessions(at, at)
        elif at >= session.last + SESSION_MS:
            session = self.sessions = Sessions(
                at, at, session.count + 1, session.past_seconds + session.active
            )
        elif at > session.last:
            session.last = at
        agent = event["context"].get("userAgent")
        if agent and at >= self.device[0]:
            self.device = (at, "mobile" if "iPhone" in agent else "desktop")
        if event["type"] == "page":
            first = session.landing is None or at < session.landing_at
            if first and at >= session.started:
                session.landing = {
                    key: event["properties"][key]
                    for key in ("path", "url", "query", "referrer", "search")
                }
                session.landing_at = at
        if event["type"] == "identify":
            for key, value in event["traits"].items():
                if key not in self.traits or at >= self.traits[key][0]:
                    self.traits[key] = (at, value)
        if event["type"] == "component":
            name, index = event.get("experienceId"), event.get("variantIndex")
            there = name in sticky and index is not None and index <= sticky[name]
            if there and (name not in self.sticky or at >= self.sticky[name][0]):
                self.sticky[name] = (at, index)

    def absorb(self, other: Facts) -> None:
        """Become one with what is known of another, who turned out to be this one."""
        for key, (at, value) in other.traits.items():
            if key not in self.traits or at > self.traits[key][0]:
                self.traits[key] = (at, value)
        if other.location[0] > self.location[0]:
            self.location = other.location
        if other.device[0] > self.device[0]:
            self.device = other.device
        mine, theirs = self.sessions, other.sessions
        if theirs is not None:
            if mine is None:
                self.sessions = copy.copy(theirs)
            else:
                newer, older = (theirs, mine) if theirs.last > mine.last else (mine, theirs)
                past = mine.past_seconds + theirs.past_seconds + older.active
                self.sessions = dataclasses.replace(
                    newer, count=mine.count + theirs.count, past_seconds=past
                )


Counts = dict[Question, list[int]]


@dataclass
class Person:
    """One profile. ``life`` is everything that ever happened; ``kept`` what the history has."""

    space: str
    key: str | None
    stable: str | None
    life: list[Request | list[Any]] = field(default_factory=list)
    kept: list[Request] = field(default_factory=list)
    counts: Counts = field(default_factory=dict)
    base: Facts | None = None
    base_counts: Counts = field(default_factory=dict)
    since: int = LONG_AGO

    def facts(self) -> Facts:
        return lived(self.life)

    def messages(self) -> set[str]:
        return {one.event["messageId"] for request in self.kept for one in request.happened}


def lived(life: Iterable[Request | list[Any]]) -> Facts:
    facts = Facts()
    for part in life:
        if isinstance(part, Request):
            facts.add(part)
        else:
            facts.absorb(lived(part))
    return facts


def told(location: Json) -> Json:
    """What a location says that is neither null nor empty."""
    return {key: value for key, value in (location or {}).items() if value}


def over(location: Json, more: Json) -> Json:
    """``more`` supplements ``location``, unless it is in another country."""
    for key in ("countryCode", "country"):
        if key in more and key in location and more[key] != location[key]:
            return dict(more)
    return {**location, **more}


def moment(event: Json, received: int) -> int:
    """When an event happened."""
    stamp = event.get("timestamp")
    if stamp is None:
        return received
    if isinstance(stamp, str):
        stamp = dt.datetime.fromisoformat(stamp).timestamp() * 1000
    return min(round(stamp), received)


class Refused(Exception):
    """The request is answered with the error of this name."""


class World:
    """All profiles of all namespaces."""

    def __init__(self, history: int) -> None:
        self.history = history
        # Of every namespace: what each key leads to. None is a tombstone.
        self.people: dict[str, dict[str, Person]] = {"a": {}, "b": {}}
        self.names: dict[str, dict[str, tuple[str, Person | None]]] = {"a": {}, "b": {}}

    def find(self, space: str, key: str) -> Person | None:
        """The profile that a key leads to; Refused for a tombstone."""
        if key in self.names[space]:
            person = self.names[space][key][1]
            if person is None:
                raise Refused("ProfileNotFound")
            return person
        return self.people[space].get(key)

    def existing(self, space: str, key: str) -> Person:
        person = self.find(space, key)
        if person is None:
            elsewhere = any(
                key in self.people[other] or self.names[other].get(key, ("", None))[1] is not None
                for other in self.people
                if other != space
            )
            raise Refused("NamespaceMismatch" if elsewhere else "ProfileNotFound")
        return person

    # ---- what may happen ----------------------------------------------------------------------

    def apply(
        self,
        space: str,
        person: Person,
        events: Sequence[Json],
        located: Json,
        now: int,
        *,
        rules: Rules,
    ) -> Person:
        """Events of one request happen to a profile, which may be nobody yet.

        It has no key where nobody could know it: a server made it up for this request.
        """
        happened = [Happened(event, moment(event, now)) for event in events]
        happened.sort(key=lambda one: one.at)
        first: dict[str, Happened] = {}
        for one in happened:
            first.setdefault(one.event["messageId"], one)
        for one in first.values():
            user = one.event.get("userId") if one.event["type"] == "identify" else None
            if user and one.event["messageId"] not in person.messages():
                person = self._identify(space, person, user, now, rules)
        fresh = [one for one in first.values() if one.event["messageId"] not in person.messages()]
        if not fresh:
            return person
        counts = self.counted(person, rules)
        request = Request(fresh, located, rules.sticky)
        for question, times in counts.items():
            times += [one.at for one in fresh if question.is_met_by(one.event)]
            counts[question] = self._newest(question, times)
        person.counts = counts
        person.life.append(request)
        person.kept.append(request)
        self._store(space, person)
        self._trim(person, rules)
        return person

    def _store(self, space: str, person: Person) -> None:
        if person.key is not None and person.key not in self.people[space]:
            self.people[space][person.key] = person

    def born(self, space: str, person: Person, key: str) -> None:
        """A profile whose id was not known yet has got one."""
        person.key = person.stable = key
        self._store(space, person)

    def _identify(self, space: str, person: Person, user: str, now: int, rules: Rules) -> Person:
        if user == person.key:
            return person
        try:
            owner = self.find(space, user)
        except Refused:
            return person
        if owner is None:
            self.names[space][user] = ("alias", person)
        if owner is None or owner is person:
            return person
        for key, (kind, other) in list(self.names[space].items()):
            if other is person:
                self.names[space][key] = (kind, owner)
        if person.key is not None:
            self.people[space].pop(person.key, None)
            self.names[space][person.key] = ("forward", owner)
        if not person.life:
            return owner
        counts, theirs = self.counted(owner, rules), self.counted(person, rules)
        owner.counts = {
            question: self._newest(question, times + theirs[question])
            for question, times in counts.items()
        }
        owner.life.append(person.life)
        owner.kept += person.kept
        owner.kept = [dataclasses.replace(request, before_merge=True) for request in owner.kept]
        owner.base = owner.facts()
        owner.base_counts = copy.deepcopy(owner.counts)
        last = LONG_AGO if owner.base.sessions is None else owner.base.sessions.last
        owner.since = max(now, owner.since, person.since, last)
        return owner

    def _trim(self, person: Person, rules: Rules) -> None:
        total = sum(len(request.happened) for request in person.kept)
        if total <= self.history + self.history // 8:
            return
        merged = [request for request in person.kept if request.before_merge]
        counts = self._recounted(person.base_counts, merged, rules)
        base = copy.deepcopy(person.base) if person.base else Facts()
        dropped = False
        while len(person.kept) > 1:
            oldest = person.kept[0]
            if total - len(oldest.happened) < self.history:
                break
            total -= len(oldest.happened)
            del person.kept[0]
            dropped = True
            if not oldest.before_merge:
                base.add(oldest, sticky=rules.sticky)
                for question, times in counts.items():
                    times += [one.at for one in oldest.happened if question.is_met_by(one.event)]
                    counts[question] = self._newest(question, times)
                person.since = max(person.since, *(one.at for one in oldest.happened))
        if dropped:
            person.base, person.base_counts = base, counts

    def delete(self, space: str, key: str) -> None:
        person = self.existing(space, key)
        assert person.key is not None
        del self.people[space][person.key]
        for name, (kind, other) in list(self.names[space].items()):
            if other is person and kind == "alias":
                del self.names[space][name]
            elif other is person:
                self.names[space][name] = ("tombstone", None)
        self.names[space][person.key] = ("tombstone", None)

    def batch(
        self, space: str, events: Sequence[Json], now: int, rules: Rules, *, skip_deleted: bool
    ) -> list[Person]:
        """Apply a batch; Refused half-way, so hand in a copy. Who the keys led to, at the end."""
        keys = list(dict.fromkeys(event["anonymousId"] for event in events))
        done = []
        for key in keys:
            try:
                person = self.find(space, key) or Person(space, key, key)
            except Refused:
                if not skip_deleted:
                    raise
                continue
            mine = [event for event in events if event["anonymousId"] == key]
            done.append(self.apply(space, person, mine, {}, now, rules=rules))
        return [self._survivor(space, person) for person in done]

    def _survivor(self, space: str, person: Person) -> Person:
        assert person.key is not None
        return self.people[space].get(person.key) or self.existing(space, person.key)

    # ---- counters -----------------------------------------------------------------------------

    def _newest(self, question: Question, times: list[int]) -> list[int]:
        return times if question.days is None else sorted(times)[-self.history :]

    def _recounted(self, counts: Counts, kept: Iterable[Request], rules: Rules) -> Counts:
        """What rules ask: as it was counted, or for what is new as far as events are kept."""
        asked: Counts = {}
        for question in rules.questions:
            if counts.get(question):
                asked[question] = list(counts[question])
            else:
                times = [
                    one.at
                    for request in kept
                    for one in request.happened
                    if question.is_met_by(one.event)
                ]
                asked[question] = self._newest(question, times)
        return asked

    def counted(self, person: Person, rules: Rules) -> Counts:
        return self._recounted(person.counts, person.kept, rules)

    # ---- answers ------------------------------------------------------------------------------

    def profile(self, person: Person, rules: Rules, now: int) -> Json:
        """The profile as the API shows it, but for `random` and the session's id."""
        return shown(person, person.facts(), self.counted(person, rules), rules, now)

    def profile_at(self, person: Person, rules: Rules, at: int) -> Json:
        """The profile as of a moment; Refused if there was none, or nobody knows any more."""
        if at < person.since:
            raise Refused("HistoryUnavailable")
        merged = [request for request in person.kept if request.before_merge]
        later = [request for request in person.kept if not request.before_merge]
        facts = copy.deepcopy(person.base) if person.base else Facts()
        counts = self._recounted(person.base_counts, merged, rules)
        if person.base is None and not any(
            one.at <= at for request in later for one in request.happened
        ):
            raise Refused("ProfileNotFound")
        for request in later:
            facts.add(request, at, rules.sticky)
            for question, times in counts.items():
                times += [
                    one.at
                    for one in request.happened
                    if one.at <= at and question.is_met_by(one.event)
                ]
                counts[question] = self._newest(question, times)
        return shown(person, facts, counts, rules, at)


def shown(person: Person, facts: Facts, counts: Counts, rules: Rules, now: int) -> Json:
    sessions = facts.sessions or Sessions(0, 0, 0)
    landing = {"path": "", "url": "", "query": {}, "referrer": "", "search": ""}
    total = sessions.past_seconds + sessions.active
    audiences = []
    for name, (question, wanted) in rules.audiences.items():
        times = counts[question]
        if question.days is not None:
            times = [at for at in times if at >= now - question.days * DAY_MS]
        if len(times) >= wanted:
            audiences.append(name)
    if facts.device[1] == "mobile":
        audiences.append("on-mobile")
    if facts.device[1] == "desktop":
        audiences.append("on-desktop")
    if facts.location[1].get("countryCode") == "DE":
        audiences.append("in-germany")
    if sessions.count > 1:
        audiences.append("returning")
    profile = {
        "id": person.key,
        "stableId": person.stable,
        "audiences": sorted(audiences),
        "traits": {key: value for key, (_, value) in facts.traits.items()},
        "location": facts.location[1],
        "session": {
            "isReturningVisitor": sessions.count > 1,
            "landingPage": sessions.landing or landing,
            "count": sessions.count,
            "activeSessionLength": sessions.active,
            "averageSessionLength": total / sessions.count if sessions.count else 0,
        },
    }
    if facts.sticky:
        profile["stickyVariants"] = {name: index for name, (_, index) in facts.sticky.items()}
    return profile
