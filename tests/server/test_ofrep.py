"""OFREP: what providers ask, and what they are answered; with the published Python provider."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import quote

import httpx
import pytest
import requests
from openfeature.contrib.provider.ofrep import OFREPProvider
from openfeature.evaluation_context import EvaluationContext
from openfeature.exception import (
    ErrorCode,
    FlagNotFoundError,
    GeneralError,
    InvalidContextError,
    OpenFeatureError,
    TargetingKeyMissingError,
    TypeMismatchError,
)
from tests.flags.documents import document, experience, trait_audience, variable
from tests.server.conftest import OTHER, SHOP, client_of
from tests.server.events import event, identify, page
from tests.server.running import Served, served

from whichvariant import Engine, Namespace
from whichvariant.flags import FlagSet, visitor_of
from whichvariant.server import App, ServerSettings, create_app
from whichvariant.store import MemoryStore

FLAGS = "/ofrep/v1/evaluate/flags"
BERLINER = {"plan": "gold", "location": {"city": "Berlin", "countryCode": "DE"}}


def app_of(given: Engine | dict[Namespace, Engine], **settings: Any) -> App:
    engines = {SHOP: given} if isinstance(given, Engine) else given
    return create_app(ServerSettings(**settings), engines=engines, store=MemoryStore())


async def test_one_flag(make_app: Callable[..., App], engine: Engine) -> None:
    flags = FlagSet(engine)
    async with client_of(make_app()) as client:
        for number in range(20):
            who = f"visitor-{number}"
            for flag, choice in flags.choose_all(visitor_of(who, BERLINER)):
                context = {"targetingKey": who, **BERLINER}
                answer = await client.post(f"{FLAGS}/{flag.key}", json={"context": context})
                assert answer.status_code == 200
                assert answer.headers["content-type"].startswith("application/json")
                assert answer.headers["x-whichvariant-configuration"] == engine.digest
                expected: dict[str, Any] = {
                    "key": flag.key,
                    "reason": choice.reason,
                    "variant": choice.variant or "default",
                    "metadata": dict(choice.metadata),
                }
                if choice.value is not None:
                    expected["value"] = choice.value
                assert answer.json() == expected


async def test_all_flags_are_each_of_them(make_app: Callable[..., App], engine: Engine) -> None:
    async with client_of(make_app()) as client:
        body = {"context": {"targetingKey": "visitor-3", **BERLINER}}
        answer = await client.post(FLAGS, json=body)
        assert answer.status_code == 200
        assert set(answer.json()) == {"flags", "metadata"}
        assert answer.json()["metadata"] == {"configuration": engine.digest}
        for evaluation in answer.json()["flags"]:
            one = await client.post(f"{FLAGS}/{evaluation['key']}", json=body)
            assert one.json() == evaluation
        assert [one["key"] for one in answer.json()["flags"]] == FlagSet(engine).keys()


async def test_etags(make_app: Callable[..., App]) -> None:
    async with client_of(make_app()) as client:
        body = {"context": {"targetingKey": "visitor-3"}}
        first = await client.post(FLAGS, json=body)
        etag = first.headers["etag"]
        assert etag.startswith('"')
        assert "etag" in first.headers["access-control-expose-headers"]
        for names in (etag, f"W/{etag}", f'"other", {etag}', "*"):
            again = await client.post(FLAGS, json=body, headers={"if-none-match": names})
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["etag"] == etag
            assert "content-type" not in again.headers
        other = await client.post(FLAGS, json=body, headers={"if-none-match": '"other"'})
        assert other.status_code == 200
        # Somebody else's flags are others.
        body = {"context": {"targetingKey": "visitor-4", **BERLINER}}
        changed = await client.post(FLAGS, json=body, headers={"if-none-match": etag})
        assert changed.status_code == 200
        assert changed.headers["etag"] != etag


async def test_failures_have_the_protocols_shapes(make_app: Callable[..., App]) -> None:
    key = f"{FLAGS}/checkout.buttonLabel"
    known = {"targetingKey": "v"}

    async with client_of(make_app()) as client:

        async def failure(path: str, status: int, code: str, **request: Any) -> str:
            answer = await client.post(path, **request)
            assert answer.status_code == status, answer.text
            body = answer.json()
            expected = {"errorCode", "errorDetails"} | ({"key"} if path != FLAGS else set())
            assert set(body) == expected
            assert body["errorCode"] == code
            if path != FLAGS:
                assert body["key"] == path.partition("/flags/")[2]
            return str(body["errorDetails"])

        context = {"json": {"context": known}}
        assert "no such flag" in await failure(f"{FLAGS}/nothing", 404, "FLAG_NOT_FOUND", **context)
        assert "drawn" in await failure(key, 400, "TARGETING_KEY_MISSING", json={"context": {}})
        await failure(key, 400, "TARGETING_KEY_MISSING", json={})
        await failure(key, 400, "TARGETING_KEY_MISSING")
        for path in (key, FLAGS):
            await failure(path, 400, "PARSE_ERROR", content=b"{")
            await failure(path, 400, "PARSE_ERROR", json=[])
            await failure(path, 400, "INVALID_CONTEXT", json={"context": "v"})
            for key_of_no_kind in (3, 0, False, [], {}):
                wrong_key = {"context": {"targetingKey": key_of_no_kind}}
                await failure(path, 400, "INVALID_CONTEXT", json=wrong_key)
            wrong = {"context": {**known, "location": "Berlin"}}
            assert (await failure(path, 400, "INVALID_CONTEXT", json=wrong)).startswith("location:")
            fridge = {"context": {**known, "device": "fridge"}}
            await failure(path, 400, "INVALID_CONTEXT", json=fridge)
            await failure(
                path, 415, "GENERAL", content=b"{}", headers={"content-type": "image/png"}
            )
            await failure(path, 413, "GENERAL", content=b"{" + b" " * (3 << 20))
            answer = await client.get(path)
            assert answer.status_code == 405
            assert answer.headers["allow"] == "POST, OPTIONS"
            assert answer.json()["errorCode"] == "GENERAL"
        nowhere = await client.post("http://server/v2/organizations/x/environments/y" + key)
        assert (nowhere.status_code, nowhere.json()["errorCode"]) == (404, "FLAG_NOT_FOUND")
        nowhere = await client.post("http://server/v2/organizations/x/environments/y" + FLAGS)
        assert (nowhere.status_code, nowhere.json()["errorCode"]) == (404, "GENERAL")
        unreadable = await client.post("http://server/ofrep/v1/evaluate/flags/%ff")
        assert (unreadable.status_code, unreadable.json()["errorCode"]) == (400, "GENERAL")
        beside = await client.post("http://server/ofrep/v1/configuration")
        assert beside.status_code == 404


async def test_without_a_key_what_is_not_drawn_is_answered() -> None:
    engine = Engine.from_dict(
        document(
            experience("s", variable("split", "x", "y"), distribution=(0.5, 0.5)),
            experience("a", variable("all", "x", "y")),
        )
    )
    async with client_of(app_of(engine)) as client:
        answer = (await client.post(FLAGS, json={})).json()
        by_key = {one["key"]: one for one in answer["flags"]}
        assert by_key["all"]["value"] == "y"
        assert by_key["all"]["reason"] == "STATIC"
        assert set(by_key["split"]) == {"key", "errorCode", "errorDetails"}
        assert by_key["split"]["errorCode"] == "TARGETING_KEY_MISSING"


async def test_hostile_contexts(engine: Engine) -> None:
    """Nothing of a context is kept, and none brings about an error 500."""
    deep: Any = "x"
    for _ in range(900):
        deep = {"a": deep}
    contexts: list[dict[str, Any]] = [
        {"traits": deep},
        {"plan": [deep]},
        {".".join(["a"] * 50_000): 1},
        {".": 1, "..": 2, "traits.": 3, ".traits": 4, "": 5},
        {f"trait{number}": number for number in range(20_000)},
        {"__proto__": {"plan": "gold"}, "constructor": "x", "stableId": "y", "id": "z"},
        {"stickyVariants": {"GoldLounge9FplVKqNEqjm": 10**30}},
        {"stickyVariants": {"GoldLounge9FplVKqNEqjm": "1"}},
        {"userAgent": "(" * 100_000},
        {"session": {"count": 1e308, "landingPage": []}},
        {"events": [{"type": "page"}] * 2_000},
        {"events": ["page", 3, None]},
        {"targetingKey": "v" * 100_000},
    ]
    app = app_of(engine)
    async with client_of(app) as client:
        for context in contexts:
            body = {"context": {"targetingKey": "v", **context}}
            for path in (FLAGS, f"{FLAGS}/lounge.open"):
                answer = await client.post(path, json=body)
                assert answer.status_code in {200, 400}, answer.text[:500]
                if answer.status_code == 400:
                    assert answer.json()["errorCode"] == "INVALID_CONTEXT"
        for number in range(200):
            answer = await client.post(f"{FLAGS}/made-up-{number}", json={})
            assert answer.status_code == 404
        (flags,) = app.answering._evaluations._sets.values()
        assert len(flags._flags) <= len(flags)


async def test_which_environment(engine: Engine) -> None:
    body = {"context": {"targetingKey": "v"}}
    bare = f"http://server{FLAGS}"
    async with client_of(app_of(engine)) as client:
        assert (await client.post(bare, json=body)).json() == (
            await client.post(FLAGS, json=body)
        ).json()
        one = await client.post(f"{bare}/checkout.buttonLabel", json=body)
        assert one.json()["key"] == "checkout.buttonLabel"
    async with client_of(app_of({SHOP: engine, OTHER: engine})) as client:
        answer = await client.post(bare, json=body)
        assert answer.status_code == 404
        assert "not exactly one environment" in answer.json()["errorDetails"]
        assert (await client.post(FLAGS, json=body)).status_code == 200


async def test_names_of_others_are_not_in_the_way(engine: Engine) -> None:
    """An organization, an environment and a profile may be called as the protocol is."""
    async with client_of(app_of({Namespace("ofrep", "v1"): engine})) as client:
        base = "http://server/v2/organizations/ofrep/environments/v1"
        created = await client.post(f"{base}/profiles", json={"events": [page()]})
        assert created.status_code == 200
        assert (await client.get(f"{base}/profiles/ofrep")).status_code == 404
        body = {"context": {"targetingKey": "v"}}
        assert (await client.post(f"{base}{FLAGS}", json=body)).status_code == 200


async def test_keys_with_slashes_and_other_characters() -> None:
    keys = ["a/b", "a b", "ä€🎈", "x?y", "%41", "a.b"]
    engine = Engine.from_dict(
        document(*[experience(f"e{n}", variable(key, 0, n)) for n, key in enumerate(keys, 1)])
    )
    async with client_of(app_of(engine)) as client:
        for number, key in enumerate(keys, 1):
            for path in {quote(key, safe=""), quote(key, safe="/")}:
                answer = await client.post(f"{FLAGS}/{path}", json={})
                assert answer.json()["value"] == number, (key, path, answer.text)


# ---- who is stored ------------------------------------------------------------------------------


GOLD = trait_audience("gold", "plan", "gold")
TRACKED = {
    "nt_audience_id": "buyers",
    "nt_rules": {
        "any": [{"all": [{"type": "track", "value": "bought", "operator": "equal", "count": "2"}]}]
    },
}


async def test_a_stored_profile_decides_with_the_context_on_top() -> None:
    engine = Engine.from_dict(
        document(
            experience("g", variable("gold", "no", "yes"), audience="gold"),
            experience("b", variable("buyer", "no", "yes"), audience="buyers"),
            experience("s", variable("split", "x", "y"), distribution=(0.5, 0.5)),
            audiences=(GOLD, TRACKED),
        )
    )
    async with client_of(app_of(engine)) as client:
        events = [identify(plan="gold"), event("track", event="bought", properties={})]
        created = (await client.post("/profiles", json={"events": events})).json()["data"]
        who, stable = created["profile"]["id"], created["profile"]["stableId"]

        async def value(key: str, **context: Any) -> Any:
            body = {"context": {"targetingKey": who, **context}}
            return (await client.post(f"{FLAGS}/{key}", json=body)).json().get("value")

        assert await value("gold") == "yes"
        assert await value("gold", plan="blue") is None
        assert await value("gold", targetingKey="somebody else") is None
        # Activity that is stored, and what the context adds to it.
        assert await value("buyer") is None
        more = {
            **event("track", event="bought", properties={}),
            "timestamp": "2026-01-01T00:00:00Z",
        }
        assert await value("buyer", events=[more]) == "yes"
        assert await value("buyer", events=[more], targetingKey="somebody else") is None
        # The draw is by its stable id, and the answer is that of the API.
        (split,) = [c for c in created["changes"] if c["key"] == "split"]
        assert await value("split") == split["value"] == await value("split", targetingKey=stable)
        # Nothing was stored by asking.
        assert (await client.get(f"/profiles/{who}")).json()["data"]["profile"] == created[
            "profile"
        ]
        await client.delete(f"/profiles/{who}")
        assert await value("gold") is None
        assert await value("gold", plan="gold") == "yes"


async def test_too_much_at_once_is_429(make_app: Callable[..., App]) -> None:
    app = make_app(max_requests=1)
    async with client_of(app) as client:
        app.answering.at_work = 1
        for path, more in ((FLAGS, {}), (f"{FLAGS}/a", {"key": "a"})):
            answer = await client.post(path, json={})
            assert answer.status_code == 429
            assert answer.headers["retry-after"] == "1"
            assert answer.json() == {
                **more,
                "errorCode": "GENERAL",
                "errorDetails": "too many requests at once; try again later",
            }
        # The API's own clients know 503.
        assert (await client.post("/profiles", json={"events": [page()]})).status_code == 503
        app.answering.at_work = 0
        assert (await client.post(FLAGS, json={})).status_code == 200


async def test_a_configuration_that_changes(engine: Engine) -> None:
    app = app_of(engine)
    async with client_of(app) as client:
        body = {"context": {"targetingKey": "v"}}
        before = await client.post(FLAGS, json=body)
        new = Engine.from_dict(document(experience("e", variable("k", 1, 2))))
        app.catalog.replace(SHOP, new, 0)
        after = await client.post(
            FLAGS, json=body, headers={"if-none-match": before.headers["etag"]}
        )
        assert after.status_code == 200
        assert [one["key"] for one in after.json()["flags"]] == ["k", "e"]
        assert after.headers["x-whichvariant-configuration"] == new.digest


async def test_browsers_may_ask(make_app: Callable[..., App]) -> None:
    async with client_of(make_app()) as client:
        asked = await client.options(
            FLAGS,
            headers={
                "origin": "https://shop.example",
                "access-control-request-method": "POST",
                "access-control-request-headers": "content-type,if-none-match",
            },
        )
        assert asked.status_code == 204
        assert asked.headers["access-control-allow-origin"] == "*"
        assert "POST" in asked.headers["access-control-allow-methods"]
        assert "if-none-match" in asked.headers["access-control-allow-headers"]


async def test_requests_are_counted(make_app: Callable[..., App]) -> None:
    app = make_app()
    async with client_of(app) as client:
        await client.post(FLAGS, json={})
        await client.post(f"{FLAGS}/nothing", json={})
        assert app.observer.metrics is not None
        seen = {(one.endpoint, one.status) for one in app.observer.metrics.numbers().latencies}
        assert {("flags", 200), ("flag", 404)} <= seen


# ---- the published provider ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def flags_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server of flags of every type."""
    folder = tmp_path_factory.mktemp("flags")
    config = folder / "flags.json"
    config.write_text(
        json.dumps(
            document(
                experience("1", variable("boolean", False, True)),
                experience("2", variable("string", "x", "hi")),
                experience("3", variable("integer", 0, 10)),
                experience("4", variable("float", 0.25, 0.5)),
                experience("5", variable("object", {}, {"a": [1]})),
                experience("6", variable("split", "x", "y"), distribution=(0.5, 0.5)),
                experience("7", variable("gold", "no", "yes"), audience="gold"),
                experience("8", variable("off", "no", "yes"), traffic=0),
                audiences=(GOLD,),
            )
        )
    )
    with served(folder, config=config) as running:
        yield running


def test_the_published_provider(flags_server: Served) -> None:
    context = EvaluationContext("v", {"plan": "gold"})
    for base in (flags_server.url, flags_server.api, f"{flags_server.api}/"):
        provider = OFREPProvider(base)
        assert provider.resolve_boolean_details("boolean", False, context).value is True
        assert provider.resolve_string_details("string", "-", context).value == "hi"
        assert provider.resolve_integer_details("integer", 1, context).value == 10
        assert provider.resolve_float_details("float", 0.1, context).value == 0.5
        assert provider.resolve_object_details("object", {}, context).value == {"a": [1]}
        details = provider.resolve_string_details("gold", "-", context)
        assert (details.value, details.reason, details.variant) == (
            "yes",
            "TARGETING_MATCH",
            "variant-1",
        )
        assert details.flag_metadata["experienceId"] == "7"
        # Where no experience decides, the caller's default does.
        details = provider.resolve_string_details("gold", "mine", EvaluationContext("v"))
        assert (details.value, details.reason) == ("mine", "DEFAULT")
        details = provider.resolve_string_details("off", "mine", context)
        assert (details.value, details.reason) == ("mine", "DISABLED")


def test_the_published_provider_is_told_what_is_wrong(flags_server: Served) -> None:
    provider = OFREPProvider(flags_server.url)
    context = EvaluationContext("v")
    with pytest.raises(FlagNotFoundError):
        provider.resolve_string_details("nothing", "-", context)
    with pytest.raises(TypeMismatchError):
        provider.resolve_boolean_details("string", False, context)
    with pytest.raises(TargetingKeyMissingError):
        provider.resolve_string_details("split", "-")
    with pytest.raises(InvalidContextError):
        provider.resolve_string_details("split", "-", EvaluationContext("v", {"location": "x"}))
    with pytest.raises(FlagNotFoundError, match="no such organization"):
        OFREPProvider(
            f"{flags_server.url}/v2/organizations/x/environments/y"
        ).resolve_string_details("split", "-", context)
    assert issubclass(TargetingKeyMissingError, OpenFeatureError)
    assert ErrorCode.TARGETING_KEY_MISSING.value == "TARGETING_KEY_MISSING"


def test_the_published_provider_pauses_when_told(
    make_app: Callable[..., App], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its `requests` session is answered by the app, which is at its limit."""
    app = make_app(max_requests=1)

    async def answer() -> httpx.Response:
        async with client_of(app) as client:
            app.answering.at_work = 1
            return await client.post(f"{FLAGS}/a", json={})

    refused = asyncio.run(answer())

    def post(url: str, **_: Any) -> requests.Response:
        response = requests.Response()
        response.status_code = refused.status_code
        response.headers.update(refused.headers)
        response._content = refused.content
        return response

    provider = OFREPProvider("http://server")
    monkeypatch.setattr(provider.session, "post", post)
    with pytest.raises(GeneralError, match="retry after: 1"):
        provider.resolve_string_details("a", "-")
    with pytest.raises(GeneralError, match="paused due to TooManyRequests"):
        provider.resolve_string_details("a", "-")
