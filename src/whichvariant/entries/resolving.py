"""Whole trees of entries with every entry in its variant, and merge tags as text."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from whichvariant.entries.choosing import Choice, Record, choose, records_by_id
from whichvariant.entries.merge_tags import is_merge_tag, merge_tag_of
from whichvariant.entries.shapes import Entry, is_entry
from whichvariant.errors import EntryError

MAX_ENTRIES: Final = 20_000
"""Entries that one resolver reaches; a Delivery API response has a few thousand at most."""

MAX_NESTING: Final = 200
"""Objects and arrays within each other in one field, entries not counted."""

_UNRESOLVED: Final = frozenset({"nt_experiences"})
_NOTHING: Final = object()


class Resolution(NamedTuple):
    """An entry as a visitor sees it: ``entry`` is None where nothing is to be shown.

    ``choices`` are what experiences decided on the way, the entry's own first.
    """

    entry: dict[str, Any] | None
    choices: tuple[Choice, ...]


class Resolver:
    """Resolves entries for one visitor; what several entries share is resolved, and shared, once.

    Every entry that is reached through fields and through rich text is put in its variant, all the
    way down; entries may refer to each other in circles. An entry that an experience decided gets
    one more key beside ``sys`` and ``fields``: ``experience``, with `experienceId`, `variantIndex`,
    `baselineId` and `sticky`, for tracking. The empty variant leaves a list or a rich text without
    the entry, and a field with None. `nt_experiences`, and the targets of `entry-hyperlink`, stay
    as they are: the latter are other pages, not part of this one [policy].

    Parameters
    ----------
    experiences
        The records of a selection or of an API answer.
    profile
        Whose values merge tags show, in the API's shape; with None they show their fallbacks.
    merge_tags
        Whether an inline `nt_mergetag` in rich text becomes a text node. One without value and
        without fallback disappears.

    Raises
    ------
    EntryError
        Records that are none, more than 20,000 entries, fields nested more than 200 deep.

    Notes
    -----
    The entries must not change while they are being resolved.
    """

    def __init__(
        self,
        experiences: Iterable[Record],
        profile: Mapping[str, Any] | None = None,
        *,
        merge_tags: bool = True,
    ) -> None:
        self._records = records_by_id(experiences)
        self._profile = profile
        self._merge_tags = merge_tags
        # By identity of the entry that was met. The entries are kept, so that no identity is used
        # twice: what was put in its place, and its fields as they are to be shown.
        self._chosen: dict[int, tuple[Entry, Choice]] = {}
        self._placed: dict[int, Any] = {}
        self._fields: dict[int, dict[str, Any]] = {}
        self._kept: list[Entry] = []
        self._waiting: deque[tuple[Mapping[str, Any], dict[str, Any]]] = deque()
        self._personal = False

    @property
    def personal(self) -> bool:
        """Whether anything was met that another visitor may see otherwise, whatever came of it."""
        return self._personal

    def choose(self, entry: Entry) -> Choice:
        """What stands in the place of one entry; its own fields are not looked into."""
        if not is_entry(entry):
            raise EntryError("", "not an entry: it has no sys.id, or no fields")
        known = self._chosen.get(id(entry))
        if known is None:
            self._personal = self._personal or bool(entry["fields"].get("nt_experiences"))
            known = self._chosen[id(entry)] = (entry, choose(entry, self._records))
        return known[1]

    @property
    def choices(self) -> tuple[Choice, ...]:
        """What experiences decided so far, in the order in which the entries were met."""
        met = (choice for _, choice in self._chosen.values())
        return tuple(choice for choice in met if choice.experience_id is not None)

    def resolve(self, entry: Entry) -> dict[str, Any] | None:
        """An entry and everything below it, new; None where nothing is to be shown."""
        self.choose(entry)
        try:
            placed = self._place(entry)
            while self._waiting:
                source, target = self._waiting.popleft()
                for name, value in source.items():
                    shown = value if name in _UNRESOLVED else self._value(value, MAX_NESTING)
                    target[name] = None if shown is _NOTHING else shown
        except EntryError:
            # What is only half filled must not come out of a later call.
            self._waiting.clear()
            self._placed.clear()
            self._fields.clear()
            raise
        return None if placed is _NOTHING else placed

    def _place(self, entry: Entry) -> Any:
        """The entry's stand-in, its fields perhaps still to be filled; or _NOTHING."""
        key = id(entry)
        if key not in self._placed:
            if len(self._placed) >= MAX_ENTRIES:
                raise EntryError("", f"more than {MAX_ENTRIES:,} entries")
            choice = self.choose(entry)
            if choice.entry is None:
                self._placed[key] = _NOTHING
            else:
                placed = {**choice.entry, "fields": self._fields_of(choice.entry)}
                if choice.experience_id is not None:
                    placed["experience"] = {
                        "experienceId": choice.experience_id,
                        "variantIndex": choice.variant_index,
                        "baselineId": choice.baseline_id,
                        "sticky": choice.sticky,
                    }
                self._placed[key] = placed
        return self._placed[key]

    def _fields_of(self, entry: Entry) -> dict[str, Any]:
        """The fields of an entry whose variant is decided; they are filled in `resolve`."""
        key = id(entry)
        if key not in self._fields:
            self._kept.append(entry)
            self._fields[key] = {}
            self._waiting.append((entry["fields"], self._fields[key]))
        return self._fields[key]

    def _value(self, value: Any, depth: int) -> Any:
        if isinstance(value, list):
            if not depth:
                raise EntryError("", f"a field is nested more than {MAX_NESTING} deep")
            items = [self._value(item, depth - 1) for item in value]
            return [item for item in items if item is not _NOTHING]
        if not isinstance(value, Mapping):
            return value
        if not depth:
            raise EntryError("", f"a field is nested more than {MAX_NESTING} deep")
        if is_entry(value):
            return self._place(value)
        if "nodeType" in value and isinstance(value.get("data"), Mapping):
            target = value["data"].get("target")
            if is_entry(target):
                return self._node(value, target, depth)
        shown = {}
        for name, item in value.items():
            found = self._value(item, depth - 1)
            shown[name] = None if found is _NOTHING else found
        return shown

    def _node(self, node: Mapping[str, Any], target: Entry, depth: int) -> Any:
        """A node of rich text that embeds an entry, or links to one."""
        kind = node["nodeType"]
        if self._merge_tags and kind == "embedded-entry-inline" and is_merge_tag(target):
            self._personal = True
            text = merge_tag_of(self._profile, target)
            if text is None:
                return _NOTHING
            return {"nodeType": "text", "value": text, "marks": [], "data": {}}
        placed = target if kind == "entry-hyperlink" else self._place(target)
        if placed is _NOTHING:
            return _NOTHING
        rest = {name: item for name, item in node.items() if name != "data"}
        return {
            **{name: self._value(item, depth - 1) for name, item in rest.items()},
            "data": {**node["data"], "target": placed},
        }


def resolve(
    entry: Entry,
    experiences: Iterable[Record],
    profile: Mapping[str, Any] | None = None,
    *,
    merge_tags: bool = True,
) -> Resolution:
    """One entry and everything below it, for one visitor (see `Resolver`)."""
    resolver = Resolver(experiences, profile, merge_tags=merge_tags)
    return Resolution(resolver.resolve(entry), resolver.choices)
