"""The provider that asks a server, with a server."""

from __future__ import annotations

import asyncio
import json
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from openfeature import api
from openfeature.client import OpenFeatureClient
from openfeature.evaluation_context import EvaluationContext
from openfeature.event import ProviderEvent
from openfeature.exception import ErrorCode, GeneralError
from openfeature.provider import ProviderStatus
from openfeature.track import TrackingEventDetails
from tests.flags.documents import document, experience, trait_audience, variable
from tests.server.running import Served, free_port, served

from whichvariant import Engine
from whichvariant.openfeature import RemoteWhichVariantProvider, WhichVariantProvider

GOLD = trait_audience("gold", "plan", "gold")
BUYERS = {
    "nt_audience_id": "buyers",
    "nt_rules": {
        "any": [{"all": [{"type": "track", "value": "bought", "operator": "equal", "count": "1"}]}]
    },
}


def flags(text: str = "hi") -> dict[str, Any]:
    return document(
        experience("1", variable("boolean", False, True)),
        experience("2", variable("string", "x", text)),
        experience("3", variable("integer", 0, 10)),
        experience("4", variable("float", 0.25, 0.5)),
        experience("5", variable("object", {}, {"a": [1]})),
        experience("6", variable("split", "x", "y"), distribution=(0.5, 0.5)),
        experience("7", variable("gold", "no", "yes"), audience="gold"),
        experience("8", variable("off", "no", "yes"), traffic=0),
        experience("9", variable("a/b c?", "no", "yes")),
        experience("10", variable("buyer", "no", "yes"), audience="buyers"),
        audiences=(GOLD, BUYERS),
    )


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server of these flags."""
    folder = tmp_path_factory.mktemp("flags")
    config = folder / "flags.json"
    config.write_text(json.dumps(flags()))
    with served(folder, "--reload-s", "0.1", config=config) as running:
        yield running


def eventually(holds: Callable[[], object]) -> None:
    until = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.02)


def remote(url: str, **keywords: Any) -> RemoteWhichVariantProvider:
    return RemoteWhichVariantProvider("default", "main", base_url=url, **keywords)


def ask_all(client: OpenFeatureClient, context: EvaluationContext) -> list[Any]:
    found: list[Any] = []
    for key in ("boolean", "string", "integer", "float", "gold", "off", "a/b c?", "none", "split"):
        found += [
            client.get_boolean_details(key, False, context),
            client.get_string_details(key, "-", context),
            client.get_integer_details(key, 7, context),
            client.get_float_details(key, 7.5, context),
            client.get_object_details(key, {"d": 1}, context),
        ]
    found.append(client.get_object_details("object", {}, context))
    for identifier in ("6", "7", "8"):
        found.append(client.get_string_details(identifier, "-", context))
        found.append(client.get_integer_details(identifier, 7, context))
        found.append(client.get_float_details(identifier, 7.5, context))
    return [
        (one.flag_key, one.value, one.reason, one.variant, one.error_code, dict(one.flag_metadata))
        for one in found
    ]


def test_it_answers_what_the_local_one_answers(server: Served) -> None:
    api.set_provider_and_wait(remote(f"{server.url}/"), "remote")
    local = WhichVariantProvider(Engine.from_dict(flags()))
    api.set_provider_and_wait(local, "local")
    there, here = api.get_client("remote"), api.get_client("local")
    for context in (
        EvaluationContext("v", {"plan": "gold"}),
        EvaluationContext("w", {"traits.plan": "blue", "location": {"city": "Berlin"}}),
        EvaluationContext(None, {"plan": "gold"}),
        EvaluationContext("v", {"location": "Berlin"}),
    ):
        assert ask_all(there, context) == ask_all(here, context)


def test_in_a_coroutine_nobody_waits(server: Served) -> None:
    api.set_provider_and_wait(remote(server.url))
    client = api.get_client()
    context = EvaluationContext("v", {"plan": "gold"})

    async def ask() -> tuple[Any, ...]:
        return tuple(
            await asyncio.gather(
                client.get_boolean_value_async("boolean", False, context),
                client.get_string_value_async("gold", "-", context),
                client.get_integer_value_async("integer", 1, context),
                client.get_float_value_async("float", 0.1, context),
                client.get_object_value_async("object", {}, context),
            )
        )

    assert asyncio.run(ask()) == (True, "yes", 10, 0.5, {"a": [1]})


def test_what_is_tracked_arrives(server: Served) -> None:
    api.set_provider_and_wait(remote(server.url))
    client = api.get_client()
    context = EvaluationContext("tracked-visitor")
    assert client.get_string_value("buyer", "-", context) == "-"
    client.track("bought", context, TrackingEventDetails(5.0, {"currency": "EUR"}))
    client.track("bought", EvaluationContext())
    eventually(lambda: client.get_string_value("buyer", "-", context) == "yes")
    with pytest.raises(ValueError, match="name"):
        client.track("", context)
    profile = httpx.get(f"{server.api}/profiles/tracked-visitor").json()["data"]["profile"]
    assert profile["session"]["count"] == 1


def test_what_waits_is_sent_before_the_end(server: Served) -> None:
    provider = remote(server.url)
    api.set_provider_and_wait(provider)
    for number in range(20):
        api.get_client().track("bought", EvaluationContext(f"late-{number}"))
    api.shutdown()

    def arrived() -> bool:
        return all(
            httpx.get(f"{server.api}/profiles/late-{number}").status_code == 200
            for number in range(20)
        )

    eventually(arrived)


def test_a_server_that_changes_goes_and_comes_back(tmp_path: pathlib.Path) -> None:
    config = tmp_path / "flags.json"
    config.write_text(json.dumps(flags()))
    port = free_port()
    heard: list[ProviderEvent] = []
    api.add_handler(
        ProviderEvent.PROVIDER_CONFIGURATION_CHANGED,
        lambda _: heard.append(ProviderEvent.PROVIDER_CONFIGURATION_CHANGED),
    )
    api.add_handler(
        ProviderEvent.PROVIDER_STALE, lambda _: heard.append(ProviderEvent.PROVIDER_STALE)
    )
    with served(tmp_path, "--reload-s", "0.1", config=config, port=port) as running:
        api.set_provider_and_wait(remote(running.url, poll_s=0.1, timeout_s=10))
        client = api.get_client()
        assert client.get_string_value("string", "-") == "hi"
        new = tmp_path / "new"
        new.write_text(json.dumps(flags("changed")))
        new.replace(config)
        eventually(lambda: heard == [ProviderEvent.PROVIDER_CONFIGURATION_CHANGED])
        assert client.get_string_value("string", "-") == "changed"
    eventually(lambda: client.get_provider_status() is ProviderStatus.STALE)
    details = client.get_string_details("string", "-")
    assert (details.value, details.error_code) == ("-", ErrorCode.GENERAL)
    with served(tmp_path, config=config, port=port):
        eventually(lambda: client.get_provider_status() is ProviderStatus.READY)
        assert client.get_string_value("string", "-") == "changed"
        assert heard.count(ProviderEvent.PROVIDER_STALE) == 1


def test_nobody_there_and_no_such_environment(server: Served) -> None:
    with pytest.raises(GeneralError):
        api.set_provider_and_wait(remote(f"http://127.0.0.1:{free_port()}", poll_s=0))
    assert api.get_client().get_provider_status() is ProviderStatus.ERROR
    assert api.get_client().get_boolean_value("boolean", False) is False
    other = RemoteWhichVariantProvider("other", base_url=server.url, poll_s=0)
    with pytest.raises(GeneralError, match="404: there is no such organization"):
        api.set_provider_and_wait(other)


def test_answers_that_are_none() -> None:
    """A server that answers anything: what counts is that nothing is thrown."""
    answers: list[httpx.Response] = []

    def handle(request: httpx.Request) -> httpx.Response:
        return answers.pop(0) if answers else httpx.Response(200, json={"flags": []})

    with httpx.Client(transport=httpx.MockTransport(handle)) as http:
        provider = remote("http://server", poll_s=0, http=http)
        api.set_provider_and_wait(provider)
        client = api.get_client()

        def code(response: httpx.Response) -> ErrorCode | None:
            answers.append(response)
            details = client.get_string_details("k", "default")
            assert details.value == "default"
            return details.error_code

        assert code(httpx.Response(200, content=b"<html>")) is ErrorCode.PARSE_ERROR
        assert code(httpx.Response(200, json=[])) is ErrorCode.GENERAL
        assert code(httpx.Response(500, json={"errorDetails": "x"})) is ErrorCode.GENERAL
        assert code(httpx.Response(400, json={"errorCode": "NEW"})) is ErrorCode.GENERAL
        assert code(httpx.Response(200, json={"value": 3})) is ErrorCode.TYPE_MISMATCH
        assert code(httpx.Response(200, json={"reason": "DEFAULT"})) is None
        nan = client.get_string_details("k", "d", EvaluationContext("v", {"x": float("nan")}))
        assert nan.error_code is ErrorCode.INVALID_CONTEXT
        # A pause that was asked for is kept: the next answer is not even asked for.
        refused = httpx.Response(429, headers={"retry-after": "60"}, json={"errorCode": "GENERAL"})
        assert code(refused) is ErrorCode.GENERAL
        answers.append(httpx.Response(200, json={"value": "not asked for"}))
        details = client.get_string_details("k", "default")
        assert (details.value, details.error_code) == ("default", ErrorCode.GENERAL)
        assert len(answers) == 1
        api.shutdown()
