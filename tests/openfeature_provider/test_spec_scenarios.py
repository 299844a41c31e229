"""The scenarios of OpenFeature's published suites, in our own words.

The specification keeps them as gherkin files: those of its appendix B for a client with a provider
(evaluation, hooks, context merging, metadata, events, tracking) and those of the provider test kit
(evaluation, errors, reasons, events, lifecycle). No package that can be installed carries these
files and they are not copied here; each test below goes through one of them, on their canonical
flags put into our vocabulary. Those of the flagd providers, which a package does carry, are run as
they stand in ``test_published_scenarios.py``. Left out, since it has nothing to do here: the reason
CACHED.
"""

from __future__ import annotations

import asyncio
import json
import pathlib
import time
from collections.abc import Callable
from typing import Any

import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext, set_evaluation_context
from openfeature.event import EventDetails, ProviderEvent
from openfeature.exception import ErrorCode, ProviderFatalError
from openfeature.flag_evaluation import FlagEvaluationDetails, FlagEvaluationOptions
from openfeature.hook import Hook, HookContext, HookHints
from openfeature.provider import ProviderStatus
from openfeature.transaction_context import (
    ContextVarsTransactionContextPropagator,
    set_transaction_context,
    set_transaction_context_propagator,
)
from tests.flags.documents import document, experience, trait_audience, variable

from whichvariant import Engine
from whichvariant.openfeature import WhichVariantProvider

TEMPLATE = {"showImages": True, "title": "Check out these pics!", "imagesPerPage": 100}
BALLMER = "ballmer@macrosoft.com"
HIT = "5c3d8535-f81a-4478-a6d3-afaa4d51199e"
MISS = "f20bd32d-703b-48b6-bc8e-79d53c85134a"


def everybody(key: str, value: Any, other: Any) -> dict[str, Any]:
    return experience(f"of-{key}", variable(key, other, value))


def targeted(key: str, matched: Any, other: Any, audience: str) -> list[dict[str, Any]]:
    """One value for an audience, and the same flag's value for all others."""
    return [
        experience(f"1-{key}", variable(key, other, matched), audience=audience),
        experience(f"2-{key}", variable(key, other, matched), distribution=(1, 0)),
    ]


def leaf(key: str, operator: str, value: Any) -> dict[str, Any]:
    return {"type": "identify", "key": key, "operator": operator, "value": value}


INTERNAL = {
    "nt_audience_id": "internal",
    "nt_rules": {
        "any": [
            {
                "all": [
                    leaf("email", "endsWith", "@macrosoft.com"),
                    leaf("role", "equal", "admin"),
                    leaf("age", "greaterThan", 60),
                    leaf("customer", "equal", False),
                ]
            }
        ]
    },
}
ZERO = {"boolean": False, "string": "", "integer": 0, "float": 0.0, "object": {}}
ONE = {"boolean": True, "string": "hi", "integer": 10, "float": 0.5, "object": {"a": 1}}


def canonical(changing: str = "foo") -> dict[str, Any]:
    """The canonical flags."""
    experiences = [
        everybody("boolean-flag", True, False),
        everybody("string-flag", "hi", "bye"),
        everybody("integer-flag", 10, 1),
        everybody("float-flag", 0.5, 0.1),
        everybody("object-flag", TEMPLATE, {}),
        everybody("large-integer-flag", 2**31 - 1, 1),
        everybody("huge-integer-flag", 2**53 - 1, 1),
        everybody("integral-float-flag", 10.0, 1.0),
        everybody("wrong-flag", "uh-oh", ""),
        everybody("changing-flag", changing, "unset"),
    ]
    for kind, zero in ZERO.items():
        experiences.append(everybody(f"{kind}-zero-flag", zero, ONE[kind]))
        experiences += targeted(f"{kind}-targeted-zero-flag", zero, zero, "ballmer")
        disabled = variable(f"disabled-{kind}-flag", ONE[kind], ONE[kind])
        experiences.append(experience(f"disabled-{kind}", disabled, traffic=0))
    experiences += targeted("context-aware", "INTERNAL", "EXTERNAL", "internal")
    experiences += targeted("targeting-key-flag", "hit", "miss", "hit")
    audiences = (
        trait_audience("ballmer", "email", BALLMER),
        trait_audience("hit", "key", HIT),
        INTERNAL,
    )
    return document(*experiences, audiences=audiences)


@pytest.fixture
def client() -> OpenFeatureClient:
    """A stable provider's."""
    api.set_provider_and_wait(WhichVariantProvider(Engine.from_dict(canonical())))
    return api.get_client()


def evaluate(
    client: OpenFeatureClient, kind: str, key: str, default: Any, **attributes: Any
) -> FlagEvaluationDetails[Any]:
    context = EvaluationContext(None, attributes) if attributes else None
    details: FlagEvaluationDetails[Any] = getattr(client, f"get_{kind}_details")(
        key, default, context
    )
    assert details.flag_key == key
    return details


def fine(details: FlagEvaluationDetails[Any]) -> FlagEvaluationDetails[Any]:
    assert (details.error_code, details.error_message) == (None, None)
    return details


DEFAULTS = {"boolean": False, "string": "bye", "integer": 1, "float": 0.1, "object": {}}


# ---- evaluation ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "value"),
    [("boolean", True), ("string", "hi"), ("integer", 10), ("float", 0.5), ("object", TEMPLATE)],
)
def test_values_with_reason_and_variant(client: OpenFeatureClient, kind: str, value: Any) -> None:
    details = fine(evaluate(client, kind, f"{kind}-flag", DEFAULTS[kind]))
    assert (details.value, details.reason, details.variant) == (value, "STATIC", "variant-1")


@pytest.mark.parametrize("kind", list(ZERO))
def test_a_falsy_value_is_a_value(client: OpenFeatureClient, kind: str) -> None:
    details = fine(evaluate(client, kind, f"{kind}-zero-flag", ONE[kind]))
    assert (details.value, details.reason) == (ZERO[kind], "STATIC")


@pytest.mark.parametrize("kind", list(ZERO))
def test_targeting_to_a_falsy_value(client: OpenFeatureClient, kind: str) -> None:
    key = f"{kind}-targeted-zero-flag"
    matched = fine(evaluate(client, kind, key, ONE[kind], email=BALLMER))
    assert (matched.value, matched.reason) == (ZERO[kind], "TARGETING_MATCH")
    for attributes in ({"email": "ballmer@none.com"}, {}, {"email": None}):
        others = fine(evaluate(client, kind, key, ONE[kind], **attributes))
        assert (others.value, others.reason) == (ZERO[kind], "DEFAULT")


def test_integers_keep_their_precision(client: OpenFeatureClient) -> None:
    assert fine(evaluate(client, "integer", "large-integer-flag", 1)).value == 2147483647
    assert fine(evaluate(client, "integer", "huge-integer-flag", 1)).value == 9007199254740991


@pytest.mark.parametrize("kind", list(ZERO))
def test_a_disabled_flag_is_the_code_default(client: OpenFeatureClient, kind: str) -> None:
    details = fine(evaluate(client, kind, f"disabled-{kind}-flag", DEFAULTS[kind]))
    assert (details.value, details.reason) == (DEFAULTS[kind], "DISABLED")


def test_a_context_does_not_disturb_what_is_not_targeted(client: OpenFeatureClient) -> None:
    details = fine(client.get_string_details("string-flag", "bye", EvaluationContext(MISS)))
    assert details.value == "hi"


def test_several_attributes(client: OpenFeatureClient) -> None:
    internal = {"email": BALLMER, "role": "admin", "age": 65, "customer": False}
    details = fine(evaluate(client, "string", "context-aware", "false", **internal))
    assert (details.value, details.reason) == ("INTERNAL", "TARGETING_MATCH")
    assert evaluate(client, "string", "context-aware", "false").value == "EXTERNAL"
    outside = {**internal, "customer": True}
    assert evaluate(client, "string", "context-aware", "false", **outside).value == "EXTERNAL"


def test_matching_and_not(client: OpenFeatureClient) -> None:
    # Rules do not read the stable id; the key is given as an attribute besides.
    for key, value, reason in ((HIT, "hit", "TARGETING_MATCH"), (MISS, "miss", "DEFAULT")):
        context = EvaluationContext(key, {"key": key})
        details = fine(client.get_string_details("targeting-key-flag", "fallback", context))
        assert (details.value, details.reason) == (value, reason)
    without = fine(client.get_string_details("targeting-key-flag", "fallback"))
    assert (without.value, without.reason) == ("miss", "DEFAULT")


def test_asynchronously(client: OpenFeatureClient) -> None:
    async def ask() -> FlagEvaluationDetails[bool]:
        return await client.get_boolean_details_async("boolean-flag", False)

    assert asyncio.run(ask()) == client.get_boolean_details("boolean-flag", False)


def test_neither_context_nor_answer_is_changed(client: OpenFeatureClient) -> None:
    attributes = {"email": BALLMER, "nested": {"a": [1]}}
    context = EvaluationContext("v", attributes)
    before = json.dumps(attributes)
    details = client.get_object_details("object-flag", {}, context)
    assert json.dumps(attributes) == before
    with pytest.raises(TypeError):
        details.value["title"] = "mine"  # type: ignore[index]
    with pytest.raises(TypeError):
        details.flag_metadata["mine"] = True  # type: ignore[index]


def test_metadata_of_all_types(client: OpenFeatureClient) -> None:
    metadata = client.get_boolean_details("boolean-flag", False).flag_metadata
    assert metadata["experienceId"] == "of-boolean-flag"
    assert metadata["variantIndex"] == 1
    assert len(str(metadata["configuration"])) == 32


def test_the_provider_has_a_name(client: OpenFeatureClient) -> None:
    assert client.provider.get_metadata().name == "whichvariant"


# ---- errors -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "kinds"),
    [
        ("string-flag", ("boolean", "integer", "float", "object")),
        ("wrong-flag", ("boolean", "integer")),
        ("boolean-flag", ("string", "integer", "float", "object")),
        ("integer-flag", ("boolean", "string", "object")),
        ("float-flag", ("boolean", "string", "object", "integer")),
        ("object-flag", ("boolean", "string", "integer", "float")),
    ],
)
def test_the_wrong_type(client: OpenFeatureClient, key: str, kinds: tuple[str, ...]) -> None:
    for kind in kinds:
        details = evaluate(client, kind, key, DEFAULTS[kind])
        assert details.value == DEFAULTS[kind]
        assert (details.reason, details.error_code) == ("ERROR", ErrorCode.TYPE_MISMATCH)


def test_numbers_without_loss(client: OpenFeatureClient) -> None:
    assert fine(evaluate(client, "integer", "integral-float-flag", 1)).value == 10
    assert fine(evaluate(client, "float", "integer-flag", 0.1)).value == 10.0


@pytest.mark.parametrize("kind", list(DEFAULTS))
def test_an_unknown_flag(client: OpenFeatureClient, kind: str) -> None:
    details = evaluate(client, kind, "missing-flag", DEFAULTS[kind])
    assert details.value == DEFAULTS[kind]
    assert (details.reason, details.error_code) == ("ERROR", ErrorCode.FLAG_NOT_FOUND)
    assert "flag missing-flag not found" in str(details.error_message)


class Slow(WhichVariantProvider):
    """One that is not ready yet."""

    def initialize(self, evaluation_context: EvaluationContext) -> None:
        time.sleep(0.5)
        super().initialize(evaluation_context)


class Fatal(WhichVariantProvider):
    """One that never will be."""

    def initialize(self, evaluation_context: EvaluationContext) -> None:
        raise ProviderFatalError("no")


@pytest.mark.parametrize("kind", list(DEFAULTS))
def test_not_ready_and_fatal(kind: str) -> None:
    engine = Engine.from_dict(canonical())
    api.set_provider(Slow(engine))
    client = api.get_client()
    details = evaluate(client, kind, f"{kind}-flag", DEFAULTS[kind])
    assert details.error_code is ErrorCode.PROVIDER_NOT_READY
    assert (details.value, details.reason) == (DEFAULTS[kind], "ERROR")
    assert client.get_provider_status() is ProviderStatus.NOT_READY
    with pytest.raises(ProviderFatalError):
        api.set_provider_and_wait(Fatal(engine))
    details = evaluate(client, kind, f"{kind}-flag", DEFAULTS[kind])
    assert details.error_code is ErrorCode.PROVIDER_FATAL
    assert details.value == DEFAULTS[kind]
    assert client.get_provider_status() is ProviderStatus.FATAL


# ---- hooks, contexts ----------------------------------------------------------------------------


class Noting(Hook):
    """Notes the stages it is called at, and what with."""

    def __init__(self, context: EvaluationContext | None = None) -> None:
        self.context = context
        self.stages: list[str] = []
        self.details: list[FlagEvaluationDetails[Any]] = []
        self.contexts: list[EvaluationContext] = []

    def before(self, hook_context: HookContext, hints: HookHints) -> EvaluationContext | None:
        self.stages.append("before")
        return self.context

    def after(
        self, hook_context: HookContext, details: FlagEvaluationDetails[Any], hints: HookHints
    ) -> None:
        self.stages.append("after")
        self.details.append(details)

    def error(self, hook_context: HookContext, exception: Exception, hints: HookHints) -> None:
        self.stages.append("error")

    def finally_after(
        self, hook_context: HookContext, details: FlagEvaluationDetails[Any], hints: HookHints
    ) -> None:
        self.stages.append("finally")
        self.details.append(details)


def test_details_reach_the_hooks(client: OpenFeatureClient) -> None:
    hook = Noting()
    client.add_hooks([hook])
    client.get_boolean_details("boolean-flag", False)
    assert hook.stages == ["before", "after", "finally"]
    for details in hook.details:
        assert (details.flag_key, details.value) == ("boolean-flag", True)
        assert (details.variant, details.reason) == ("variant-1", "STATIC")
        assert details.error_code is None


@pytest.mark.parametrize(
    ("kind", "key", "default", "code"),
    [
        ("string", "missing-flag", "uh-oh", ErrorCode.FLAG_NOT_FOUND),
        ("integer", "wrong-flag", 13, ErrorCode.TYPE_MISMATCH),
    ],
)
def test_errors_reach_the_hooks(
    client: OpenFeatureClient, kind: str, key: str, default: Any, code: ErrorCode
) -> None:
    hook = Noting()
    client.add_hooks([hook])
    evaluate(client, kind, key, default)
    assert hook.stages == ["before", "error", "finally"]
    (details,) = hook.details
    assert (details.value, details.variant) == (default, None)
    assert (details.reason, details.error_code) == ("ERROR", code)


LEVELS = ("api", "transaction", "client", "invocation", "before hooks")


@pytest.mark.parametrize("last", LEVELS)
def test_contexts_of_all_levels_reach_the_provider(client: OpenFeatureClient, last: str) -> None:
    """Each level down to ``last`` says what the key is; the last one decides."""
    set_transaction_context_propagator(ContextVarsTransactionContextPropagator())
    said = LEVELS[: LEVELS.index(last) + 1]
    contexts = {
        level: EvaluationContext("v", {"email": BALLMER if level == last else "somebody@else.com"})
        for level in said
    }
    try:
        set_evaluation_context(contexts["api"])
        if "transaction" in contexts:
            set_transaction_context(contexts["transaction"])
        if "client" in contexts:
            client.context = contexts["client"]
        hook = Noting(contexts.get("before hooks"))
        details = client.get_string_details(
            "string-targeted-zero-flag",
            "default",
            contexts.get("invocation"),
            FlagEvaluationOptions(hooks=[hook]),
        )
    finally:
        set_transaction_context(EvaluationContext())
    assert (details.value, details.reason) == ("", "TARGETING_MATCH")


# ---- events, life -------------------------------------------------------------------------------


def eventually(holds: Callable[[], bool], seconds: float = 10) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


def listen(event: ProviderEvent) -> list[EventDetails]:
    heard: list[EventDetails] = []
    api.add_handler(event, heard.append)
    return heard


def test_ready_is_said() -> None:
    ready = listen(ProviderEvent.PROVIDER_READY)
    eventually(lambda: bool(ready))  # of the provider that was there before
    ready.clear()
    api.set_provider(WhichVariantProvider(Engine.from_dict(canonical())))
    eventually(lambda: bool(ready))
    assert api.get_client().get_provider_status() is ProviderStatus.READY


def test_what_cannot_be_reached(tmp_path: pathlib.Path) -> None:
    errors = listen(ProviderEvent.PROVIDER_ERROR)
    api.set_provider(WhichVariantProvider(tmp_path / "nothing.json", reload_s=0))
    eventually(lambda: bool(errors))
    client = api.get_client()
    assert client.get_provider_status() is ProviderStatus.ERROR
    details = client.get_boolean_details("boolean-flag", False)
    assert (details.value, details.reason) == (False, "ERROR")


def test_a_change_is_said_and_applied(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "flags.json"
    path.write_text(json.dumps(canonical()))
    api.set_provider_and_wait(WhichVariantProvider(path, reload_s=0.02))
    client = api.get_client()
    changes = listen(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED)
    before = client.get_string_value("changing-flag", "unset")
    other = tmp_path / "other.json"
    other.write_text(json.dumps(canonical("bar")))
    other.replace(path)
    eventually(lambda: bool(changes))
    assert "changing-flag" in (changes[0].flags_changed or [])
    assert (before, client.get_string_value("changing-flag", "unset")) == ("foo", "bar")


def test_losing_the_source_and_having_it_back(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "flags.json"
    path.write_text(json.dumps(canonical()))
    api.set_provider_and_wait(WhichVariantProvider(path, reload_s=0.02))
    client = api.get_client()
    ready, stale = listen(ProviderEvent.PROVIDER_READY), listen(ProviderEvent.PROVIDER_STALE)
    eventually(lambda: bool(ready))
    ready.clear()
    path.rename(tmp_path / "away")
    eventually(lambda: bool(stale))
    assert client.get_provider_status() is ProviderStatus.STALE
    assert client.get_string_value("string-flag", "bye") == "hi"
    (tmp_path / "away").rename(path)
    eventually(lambda: bool(ready))
    assert client.get_provider_status() is ProviderStatus.READY


def test_tracking() -> None:
    told: list[str] = []
    engine = Engine.from_dict(canonical())
    api.set_provider_and_wait(
        WhichVariantProvider(engine, on_track=lambda key, event: told.append(event["event"]))
    )
    client = api.get_client()
    context = EvaluationContext("v")
    for name in ("", None):
        with pytest.raises(ValueError, match="name"):
            client.track(name, context)  # type: ignore[arg-type]
    assert told == []
    client.track("the-event", context)
    assert told == ["the-event"]
