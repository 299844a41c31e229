"""A page: the places on it that experiences fill, and the key of what fills them."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, Literal, TypeAlias

import orjson

from whichvariant._core.answers import Selection
from whichvariant.contracts import (
    Configuration,
    EntryReplacement,
    Experience,
    InlineVariable,
    JsonValue,
)
from whichvariant.loading.digest import canonical_value

Level: TypeAlias = Literal["seen", "experiences"]
"""``seen``: what is shown. ``experiences``: which experience gives which index."""

Kind: TypeAlias = Literal["entry", "variable", "experience"]

_KEY_BYTES = 9
_KEYS = 1 << 8 * _KEY_BYTES


@dataclass(frozen=True, slots=True)
class Place:
    """Something on a page that several experiences may fill: the first selected one does.

    ``contents`` are what can be there, by code; 0 is what is there when no experience is selected:
    the baseline entry, the site's own value of a variable (None), no record of an experience
    (None). ``candidates`` are experiences in the order in which they count, each with the codes of
    its indices.
    """

    kind: Kind
    name: str
    contents: tuple[JsonValue, ...]
    candidates: tuple[tuple[int, tuple[int, ...]], ...]

    def weights(self) -> tuple[int, ...]:
        """What every content adds to the key; nothing for the code 0."""
        return (0, *(_weight(self.kind, self.name, content) for content in self.contents[1:]))


def _weight(kind: Kind, name: str, content: JsonValue) -> int:
    if kind == "variable":
        content = canonical_value(content)
    text = orjson.dumps([kind, name, content])
    return int.from_bytes(blake2b(text, digest_size=_KEY_BYTES).digest(), "big")


class Page:
    """The places of one page under one configuration.

    Parameters
    ----------
    entries
        Ids of the entries on the page. As a mapping, to the ids of the experiences that the entry
        lists (its `nt_experiences`), in that order; or to None. Without a list all experiences that
        have the entry as a baseline count, in the API's order. An id that the configuration lacks,
        as that of a draft, counts for nothing.
    variables
        Keys of the inline variables that the page reads.
    level
        ``seen``: combinations differ in what is shown. ``experiences``: in which experiences
        are selected, and with which index.
    """

    def __init__(
        self,
        configuration: Configuration,
        entries: Iterable[str] | Mapping[str, Sequence[str] | None] = (),
        variables: Iterable[str] = (),
        *,
        level: Level = "seen",
    ) -> None:
        if isinstance(entries, str) or isinstance(variables, str):
            raise TypeError("entries and variables are lists of ids, not one text")
        if level not in ("seen", "experiences"):
            raise ValueError(f"level={level!r}: expected 'seen' or 'experiences'")
        self.level: Level = level
        self.configuration = configuration
        orders = entries if isinstance(entries, Mapping) else dict.fromkeys(entries)
        self.entries = tuple(orders)
        self.variables = tuple(dict.fromkeys(variables))
        shown = [
            *(_entry_place(configuration, entry, order) for entry, order in orders.items()),
            *(_variable_place(configuration, key) for key in self.variables),
        ]
        self.experiences = tuple(
            sorted({number for place in shown for number, _ in place.candidates})
        )
        """Numbers of the experiences that matter to the page, in the API's order."""
        self._shown = tuple(place for place in shown if place.candidates)
        self.places = self._shown
        """What combinations differ in, according to the level."""
        if level == "experiences":
            self.places = tuple(
                _experience_place(configuration.experiences[number], number)
                for number in self.experiences
            )
        self._prepare_keys()

    def shown(self, indices: Mapping[int, int]) -> tuple[dict[str, str], dict[str, JsonValue]]:
        """What selected experiences (number to index) show: entries, and variables that are set."""
        entries = {entry: entry for entry in self.entries}
        variables: dict[str, JsonValue] = {}
        for place in self._shown:
            code = next((codes[indices[n]] for n, codes in place.candidates if n in indices), 0)
            if place.kind == "entry":
                entries[place.name] = place.contents[code]
            elif code:
                variables[place.name] = place.contents[code]
        return entries, variables

    # ---- keys -----------------------------------------------------------------------------------

    def _prepare_keys(self) -> None:
        experiences = self.configuration.experiences
        self._numbers = {experiences[number].id: number for number in self.experiences}
        self._weights = [place.weights() for place in self.places]
        self._keyed = tuple(
            tuple(
                (number, tuple(weights[code] for code in codes))
                for number, codes in place.candidates
            )
            for place, weights in zip(self.places, self._weights, strict=True)
        )

    def key(self, selection: Selection | Mapping[str, Any] | Iterable[Mapping[str, Any]]) -> str:
        """The key of what ``selection`` shows on this page: 12 characters of base64url.

        ``selection`` is what `Engine.select` gives, an API answer's ``data``, or its list of
        ``experiences``. Records of other experiences do not matter. An index that an experience
        does not have shows the baseline.
        """
        records: Any = selection
        if isinstance(selection, Selection):
            records = selection.experiences
        elif isinstance(selection, Mapping):
            records = selection["experiences"]
        numbers = self._numbers
        indices: dict[int, int] = {}
        for record in records:
            number = numbers.get(record["experienceId"])
            if number is not None:
                indices.setdefault(number, record["variantIndex"])
        total = 0
        for candidates in self._keyed:
            for number, weights in candidates:
                index = indices.get(number)
                if index is not None:
                    total += weights[index if 0 <= index < len(weights) else 0]
                    break
        return _key_text(total)

    def key_of_codes(self, codes: Sequence[int]) -> str:
        """The key of one code for every place."""
        return _key_text(
            sum(weights[code] for weights, code in zip(self._weights, codes, strict=True))
        )


def _key_text(total: int) -> str:
    return urlsafe_b64encode((total % _KEYS).to_bytes(_KEY_BYTES, "big")).decode()


# ---- places --------------------------------------------------------------------------------------


class _Codes:
    """Contents, numbered as they are met."""

    def __init__(self, nothing: JsonValue, *, shared: bool) -> None:
        # The baseline entry is what no experience leaves there. A variable that nobody sets is
        # something else than any value that somebody sets.
        self.contents: list[JsonValue] = [nothing]
        self._known = {canonical_value(nothing): 0} if shared else {}

    def of(self, content: JsonValue) -> int:
        code = self._known.setdefault(canonical_value(content), len(self.contents))
        if code == len(self.contents):
            self.contents.append(content)
        return code


def _entry_place(configuration: Configuration, entry: str, order: Sequence[str] | None) -> Place:
    if isinstance(order, str):
        raise TypeError(f"entry {entry!r}: expected a list of experience ids, not one text")
    codes = _Codes(entry, shared=True)
    candidates: list[tuple[int, tuple[int, ...]]] = []
    listed = list(enumerate(configuration.experiences))
    if order is not None:
        numbered = {experience.id: (number, experience) for number, experience in listed}
        listed = [numbered[one] for one in dict.fromkeys(order) if one in numbered]
    for number, experience in listed:
        component = next(
            (
                one
                for one in experience.components
                if isinstance(one, EntryReplacement) and one.baseline == entry
            ),
            None,
        )
        if component is not None:
            candidates.append((number, _by_index(experience, codes, entry, component.variants)))
        elif order is not None:
            # Listed by the entry, so the vendor's SDKs let it count, and show the baseline.
            candidates.append((number, _by_index(experience, codes, entry, ())))
    return Place("entry", entry, tuple(codes.contents), tuple(candidates))


def _variable_place(configuration: Configuration, key: str) -> Place:
    codes = _Codes(None, shared=False)
    candidates: list[tuple[int, tuple[int, ...]]] = []
    for number, experience in enumerate(configuration.experiences):
        for component in experience.components:
            if isinstance(component, InlineVariable) and component.key == key:
                by_index = _by_index(experience, codes, component.baseline, component.variants)
                candidates.append((number, by_index))
                break
    return Place("variable", key, tuple(codes.contents), tuple(candidates))


def _experience_place(experience: Experience, number: int) -> Place:
    indices = range(experience.highest_index + 1)
    codes = tuple(index + 1 for index in indices)
    return Place("experience", experience.id, (None, *indices), ((number, codes),))


def _by_index(
    experience: Experience, codes: _Codes, baseline: JsonValue, variants: Sequence[JsonValue]
) -> tuple[int, ...]:
    """The codes of all indices; that of the baseline where there is no such variant."""
    first = codes.of(baseline)
    found = [first, *(codes.of(variant) for variant in variants)]
    return tuple(found + [first] * (experience.highest_index + 1 - len(found)))
