"""What a request is answered with: the profile, and what the configuration decides for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Protocol

from whichvariant._core.answers import Selection
from whichvariant.profiles.activity import event_counts
from whichvariant.profiles.api_profile import localised, profile_object
from whichvariant.profiles.settings import ActivityRules, ProfileSettings
from whichvariant.profiles.state import ProfileState


class Decider(ActivityRules, Protocol):
    """What decides for a profile: an `Engine`."""

    def select(
        self,
        profile: Mapping[str, Any],
        *,
        device: str | None = None,
        counts: Sequence[int] | None = None,
    ) -> Selection:
        """Experiences, changes and audiences of a profile."""
        ...


class Answer(NamedTuple):
    """One profile with its selection, in the API's shape.

    ``profile`` is the caller's own but for what is nested in it; the dicts in ``experiences`` and
    ``changes`` are shared and read-only.
    """

    profile: dict[str, Any]
    experiences: list[dict[str, Any]]
    changes: list[dict[str, Any]]

    def to_dict(self) -> dict[str, Any]:
        """The answer as the API's `data`."""
        return self._asdict()


def answer_for(
    state: ProfileState, decider: Decider, settings: ProfileSettings, now_ms: int, locale: str
) -> Answer:
    """Decide for a profile as it is at ``now_ms``. It must be counted by the decider's rules."""
    profile = profile_object(state, settings)
    selection = decider.select(
        profile, device=state.device, counts=event_counts(state, decider, now_ms)
    )
    profile["audiences"] = selection.audiences
    profile["location"] = localised(state.location, state, locale)
    return Answer(profile, selection.experiences, selection.changes)
