"""One flag: which experiences decide it, and what it is with each variant of them.

A flag is an inline variable's key, or an experience's id (docs/openfeature.md#what-a-flag-is).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal, TypeAlias

from whichvariant.compiler.templates import experience_changes, experience_record
from whichvariant.contracts import Experience, Segment
from whichvariant.contracts.read_only import freeze

FlagKind: TypeAlias = Literal["boolean", "string", "integer", "float", "object"]
Reason: TypeAlias = Literal["STATIC", "TARGETING_MATCH", "SPLIT", "DEFAULT", "DISABLED"]

NOBODY: Final = -1
"""Where no experience of a flag selects the visitor: what `Engine.first_record` gives for it."""


class _Mismatch:
    def __repr__(self) -> str:
        return "MISMATCH"


MISMATCH: Final = _Mismatch()
"""What a value is as a kind that it cannot be."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a flag is for the visitors of one variant of one experience, or for nobody's.

    ``values`` has the value as each kind asked for that it can be. ``value`` is the one for who
    does not ask for a kind; None stands for the default of whoever asks. ``variant`` is
    ``baseline`` or ``variant-N``, None where no experience decided.
    """

    value: Any
    values: Mapping[str, Any]
    variant: str | None
    reason: Reason
    metadata: Mapping[str, str | int | bool]

    def as_kind(self, kind: FlagKind) -> Any:
        """The value as ``kind``, or `MISMATCH`."""
        return self.values.get(kind, MISMATCH)


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag of a configuration.

    ``among`` are the numbers of the experiences that decide, ascending: the first that selects a
    visitor wins, as in the vendor's SDK [sdk] (docs/openfeature.md#several-experiences).
    ``choices`` has what the flag is, by the number of the record that was chosen, and `NOBODY`.
    ``draws`` says that the answer depends on the visitor's id. ``parts`` are the experiences, and
    the rules of their audiences, for telling whether a flag changed.
    """

    key: str
    among: tuple[int, ...]
    choices: Mapping[int, Choice]
    draws: bool
    parts: tuple[Any, ...]


def variant_name(index: int) -> str:
    """What a variant is called: the configuration has no names for them [policy]."""
    return f"variant-{index}" if index else "baseline"


def variable_choice(
    key: str, experience: Experience, index: int, reason: Reason, digest: str
) -> Choice:
    """An inline variable with one variant of an experience; of two components the first counts."""
    change = next(one for one in experience_changes(experience, index) if one["key"] == key)
    value = freeze(change["value"])
    if value is None:
        reason = "DEFAULT"
    return Choice(
        value,
        as_kinds(value),
        variant_name(index),
        reason,
        _metadata(experience, index, digest),
    )


def experience_choice(experience: Experience, index: int, reason: Reason, digest: str) -> Choice:
    """An experience by its id: the variant's name, its index, or which entry replaces which."""
    name = variant_name(index)
    values = {
        "string": name,
        "integer": index,
        "float": float(index),
        "object": freeze(experience_record(experience, index)["variants"]),
    }
    return Choice(name, values, name, reason, _metadata(experience, index, digest))


def nobodys(experiences: Sequence[Experience], digest: str) -> Choice:
    """What a flag is for a visitor whom no experience selects: the default of whoever asks."""
    reason: Reason = "DEFAULT" if experiences else "DISABLED"
    return Choice(None, {}, None, reason, MappingProxyType({"configuration": digest}))


def reason_of(experience: Experience, position: int) -> Reason:
    """Why visitors of an experience get what they get [policy].

    ``position`` is the experience's among those of its flag, from 0.
    """
    if len(reachable(experience)) > 1:
        return "SPLIT"
    if experience.audience is not None:
        return "TARGETING_MATCH"
    if experience.traffic < 1:
        return "SPLIT"
    # For everybody and all the same. After others it is what is left when those say nothing.
    return "DEFAULT" if position else "STATIC"


def draws(experience: Experience) -> bool:
    """Whether what an experience decides depends on the visitor's id.

    At traffic 1 one draw of 2^32 is out, whatever the scheme; that one is left aside here.
    """
    return experience.traffic < 1 or len(reachable(experience)) > 1


def reachable(experience: Experience) -> frozenset[int]:
    """The variant indexes that the distribution draw leads to, but for single points."""
    found = {segment.index for segment in experience.distribution if _width(segment) > 0}
    covered = sum(_width(segment) for segment in experience.distribution)
    if covered < 1 - 1e-6:
        # What no segment covers is the baseline's.
        found.add(0)
    return frozenset(found)


def _width(segment: Segment) -> float:
    return max(0.0, min(segment.end, 1.0) - max(segment.start, 0.0))


def as_kinds(value: Any) -> Mapping[str, Any]:
    """A JSON value as every kind that it is without loss.

    A whole number is an integer and a float, however it was written: JSON and JavaScript do not
    tell them apart. A boolean is no number, and no text is anything else.
    """
    if isinstance(value, bool):
        return {"boolean": value}
    if isinstance(value, str):
        return {"string": value}
    if isinstance(value, int | float):
        return dict(_numbers(value))
    if isinstance(value, dict | list):
        return {"object": value}
    return {}


def _numbers(value: float) -> Iterable[tuple[str, int | float]]:
    if isinstance(value, int):
        yield "integer", value
        try:
            as_float = float(value)
        except OverflowError:
            return
        if int(as_float) == value:
            yield "float", as_float
    else:
        yield "float", value
        if value.is_integer():
            yield "integer", int(value)


def _metadata(experience: Experience, index: int, digest: str) -> Mapping[str, str | int | bool]:
    found: dict[str, str | int | bool] = {
        "experienceId": experience.id,
        "variantIndex": index,
        "configuration": digest,
    }
    if experience.name:
        found["experienceName"] = experience.name
    if experience.sticky:
        # That is how an SDK knows that it should send the component view that locks the choice.
        found["sticky"] = True
    return MappingProxyType(found)
