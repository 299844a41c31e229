"""The documented shapes of answers, checked strictly: exact keys, exact types.

Written down once more from the reference ("Response envelope", "Types"), so that nothing of the
product's own is trusted. Keys that may be missing are named ``…_or_not``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Check = Callable[[Any, str], None]


def _fail(path: str, value: Any, expected: str) -> None:
    raise AssertionError(f"{path}: expected {expected}, got {value!r}")


def text(value: Any, path: str) -> None:
    """A string."""
    if not isinstance(value, str):
        _fail(path, value, "a string")


def number(value: Any, path: str) -> None:
    """A number; true and false are none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        _fail(path, value, "a number")


def boolean(value: Any, path: str) -> None:
    """True or false."""
    if not isinstance(value, bool):
        _fail(path, value, "a boolean")


def constant(*allowed: Any) -> Check:
    """One of these values."""

    def check(value: Any, path: str) -> None:
        if value not in allowed:
            _fail(path, value, f"one of {allowed}")

    return check


def listed(each: Check) -> Check:
    """A list."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, list):
            _fail(path, value, "a list")
        for place, one in enumerate(value):
            each(one, f"{path}[{place}]")

    return check


def record(each: Check) -> Check:
    """An object with any keys."""

    def check(value: Any, path: str) -> None:
        if not isinstance(value, dict):
            _fail(path, value, "an object")
        for key, one in value.items():
            each(one, f"{path}.{key}")

    return check


def shape(**keys: Check) -> Check:
    """An object with these keys and no others; ``name_or_not`` may be missing."""
    optional = {key.removesuffix("_or_not") for key in keys if key.endswith("_or_not")}
    checks = {key.removesuffix("_or_not"): check for key, check in keys.items()}

    def check(value: Any, path: str) -> None:
        if not isinstance(value, dict):
            _fail(path, value, "an object")
        unknown = set(value) - set(checks)
        missing = set(checks) - optional - set(value)
        assert not unknown, f"{path}: keys that the reference does not know: {sorted(unknown)}"
        assert not missing, f"{path}: keys are missing: {sorted(missing)}"
        for key, one in value.items():
            checks[key](one, f"{path}.{key}")

    return check


def anything(value: Any, path: str) -> None:
    """Any JSON."""


def change_value(value: Any, path: str) -> None:
    """The value of a change."""
    if not isinstance(value, str | int | float | bool | dict):
        _fail(path, value, "a string, number, boolean or object")


def _enveloped(data: Check) -> Check:
    return shape(data=data, error=constant(None), message=constant("ok"))


PROFILE = shape(
    id=text,
    stableId=text,
    random=number,
    audiences=listed(text),
    traits=record(anything),
    location=shape(
        coordinates_or_not=shape(latitude=number, longitude=number),
        city_or_not=text,
        postalCode_or_not=text,
        region_or_not=text,
        regionCode_or_not=text,
        country_or_not=text,
        countryCode_or_not=text,
        continent_or_not=text,
        timezone_or_not=text,
    ),
    session=shape(
        id_or_not=text,
        isReturningVisitor=boolean,
        landingPage=shape(path=text, url=text, query=record(text), referrer=text, search=text),
        count=number,
        activeSessionLength=number,
        averageSessionLength=number,
    ),
    jurisdiction_or_not=constant("US", "EU"),
    stickyVariants_or_not=record(number),
)

EXPERIENCE = shape(
    experienceId=text, variantIndex=number, variants=record(text), sticky_or_not=boolean
)

CHANGE = shape(
    key=text,
    type=constant("Variable"),
    value=change_value,
    meta=shape(experienceId=text, variantIndex=number),
)

ONE_PROFILE = _enveloped(
    shape(profile=PROFILE, experiences=listed(EXPERIENCE), changes=listed(CHANGE))
)
MANY_PROFILES = _enveloped(shape(profiles=listed(PROFILE)))
ACCEPTED = _enveloped(shape(message=constant("Events accepted.")))
NOTHING = _enveloped(shape())

_CODES = (
    "ERR_INVALID_DATA",
    "ERR_CONFIG_NOT_FOUND",
    "ERR_PROFILE_NOT_FOUND",
    "ERR_NAMESPACE_MISMATCH",
    "ERR_PROFILE_OVERLOAD",
    "ERR_INTERNAL_SERVER_ERROR",
)
FAILURE = shape(message=text, data=shape(), error=shape(code=constant(*_CODES)))


def check(answer: Any, expected: Check) -> Any:
    """The answer's data, if it is of that shape."""
    expected(answer, "answer")
    return answer["data"]
