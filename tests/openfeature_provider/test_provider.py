"""The provider, through OpenFeature's own SDK."""

from __future__ import annotations

import asyncio
import json
import pathlib
import shutil
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import EventDetails, ProviderEvent
from openfeature.exception import ErrorCode, GeneralError, ParseError
from openfeature.flag_evaluation import FlagEvaluationDetails, FlagEvaluationOptions, Reason
from openfeature.hook import Hook, HookContext, HookHints
from openfeature.provider import ProviderStatus
from openfeature.track import TrackingEventDetails
from tests.conftest import REPOSITORY
from tests.flags.documents import document, experience, trait_audience, variable
from tests.server.delivery_api import SPACE, TOKEN, DeliveryApi, listening

from whichvariant import Engine
from whichvariant.flags import FlagSet, visitor_of
from whichvariant.openfeature import WhichVariantProvider
from whichvariant.sources import Follower

STOREFRONT = REPOSITORY / "fixtures" / "storefront" / "space.json"
GOLD = trait_audience("gold", "plan", "gold")


def client_of(provider: WhichVariantProvider) -> OpenFeatureClient:
    api.set_provider_and_wait(provider)
    return api.get_client()


def engine_of(*experiences: dict[str, Any]) -> Engine:
    return Engine.from_dict(document(*experiences, audiences=(GOLD,)))


def write(path: pathlib.Path, *experiences: dict[str, Any]) -> pathlib.Path:
    path.write_text(json.dumps(document(*experiences, audiences=(GOLD,))))
    return path


def eventually(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.01)


# ---- evaluation ---------------------------------------------------------------------------------


def test_the_storefront() -> None:
    engine = Engine.load(STOREFRONT)
    client = client_of(WhichVariantProvider(engine))
    flags = FlagSet(engine)
    decided = 0
    for number in range(200):
        attributes = {"plan": "gold", "location": {"city": "Berlin", "countryCode": "DE"}}
        context = EvaluationContext(f"visitor-{number}", attributes)
        for flag, choice in flags.choose_all(visitor_of(f"visitor-{number}", attributes)):
            value = choice.value
            if isinstance(value, bool):
                details: FlagEvaluationDetails[Any] = client.get_boolean_details(
                    flag.key, False, context
                )
            elif isinstance(value, int):
                details = client.get_integer_details(flag.key, -1, context)
            elif isinstance(value, float):
                details = client.get_float_details(flag.key, -1.0, context)
            elif isinstance(value, dict):
                details = client.get_object_details(flag.key, {}, context)
            else:
                details = client.get_string_details(flag.key, "default", context)
            assert details.error_code is None
            assert details.value == ("default" if value is None else value)
            assert details.variant == choice.variant
            assert details.reason == choice.reason
            assert details.flag_metadata == dict(choice.metadata)
            decided += value is not None
    assert decided > 1_000


def test_numbers_are_what_is_asked_for() -> None:
    client = client_of(
        WhichVariantProvider(
            engine_of(
                experience("a", variable("whole", 0, 10)),
                experience("b", variable("written", 0.0, 10.0)),
                experience("c", variable("half", 0.0, 0.5)),
            )
        )
    )
    for key in ("whole", "written"):
        assert (client.get_integer_value(key, 1), client.get_float_value(key, 1.5)) == (10, 10.0)
        assert type(client.get_integer_value(key, 1)) is int
        assert type(client.get_float_value(key, 1.5)) is float
    assert client.get_float_value("half", 1.5) == 0.5
    assert client.get_integer_details("half", 1).error_code is ErrorCode.TYPE_MISMATCH


def test_experiences_by_id() -> None:
    client = client_of(WhichVariantProvider(Engine.load(STOREFRONT)))
    context = EvaluationContext("visitor-3")
    assert client.get_string_value("HomeHero0j48xmtaOEXNhw", "none", context) == "baseline"
    assert client.get_integer_value("HomeHero0j48xmtaOEXNhw", -1, context) == 0
    assert client.get_object_value("HomeHero0j48xmtaOEXNhw", {}, context) == {
        "heroHome5pT9dmUz1CAAHO": "heroHome5pT9dmUz1CAAHO"
    }
    details = client.get_boolean_details("HomeHero0j48xmtaOEXNhw", True, context)
    assert (details.value, details.error_code) == (True, ErrorCode.TYPE_MISMATCH)


def test_errors() -> None:
    split = experience("s", variable("split", "x", "y"), distribution=(0.5, 0.5))
    gold = experience("g", variable("gold", "no", "yes"), audience="gold")
    client = client_of(WhichVariantProvider(engine_of(split, gold)))

    def code(key: str, context: EvaluationContext | None = None) -> ErrorCode | None:
        details = client.get_string_details(key, "default", context)
        if details.error_code is not None:
            assert details.value == "default"
            assert details.reason == Reason.ERROR
            assert details.error_message
            assert details.variant is None
        return details.error_code

    assert code("nothing") is ErrorCode.FLAG_NOT_FOUND
    assert code("split") is ErrorCode.TARGETING_KEY_MISSING
    assert code("split", EvaluationContext("", {"plan": "gold"})) is ErrorCode.TARGETING_KEY_MISSING
    assert code("split", EvaluationContext("v")) is None
    # Who is gold is nobody's draw.
    assert client.get_string_value("gold", "default", EvaluationContext(None, {"plan": "gold"}))
    assert code("gold") is None
    wrong = EvaluationContext("v", {"location": "Berlin", "plan": "gold"})
    assert code("gold", wrong) is ErrorCode.INVALID_CONTEXT
    assert code("gold", EvaluationContext("v", {"device": "fridge"})) is ErrorCode.INVALID_CONTEXT
    no_json: dict[str, Any] = {"plan": object()}
    assert code("gold", EvaluationContext("v", no_json)) is ErrorCode.INVALID_CONTEXT
    assert code("gold", EvaluationContext("v" * 70_000)) is ErrorCode.INVALID_CONTEXT
    assert code("gold", EvaluationContext(7)) is ErrorCode.INVALID_CONTEXT  # type: ignore[arg-type]


def test_dates_in_a_context_are_texts() -> None:
    since = {"type": "identify", "key": "since", "operator": "startsWith", "value": "2026-03-04T"}
    audience = {"nt_audience_id": "new", "nt_rules": {"any": [{"all": [since]}]}}
    given = document(
        experience("e", variable("k", "no", "yes"), audience="new"), audiences=(audience,)
    )
    client = client_of(WhichVariantProvider(Engine.from_dict(given)))
    march = datetime(2026, 3, 4, 12, tzinfo=UTC)
    for attributes in ({"since": march}, {"traits": {"since": march}}, {"traits.since": march}):
        assert client.get_string_value("k", "default", EvaluationContext("v", attributes)) == "yes"
    later = datetime(2026, 4, 4, tzinfo=UTC)
    context = EvaluationContext("v", {"since": later})
    assert client.get_string_value("k", "default", context) == "default"


def test_without_being_asynchronous_it_is_the_same() -> None:
    client = client_of(WhichVariantProvider(Engine.load(STOREFRONT)))

    async def ask() -> None:
        for number in range(50):
            context = EvaluationContext(f"v{number}", {"plan": "gold"})
            key = "checkout.buttonLabel"
            waited = await client.get_string_details_async(key, "default", context)
            assert waited == client.get_string_details(key, "default", context)
            missing = await client.get_boolean_details_async("nothing", True, context)
            assert (missing.value, missing.error_code) == (True, ErrorCode.FLAG_NOT_FOUND)
            assert await client.get_float_value_async("shipping.freeFrom", 1.5, context) in {
                1.5,
                99.5,
                150.0,
            }
            assert await client.get_integer_value_async("HomeHero0j48xmtaOEXNhw", 9, context) in {
                0,
                1,
                9,
            }
            assert await client.get_object_value_async("lounge.perks", {"d": 1}, context)

    asyncio.run(ask())


def test_answers_that_are_shared_cannot_be_changed() -> None:
    provider = WhichVariantProvider(engine_of(experience("e", variable("k", {}, {"a": 1}))))
    provider.initialize(EvaluationContext())
    answer = provider.resolve_object_details("k", {})
    assert answer == provider.resolve_object_details("k", {"other": 1})
    with pytest.raises(AttributeError):
        answer.value = 3
    with pytest.raises(AttributeError):
        del answer.value
    with pytest.raises(TypeError):
        answer.value["a"] = 2
    with pytest.raises(TypeError):
        answer.flag_metadata["x"] = 1  # type: ignore[index]


def test_many_threads() -> None:
    engine = Engine.load(STOREFRONT)
    client = client_of(WhichVariantProvider(engine))
    expected = [
        client.get_string_value("checkout.buttonLabel", "-", EvaluationContext(f"v{number}"))
        for number in range(100)
    ]
    wrong: list[int] = []

    def ask() -> None:
        for _ in range(5):
            for number in range(100):
                context = EvaluationContext(f"v{number}")
                if (
                    client.get_string_value("checkout.buttonLabel", "-", context)
                    != expected[number]
                ):
                    wrong.append(number)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


# ---- life ---------------------------------------------------------------------------------------


class Heard:
    """Every event of the API, in order."""

    def __init__(self) -> None:
        self.events: list[tuple[ProviderEvent, EventDetails]] = []
        for event in ProviderEvent:
            api.add_handler(event, self._noting(event))

    def _noting(self, event: ProviderEvent) -> Callable[[EventDetails], None]:
        return lambda details: self.events.append((event, details))

    def kinds(self) -> list[str]:
        return [event.value.removeprefix("PROVIDER_") for event, _ in self.events]


def test_files_that_change(tmp_path: pathlib.Path) -> None:
    path = write(
        tmp_path / "flags.json",
        experience("a", variable("k", "x", "one")),
        experience("b", variable("other", "x", "y")),
    )
    provider = WhichVariantProvider(path, reload_s=0.02)
    client = client_of(provider)
    assert client.get_provider_status() is ProviderStatus.READY
    assert client.get_string_value("k", "default") == "one"
    heard = Heard()
    eventually(lambda: heard.kinds() == ["READY"])
    heard.events.clear()

    new = write(
        tmp_path / "new.json",
        experience("a", variable("k", "x", "two")),
        experience("b", variable("other", "x", "y")),
    )
    new.replace(path)
    eventually(lambda: len(heard.events) == 1)
    (event, details), *_ = heard.events
    assert event is ProviderEvent.PROVIDER_CONFIGURATION_CHANGED
    assert details.flags_changed == ["a", "k"]
    assert provider.engine is not None
    assert details.metadata == {"configuration": provider.engine.digest}
    assert client.get_string_value("k", "default") == "two"

    # Something broken changes nothing but what is said.
    path.write_text("{")
    eventually(lambda: heard.kinds() == ["CONFIGURATION_CHANGED", "STALE"])
    assert client.get_provider_status() is ProviderStatus.STALE
    assert "flags.json" in str(heard.events[-1][1].message)
    assert client.get_string_value("k", "default") == "two"
    path.unlink()
    eventually(lambda: heard.kinds()[2:] == ["STALE"])
    assert client.get_string_value("k", "default") == "two"

    # The same again makes it ready, and no flag has changed.
    write(
        path,
        experience("a", variable("k", "x", "two")),
        experience("b", variable("other", "x", "y")),
    )
    eventually(lambda: "READY" in heard.kinds())
    assert client.get_provider_status() is ProviderStatus.READY
    assert heard.kinds().count("CONFIGURATION_CHANGED") == 1


def test_a_configuration_that_cannot_be_used(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "flags.json"
    path.write_text("not JSON")
    provider = WhichVariantProvider([path], reload_s=0.02)
    heard = Heard()
    with pytest.raises(ParseError):
        api.set_provider_and_wait(provider)
    client = api.get_client()
    assert client.get_provider_status() is ProviderStatus.ERROR
    eventually(lambda: "ERROR" in heard.kinds())
    (failed,) = [d for e, d in heard.events if e is ProviderEvent.PROVIDER_ERROR]
    assert failed.error_code is ErrorCode.PARSE_ERROR
    details = client.get_string_details("k", "default")
    assert (details.value, details.error_code) == ("default", ErrorCode.PROVIDER_NOT_READY)
    # It goes on looking.
    write(path, experience("a", variable("k", "x", "one")))
    eventually(lambda: client.get_provider_status() is ProviderStatus.READY)
    assert client.get_string_value("k", "default") == "one"


def test_files_that_are_not_there(tmp_path: pathlib.Path) -> None:
    with pytest.raises(GeneralError):
        api.set_provider_and_wait(WhichVariantProvider(tmp_path / "nothing.json", reload_s=0))


def test_errors_of_a_configuration_are_withheld_unless_strict(tmp_path: pathlib.Path) -> None:
    path = write(
        tmp_path / "flags.json",
        experience("good", variable("k", "x", "one")),
        experience("bad", variable("l", "x", "one"), audience="nobody knows"),
    )
    with pytest.raises(ParseError):
        api.set_provider_and_wait(WhichVariantProvider(path, reload_s=0))
    client = client_of(WhichVariantProvider(path, strict=False, reload_s=0))
    assert client.get_string_value("k", "default") == "one"
    assert client.get_string_details("l", "default").error_code is ErrorCode.FLAG_NOT_FOUND


def test_another_engine() -> None:
    provider = WhichVariantProvider(engine_of(experience("a", variable("k", "x", "one"))))
    client = client_of(provider)
    heard = Heard()
    eventually(lambda: heard.kinds() == ["READY"])
    heard.events.clear()
    same = engine_of(experience("a", variable("k", "x", "one")))
    provider.replace(same)
    provider.replace(engine_of(experience("a", variable("k", "x", "two"))))
    eventually(lambda: bool(heard.events))
    assert [(e, d.flags_changed) for e, d in heard.events] == [
        (ProviderEvent.PROVIDER_CONFIGURATION_CHANGED, ["a", "k"])
    ]
    assert client.get_string_value("k", "default") == "two"


def test_shutdown_ends_looking(tmp_path: pathlib.Path) -> None:
    path = write(tmp_path / "flags.json", experience("a", variable("k", "x", "one")))
    provider = WhichVariantProvider(path, reload_s=0.02)
    api.set_provider_and_wait(provider)

    def looking() -> list[str]:
        return [one.name for one in threading.enumerate() if one.name.startswith("whichvariant-")]

    assert looking() == ["whichvariant-configuration"]
    api.shutdown()
    assert looking() == []
    answer = provider.resolve_string_details("k", "default")
    assert (answer.value, answer.error_code) == ("default", ErrorCode.PROVIDER_NOT_READY)
    # And again from the start.
    api.clear_providers()
    assert client_of(provider).get_string_value("k", "default") == "one"


def test_contentful_is_followed() -> None:
    export = json.loads(STOREFRONT.read_bytes())
    delivery = DeliveryApi(export)
    visitor = EvaluationContext("visitor-3", {"plan": "gold"})
    with listening(delivery) as url:
        follower = Follower.delivery(SPACE, TOKEN, url=url, poll_s=0.05)
        client = client_of(WhichVariantProvider(follower))
        local = WhichVariantProvider(Engine.from_dict(export, strict=False))
        local.initialize(EvaluationContext())
        assert client.get_string_value("checkout.buttonLabel", "", visitor) == "Pay securely"
        before = client.get_string_details("checkout.buttonLabel", "", visitor)
        assert (
            before.value == local.resolve_string_details("checkout.buttonLabel", "", visitor).value
        )
        heard = Heard()
        delivery.delete(_published(export, str(before.flag_metadata["experienceId"])))
        eventually(lambda: "CONFIGURATION_CHANGED" in heard.kinds())
        (changed,) = [d for e, d in heard.events if e.value.endswith("CONFIGURATION_CHANGED")]
        assert before.flag_metadata["experienceId"] in (changed.flags_changed or [])
        after = client.get_string_details("checkout.buttonLabel", "", visitor)
        assert after.value != before.value
        api.shutdown()
    with pytest.raises(RuntimeError, match="not open"):
        follower.refresh()


def _published(export: dict[str, Any], experience_id: str) -> str:
    """The id of the entry that an experience is."""
    (found,) = [
        entry["sys"]["id"]
        for entry in export["entries"]
        if entry["fields"].get("nt_experience_id", {}).get("en-US") == experience_id
        or entry["sys"]["id"] == experience_id
    ]
    return str(found)


def test_a_source_that_cannot_be_read(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "nothing" / "here"
    provider = WhichVariantProvider(Follower.files(tmp_path, poll_s=0))
    with pytest.raises(GeneralError, match="no configuration"):
        provider.initialize(EvaluationContext())
    folder.mkdir(parents=True)
    shutil.copy(STOREFRONT, tmp_path / "main.json")
    # Once it is there, it is enough to try again.
    (tmp_path / "default").mkdir()
    (tmp_path / "main.json").rename(tmp_path / "default" / "main.json")
    provider.initialize(EvaluationContext())
    assert provider.engine is not None
    provider.shutdown()


def test_a_source_is_needed() -> None:
    with pytest.raises(ValueError, match="no path"):
        WhichVariantProvider([])


# ---- hooks and tracking -------------------------------------------------------------------------


class Noting(Hook):
    """Notes what is handed to it."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, Any]] = []

    def before(self, hook_context: HookContext, hints: HookHints) -> EvaluationContext | None:
        self.seen.append(("before", hook_context.provider_metadata))
        return EvaluationContext(attributes={"plan": "gold"})

    def after(
        self, hook_context: HookContext, details: FlagEvaluationDetails[Any], hints: HookHints
    ) -> None:
        self.seen.append(("after", details.value))

    def error(self, hook_context: HookContext, exception: Exception, hints: HookHints) -> None:
        self.seen.append(("error", type(exception).__name__))

    def finally_after(
        self, hook_context: HookContext, details: FlagEvaluationDetails[Any], hints: HookHints
    ) -> None:
        self.seen.append(("finally", details.value))


def test_hooks_of_the_provider() -> None:
    own, ours = Noting(), Noting()
    gold = experience("g", variable("k", "no", "yes"), audience="gold")
    provider = WhichVariantProvider(engine_of(gold), hooks=[own])
    client = client_of(provider)
    # What a hook says counts: without it, nobody is gold here.
    value = client.get_string_value("k", "default", None, FlagEvaluationOptions(hooks=[ours]))
    assert value == "yes"
    assert [name for name, _ in own.seen] == ["before", "after", "finally"]
    assert own.seen[1:] == [("after", "yes"), ("finally", "yes")] == ours.seen[1:]
    assert own.seen[0][1].name == "whichvariant"
    own.seen.clear()
    client.get_string_value("nothing", "default")
    assert [name for name, _ in own.seen] == ["before", "error", "finally"]


def test_tracking() -> None:
    told: list[tuple[str, dict[str, Any]]] = []
    engine = engine_of(experience("a", variable("k", "x", "one")))
    provider = WhichVariantProvider(engine, on_track=lambda key, event: told.append((key, event)))
    client = client_of(provider)
    details = TrackingEventDetails(99.5, {"currency": "EUR"})
    client.track("bought", EvaluationContext("v"), details)
    client.track("nobody did", EvaluationContext())
    ((key, event),) = told
    assert key == "v"
    assert (event["type"], event["event"]) == ("track", "bought")
    assert event["properties"] == {"currency": "EUR", "value": 99.5}
    # It is an event as the API takes them.
    answer = engine.preflight(None, [event])
    assert answer.profile["session"]["count"] == 1
    with pytest.raises(ValueError, match="name"):
        client.track("", EvaluationContext("v"))
    WhichVariantProvider(engine).track("nowhere to go", EvaluationContext("v"))
