"""The scenarios that OpenFeature publishes for its flagd providers, step by step as they stand.

Their flags are put into our vocabulary; what their steps say is done and compared. What has nothing
to do here is named with the reason, and nothing else is left out.
"""

from __future__ import annotations

import json
import pathlib
import re
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest
from openfeature import api
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEvent
from openfeature.exception import OpenFeatureError
from openfeature.flag_evaluation import FlagEvaluationDetails
from openfeature.provider import AbstractProvider
from tests.flags.documents import document, experience, trait_audience, variable
from tests.openfeature_provider.published import scenarios
from tests.server.running import free_port, served

from whichvariant.openfeature import RemoteWhichVariantProvider, WhichVariantProvider

RUN = [
    "Evaluator reuse",
    "Flag change event",
    "Provider ready event",
    "Provider unavailable",
    "Resolves boolean zero value",
    "Resolves float zero value",
    "Resolves integer zero value",
    "Resolves string zero value",
    "Substring operators",
    "Targeting by targeting key",
]

LEFT_OUT = {
    "Errors and edge cases": "broken rules in flagd's notation; a configuration here is refused",
    "Fractional operator": "expects flagd's hash",
    "Fractional operator with shared seed": "expects flagd's hash",
    "Provider reconnection": "expects an error; here the last configuration goes on, and is stale",
    "Second fractional operator with shared seed": "expects flagd's hash",
    "Semantic version operator numeric comparison": "rules have no such operator",
    "Semantic version operator semantic comparison": "rules have no such operator",
    "Time-based operations": "rules have no such operator",
}

DEADLINE_S = 3.0


def leading(key: str, operator: str, text: str) -> dict[str, Any]:
    """An audience by what a trait begins or ends with."""
    leaf = {"type": "identify", "key": "id", "operator": operator, "value": text}
    return {"nt_audience_id": key, "nt_rules": {"any": [{"all": [leaf]}]}}


def targeted(key: str, other: str, **matched: str) -> list[dict[str, Any]]:
    """A flag with one value for each audience, tried in order, and one for everybody else."""
    return [
        *(
            experience(f"{number}-{key}", variable(key, other, value), audience=audience)
            for number, (audience, value) in enumerate(matched.items())
        ),
        experience(f"9-{key}", variable(key, "", other)),
    ]


def flags(changing: str = "foo") -> dict[str, Any]:
    """The suite's flags."""
    return document(
        experience("boolean-zero", variable("boolean-zero-flag", True, False)),
        experience("string-zero", variable("string-zero-flag", "str", "")),
        experience("integer-zero", variable("integer-zero-flag", 1, 0)),
        experience("float-zero", variable("float-zero-flag", 1.0, 0.0)),
        experience("changing", variable("changing-flag", "", changing)),
        *targeted("some-email-targeted-flag", "bye", ballmer="hi"),
        *targeted("some-other-email-targeted-flag", "no", ballmer="yes"),
        *targeted("starts-ends-flag", "none", abc="prefix", xyz="postfix"),
        *targeted("targeting-key-flag", "miss", hit="hit"),
        audiences=(
            trait_audience("ballmer", "email", "ballmer@macrosoft.com"),
            trait_audience("hit", "key", "5c3d8535-f81a-4478-a6d3-afaa4d51199e"),
            leading("abc", "startsWith", "abc"),
            leading("xyz", "endsWith", "xyz"),
        ),
    )


class Backend(NamedTuple):
    """Where flags come from: a provider of them, a change to them, a provider of nothing."""

    provider: Callable[[], AbstractProvider]
    change: Callable[[], None]
    unavailable: Callable[[], AbstractProvider]
    says_which_changed: bool


def rewriting(path: pathlib.Path) -> Callable[[], None]:
    path.write_text(json.dumps(flags()))

    def change() -> None:
        other = path.with_suffix(".new")
        other.write_text(json.dumps(flags("bar")))
        other.replace(path)

    return change


@pytest.fixture(params=["local", "remote"])
def backend(request: pytest.FixtureRequest, tmp_path: pathlib.Path) -> Iterator[Backend]:
    path = tmp_path / "flags.json"
    change = rewriting(path)
    if request.param == "local":
        yield Backend(
            lambda: WhichVariantProvider(path, reload_s=0.02),
            change,
            lambda: WhichVariantProvider(tmp_path / "nothing.json"),
            True,
        )
        return
    nobodys = f"http://127.0.0.1:{free_port()}"
    with served(tmp_path, "--reload-s", "0.1", config=path) as running:
        yield Backend(
            lambda: RemoteWhichVariantProvider(
                "default", "main", base_url=running.url, poll_s=0.05
            ),
            change,
            lambda: RemoteWhichVariantProvider(
                "default", "main", base_url=nobodys, timeout_s=DEADLINE_S
            ),
            False,
        )


def value_of(text: str) -> Any:
    """A value as steps write it."""
    return json.loads(text)


class Run:
    """One scenario, while it runs."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self.heard: dict[str, list[EventDetails]] = {}
        self.asked: tuple[str, str, Any] = "", "", None
        self.key: str | None = None
        self.attributes: dict[str, Any] = {}
        self.failure: tuple[OpenFeatureError | None, float] = None, 0.0

    def step(self, text: str) -> None:
        """Do what a step says."""
        for pattern, do in STEPS.items():
            if said := re.fullmatch(pattern, text):
                do(self, *said.groups())
                return
        pytest.fail(f"no such step: {text}")

    def set_provider(self) -> None:
        api.set_provider_and_wait(self.backend.provider())

    def add_handler(self, event: str) -> None:
        heard = self.heard.setdefault(event, [])
        api.add_handler(ProviderEvent[event], heard.append)

    def must_have_run(self, event: str) -> None:
        until = time.monotonic() + 30
        while not self.heard[event]:
            assert time.monotonic() < until, f"{event} was not heard"
            time.sleep(0.01)

    def modify(self, key: str) -> None:
        assert key == "changing-flag"
        assert api.get_client().get_string_value(key, "") == "foo"
        self.backend.change()

    def altered(self, key: str) -> None:
        (details,) = self.heard["PROVIDER_CONFIGURATION_CHANGED"]
        if self.backend.says_which_changed:
            assert key in (details.flags_changed or [])
        assert api.get_client().get_string_value(key, "") == "bar"

    def ask(self, kind: str, key: str, default: str) -> None:
        value = value_of(default)
        self.asked = kind, key, value == "true" if kind == "boolean" else value

    def say(self, key: str, value: str) -> None:
        self.attributes[key] = value_of(value)

    def say_key(self, value: str) -> None:
        # Rules do not read the targeting key itself, so it is an attribute besides.
        self.key = self.attributes["key"] = value_of(value)

    def details(self) -> FlagEvaluationDetails[Any]:
        kind, key, default = self.asked
        context = EvaluationContext(self.key, self.attributes)
        found: FlagEvaluationDetails[Any] = getattr(api.get_client(), f"get_{kind}_details")(
            key, default, context
        )
        assert found.error_code is None
        assert found.value != default
        return found

    def value_is(self, value: str) -> None:
        assert self.details().value == value_of(value)

    def zero_is(self, kind: str, value: str) -> None:
        found, expected = self.details().value, value_of(value)
        assert found == (expected == "true" if kind == "boolean" else expected)
        assert type(found).__name__ == {"boolean": "bool", "string": "str", "integer": "int"}.get(
            kind, kind
        )

    def reason_is(self, reason: str) -> None:
        assert self.details().reason == value_of(reason)

    def nothing_there(self) -> None:
        self.asked = "boolean", "boolean-zero-flag", True

    def set_unavailable(self) -> None:
        began = time.monotonic()
        try:
            api.set_provider_and_wait(self.backend.unavailable())
        except OpenFeatureError as error:
            self.failure = error, time.monotonic() - began

    def error_in_time(self) -> None:
        error, seconds = self.failure
        assert error is not None
        assert seconds < DEADLINE_S


KINDS = "(boolean|string|integer|float)"
STEPS: dict[str, Callable[..., None]] = {
    "a flagd provider is set": Run.set_provider,
    "a (PROVIDER_[A-Z_]+) handler is added": Run.add_handler,
    "the (PROVIDER_[A-Z_]+) handler must run": Run.must_have_run,
    'a flag with key "([^"]+)" is modified': Run.modify,
    'the event details must indicate "([^"]+)" was altered': Run.altered,
    f'a zero-value {KINDS} flag with key "([^"]+)" is evaluated with default value (.+)': Run.ask,
    f"the resolved {KINDS} zero-value should be (.+)": Run.zero_is,
    f'an? {KINDS} flag with key "([^"]+)" is evaluated with default value (.+)': Run.ask,
    'a context containing a key "([^"]+)", with value (.+)': Run.say,
    "a context containing a targeting key with value (.+)": Run.say_key,
    "the returned value should be (.+)": Run.value_is,
    "the returned reason should be (.+)": Run.reason_is,
    "flagd is unavailable": Run.nothing_there,
    "a flagd provider is set and initialization is awaited": Run.set_unavailable,
    "an error should be indicated within the configured deadline": Run.error_in_time,
}


@pytest.mark.parametrize("name", RUN)
def test_scenario(backend: Backend, name: str) -> None:
    examples = scenarios()[name]
    for steps in examples:
        run = Run(backend)
        for text in steps:
            run.step(text)


def test_every_scenario_is_run_or_left_out_for_a_reason() -> None:
    assert sorted(scenarios()) == sorted([*RUN, *LEFT_OUT])
    assert sum(len(scenarios()[name]) for name in RUN) == 16
