"""What the SDK is answered, made once for every flag, kind and variant.

An evaluation then is one decision and one look-up. Answers that many callers share cannot be
changed.
"""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any, NamedTuple

from openfeature.exception import ErrorCode
from openfeature.flag_evaluation import FlagMetadata, FlagResolutionDetails, Reason

from whichvariant.flags import MISMATCH, Flag, FlagKind, FlagSet


class SharedResolution(FlagResolutionDetails[Any]):
    """A resolution that cannot be changed: every visitor of a variant gets the same one."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        vars(self).update(vars(FlagResolutionDetails(*args, **keywords)))

    def __setattr__(self, name: str, value: Any) -> None:
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> None:
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FlagResolutionDetails):
            return NotImplemented
        return vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]


class Entry(NamedTuple):
    """One flag as one kind. ``answers`` has what it is, by the record that was chosen.

    ``wrong`` says, by record, that the value is of another kind; ``defaults`` has reason, variant
    and metadata where the caller's default is the answer.
    """

    among: tuple[int, ...]
    draws: bool
    answers: dict[int, SharedResolution]
    wrong: dict[int, str]
    defaults: dict[int, tuple[Reason, str | None, FlagMetadata]]


class Resolutions:
    """The answers of one `FlagSet`."""

    def __init__(self, flags: FlagSet) -> None:
        self.flags = flags
        self.first_record = flags.engine.first_record
        self.entries: dict[FlagKind, dict[str, Entry]] = {
            "boolean": {},
            "string": {},
            "integer": {},
            "float": {},
            "object": {},
        }

    def entry(self, kind: FlagKind, key: str) -> Entry | None:
        """The entry of a flag, made now if it was never asked for; None for an unknown key."""
        found = self.entries[kind].get(key)
        if found is None:
            flag = self.flags.find(key)
            if flag is None:
                return None
            found = self.entries[kind][key] = _entry(flag, kind)
        return found


def _entry(flag: Flag, kind: FlagKind) -> Entry:
    entry = Entry(flag.among, flag.draws, {}, {}, {})
    for record, choice in flag.choices.items():
        value = choice.as_kind(kind)
        if choice.value is None:
            entry.defaults[record] = Reason(choice.reason), choice.variant, choice.metadata
        elif value is MISMATCH:
            entry.wrong[record] = f"{flag.key!r} is no {kind} with {choice.variant}"
        else:
            entry.answers[record] = SharedResolution(
                value=value,
                reason=Reason(choice.reason),
                variant=choice.variant,
                flag_metadata=choice.metadata,
            )
    return entry


def failed(default: Any, code: ErrorCode, message: str) -> FlagResolutionDetails[Any]:
    """The answer where there is none: the caller's default, and why."""
    return FlagResolutionDetails(
        value=default, reason=Reason.ERROR, error_code=code, error_message=message
    )
