"""What a service is told by its operator, and what a request may say."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec

from whichvariant.profiles.location import Located
from whichvariant.profiles.settings import ProfileSettings

Locate: TypeAlias = Callable[[], Awaitable[Located | None]]
"""Finds out where the visitor of a request is; awaited only if the request wants to be located."""


Enrich: TypeAlias = Callable[[], Awaitable[Mapping[str, Any] | None]]
"""Finds out for whom the visitor of a request works, as traits: a JSON object that is the caller's
no more. Awaited only if the request asks for it. What it raises, the request raises."""


@dataclass(frozen=True, slots=True)
class ServiceSettings:
    """Limits of a service.

    ``waiting_per_profile`` requests may wait for their turn to change one profile; one more is
    refused with ProfileOverload, and so is one that waited for ``patience_ms``, or lost
    ``attempts`` races against other processes. The records of ``recent_profiles`` that this
    process wrote last are kept in memory, so that updates need not read them again; 0 keeps none.
    ``lease_ms`` is how long a process may take for what it claimed of the inbox before others try.
    An item of the inbox whose processing failed ``inbox_attempts`` times is rejected.
    """

    profiles: ProfileSettings = field(default_factory=ProfileSettings)
    waiting_per_profile: int = 32
    patience_ms: int = 2_500
    attempts: int = 16
    aliases_per_profile: int = 100
    recent_profiles: int = 4_096
    lease_ms: int = 30_000
    inbox_attempts: int = 10


class Options(msgspec.Struct, frozen=True):
    """What a request for one profile says beside its events: `options` and `locale` of the API.

    ``location`` is `options.location`, unchecked. ``locate`` finds the visitor's location when
    ``features`` or an old library ask for it, ``enrich`` the traits that the feature
    "ip-enrichment" asks for.
    """

    locale: str = "en"
    location: Mapping[str, Any] | None = None
    features: tuple[str, ...] = ()
    locate: Locate | None = None
    enrich: Enrich | None = None


DEFAULTS = Options()
