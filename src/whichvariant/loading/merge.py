"""Merging entries of several sources: revisions of one entry, and entities that share an id."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, Generic, TypeVar

from whichvariant.contracts import Audience, Experience, MergeTag
from whichvariant.loading.digest import canonical_value, content_of
from whichvariant.loading.entries import EntryKey, RawEntry

EntityT = TypeVar("EntityT", Audience, Experience, MergeTag)

_NEVER: Final = datetime.min.replace(tzinfo=UTC)


@dataclass(slots=True)
class Candidate(Generic[EntityT]):
    """An entry and what it was read as; ``entity`` is None when its report has an error."""

    raw: RawEntry
    entity: EntityT | None

    def content(self) -> bytes:
        """What it says, for comparing: as an entity, or field by field where it has errors."""
        if self.entity is not None:
            return content_of(self.entity)
        return b"fields " + canonical_value(self.raw.fields).encode()


@dataclass(slots=True)
class Merged(Generic[EntityT]):
    """What is left of the candidates of one kind.

    ``served`` maps ids to entities, ``withheld`` holds ids whose entity is at fault, and
    ``current`` is one candidate for each entry, without its older revisions.
    """

    served: dict[str, EntityT] = field(default_factory=dict)
    withheld: set[str] = field(default_factory=set)
    current: list[Candidate[EntityT]] = field(default_factory=list)


def merge(candidates: Iterable[Candidate[EntityT]]) -> Merged[EntityT]:
    """Reduce candidates to one for each id.

    Repetitions are dropped silently, and of one Contentful entry's revisions the latest counts,
    with a warning about the others. Anything else that shares an id is an error in the later one's
    report, and withheld. Findings of entries that are passed over are taken back.
    """
    merged: Merged[EntityT] = Merged()
    for revisions in _grouped(candidates, lambda candidate: _entry_key(candidate.raw)):
        merged.current.extend(revisions if len(revisions) == 1 else _latest(revisions))
    for same_id in _grouped(merged.current, lambda candidate: candidate.raw.id or None):
        entity_id = same_id[0].raw.id
        different = same_id if len(same_id) == 1 else _distinct(same_id)
        entity = different[0].entity
        if len(different) == 1 and entity is not None:
            merged.served[entity_id] = entity
        elif entity_id:
            merged.withheld.add(entity_id)
        for candidate in different[1:]:
            _report_duplicate(candidate.raw, different[0].raw)
    return merged


def _grouped(
    candidates: Iterable[Candidate[EntityT]],
    key_of: Callable[[Candidate[EntityT]], Hashable | None],
) -> list[list[Candidate[EntityT]]]:
    """Candidates by a key, in order of first appearance; those without one stay alone."""
    groups: list[list[Candidate[EntityT]]] = []
    by_key: dict[Hashable, list[Candidate[EntityT]]] = {}
    for candidate in candidates:
        key = key_of(candidate)
        group = by_key.get(key) if key is not None else None
        if group is not None:
            group.append(candidate)
            continue
        groups.append([candidate])
        if key is not None:
            by_key[key] = groups[-1]
    return groups


def _entry_key(raw: RawEntry) -> EntryKey | None:
    return raw.key if raw.key is not None and raw.key[1] else None


def _distinct(group: list[Candidate[EntityT]]) -> list[Candidate[EntityT]]:
    """One candidate for each content, with the latest time that any of its repetitions has."""
    by_content: dict[bytes, Candidate[EntityT]] = {}
    for candidate in group:
        first = by_content.setdefault(candidate.content(), candidate)
        if first is candidate:
            continue
        candidate.raw.report.clear()
        if (_moment(candidate.raw) or _NEVER) > (_moment(first.raw) or _NEVER):
            first.raw.updated_at = candidate.raw.updated_at
    return list(by_content.values())


def _latest(revisions: list[Candidate[EntityT]]) -> list[Candidate[EntityT]]:
    """The latest of an entry's revisions.

    Revisions of one time or of no known time stay side by side, for their ids to collide.
    """
    different = _distinct(revisions)
    newest = max(different, key=lambda candidate: _moment(candidate.raw) or _NEVER)
    limit = _moment(newest.raw) or _NEVER
    kept: list[Candidate[EntityT]] = []
    for candidate in different:
        moment = _moment(candidate.raw)
        if moment is None or moment == limit:
            kept.append(candidate)
        else:
            _pass_over(candidate.raw, newest.raw)
    return kept


def _pass_over(older: RawEntry, newer: RawEntry) -> None:
    older.report.clear()
    message = f"the revision of {newer.updated_at} at {newer.where} is used instead"
    older.report.add("older-revision", older.place, message)


def _report_duplicate(raw: RawEntry, first: RawEntry) -> None:
    noun = "merge tag" if raw.kind == "mergetag" else raw.kind
    message = f"the {noun} {raw.id!r} is defined differently at {first.where}"
    raw.report.add(f"duplicate-{raw.kind}", raw.place, message)


def _moment(raw: RawEntry) -> datetime | None:
    """`sys.updatedAt`; without an offset it is taken as UTC, which is what Contentful writes."""
    if not isinstance(raw.updated_at, str):
        return None
    try:
        moment = datetime.fromisoformat(raw.updated_at)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
