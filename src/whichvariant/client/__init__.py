"""The Experience API from Python: typed clients, and preflights decided here (docs/client.md).

`ExperienceClient` and `AsyncExperienceClient` speak to the hosted API and to servers of this
project. They need httpx, which ``pip install 'whichvariant[client]'`` brings along.
"""

from __future__ import annotations

try:
    import httpx as _httpx
except ModuleNotFoundError as error:
    if error.name != "httpx":
        raise
    raise ModuleNotFoundError(
        "whichvariant.client needs httpx: pip install 'whichvariant[client]'", name="httpx"
    ) from None

from whichvariant.client.answers import (
    Change,
    Coordinates,
    Experience,
    LandingPage,
    Location,
    Profile,
    ProfileAnswer,
    Session,
)
from whichvariant.client.asynchronous import AsyncExperienceClient
from whichvariant.client.blocking import ExperienceClient
from whichvariant.client.calls import HOSTED, CallOptions, EventOptions
from whichvariant.client.preflight import (
    AsyncPreflight,
    Decided,
    Policy,
    Preflight,
    PreflightOptions,
)
from whichvariant.client.retries import NO_RETRIES, RetryPolicy
from whichvariant.sources.following import Follower

del _httpx

__all__ = [
    "HOSTED",
    "NO_RETRIES",
    "AsyncExperienceClient",
    "AsyncPreflight",
    "CallOptions",
    "Change",
    "Coordinates",
    "Decided",
    "EventOptions",
    "Experience",
    "ExperienceClient",
    "Follower",
    "LandingPage",
    "Location",
    "Policy",
    "Preflight",
    "PreflightOptions",
    "Profile",
    "ProfileAnswer",
    "RetryPolicy",
    "Session",
]
