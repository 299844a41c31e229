"""Requests as bytes, and answers as what the checker compares."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from tests.cluster.configuration import LOCKED, RELEASE, Releases
from tests.cluster.groups import Group
from tests.cluster.operations import (
    UNKNOWN,
    Action,
    Answer,
    Batch,
    Delete,
    Preflight,
    Read,
    Said,
    Seen,
)
from tests.cluster.servers import API
from tests.cluster.wire import Reply

Json = Any


def events_of(group: Group, said: Said, *, addressed: bool) -> list[Json]:
    """The events of a saying. ``addressed``: they name their profile, as batches do."""
    name = f"{group.tag}-{said.mark}"
    texts = group.history.texts
    identify = {
        "type": "identify",
        "messageId": f"{name}-says",
        "traits": {f"m{said.mark}": 1, "last": said.mark},
        "userId": "" if said.user is None else texts[said.user],
    }
    track = {"type": "track", "messageId": f"{name}-hits", "event": "hit", "properties": {}}
    events: list[Json] = [identify, track]
    if said.locks is not None:
        events.append(
            {
                "type": "component",
                "messageId": f"{name}-locks",
                "componentId": f"{LOCKED}-{said.locks}",
                "experienceId": LOCKED,
                "variantIndex": said.locks,
            }
        )
    for event in events:
        event["channel"] = "web"
        event["context"] = {"library": {"name": "tests", "version": "3.20.0"}}
        event["timestamp"] = said.at_ms
        if addressed:
            event["anonymousId"] = texts[said.key]
    return events


def request_of(group: Group, action: Action) -> tuple[str, str, bytes]:
    """Method, path and body."""
    texts = group.history.texts
    if isinstance(action, Read):
        return "GET", f"{API}/profiles/{texts[action.key]}", b""
    if isinstance(action, Delete):
        return "DELETE", f"{API}/profiles/{texts[action.key]}", b""
    if isinstance(action, Batch):
        path = "/import/events" if action.waits else "/events"
        events = [event for said in action.said for event in events_of(group, said, addressed=True)]
        return "POST", API + path, _body(events)
    path = f"{API}/profiles/{texts[action.said.key]}"
    if isinstance(action, Preflight):
        path += "?type=preflight"
    return "POST", path, _body(events_of(group, action.said, addressed=False))


def creation(group: Group, said: Said | None) -> tuple[str, str, bytes]:
    """A request for a new profile; without a saying a preflight, which only gives an id."""
    if said is not None:
        return "POST", f"{API}/profiles", _body(events_of(group, said, addressed=False))
    nothing = Said(UNKNOWN, 0, 0)
    events = events_of(group, nothing, addressed=False)
    return "POST", f"{API}/profiles?type=preflight", _body(events)


def _body(events: Sequence[Json]) -> bytes:
    return json.dumps({"events": list(events)}).encode()


class Implausible(Exception):
    """An answer that contradicts itself, whatever happened before it."""


def answer_of(group: Group, action: Action, reply: Reply, releases: Releases) -> Answer | None:
    """What a reply of status 200 or 404 tells; None where it tells nothing of profiles."""
    told = json.loads(reply.body)
    if reply.status == 404:
        if told["error"]["code"] != "ERR_PROFILE_NOT_FOUND":
            raise Implausible(f"{told['error']}")
        return Answer(gone=True)
    data = told["data"]
    if isinstance(action, Delete):
        return Answer()
    if isinstance(action, Batch):
        if action.waits:
            return None
        _release_of(reply, releases)
        return Answer(tuple(_seen(group, profile) for profile in data["profiles"]))
    named = [change["value"] for change in data["changes"] if change["key"] == RELEASE]
    if named != [_release_of(reply, releases)]:
        raise Implausible(f"decided by {named}, which the digest denies")
    locked = [one for one in data["experiences"] if one["experienceId"] == LOCKED]
    return Answer((_seen(group, data["profile"], locked[0]["variantIndex"]),))


def _release_of(reply: Reply, releases: Releases) -> str:
    return releases.name_of(reply.headers["x-whichvariant-configuration"])


def _seen(group: Group, profile: Json, locked: int = UNKNOWN) -> Seen:
    if profile["id"] != profile["stableId"]:
        raise Implausible(f"id {profile['id']}, stable id {profile['stableId']}")
    try:
        key = group.key_of(profile["id"])
    except KeyError:
        raise Implausible(f"nobody knows the profile {profile['id']}") from None
    marks = 0
    for name in profile["traits"]:
        if name != "last":
            marks |= 1 << int(name.removeprefix("m"))
    count = _counted(profile["audiences"])
    return Seen(key, marks, count, profile["traits"].get("last", UNKNOWN), locked)


def _counted(audiences: Sequence[str]) -> int:
    """The number that the audiences of a profile come to. All counters have to agree."""
    counts: dict[str, list[int]] = {"hits": []}
    for audience in audiences:
        prefix, _, number = audience.partition("-")
        counts.setdefault(prefix, []).append(int(number))
    for prefix, numbers in counts.items():
        if numbers != list(range(1, len(numbers) + 1)) or len(numbers) != len(counts["hits"]):
            raise Implausible(f"{prefix}: {numbers}, hits: {counts['hits']}")
    return len(counts["hits"])
