"""What goes wrong on the way, with both clients, against a server that misbehaves."""

from __future__ import annotations

import asyncio
import gzip
import pickle
import socket
import threading
import time
from typing import Any

import httpx
import pytest
from tests.client import crooked as deeds
from tests.client.conftest import MakeCaller
from tests.client.crooked import crooked
from tests.server.running import free_port

from whichvariant import errors, events
from whichvariant.client import NO_RETRIES, AsyncExperienceClient, ExperienceClient, RetryPolicy

PAGE = events.page(events.RequestContext(url="https://shop.example/"))
BATCHED = {**PAGE, "anonymousId": "visitor"}
NAMELESS = {name: value for name, value in PAGE.items() if name != "messageId"}
PATIENT = RetryPolicy(retries=2, lost_connections=True)
PATH = "/v2/organizations/default/environments/main"


# ---- what is sent -------------------------------------------------------------------------------


def test_what_is_sent(make_caller: MakeCaller) -> None:
    with crooked(*[deeds.ok] * 4, deeds.data({}), deeds.data({"profiles": []})) as server:
        api = make_caller(base_url=server.url)
        trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
        api.create([PAGE], locale="de", ip="192.0.2.1", traceparent=trace, features=["location"])
        api.create([PAGE], preflight=True, plain_text=False, location={"city": "Berlin"})
        api.update("a/b", [PAGE], preflight=True, locale="de")
        api.get("..", locale="fr")
        api.delete("x")
        api.upsert_many([BATCHED])
        api.import_many([BATCHED], plain_text=True)
        first, second, third, fourth, fifth, sixth, seventh = server.asked
    assert (first.method, first.target) == ("POST", f"{PATH}/profiles?locale=de")
    assert first.json == {"events": [PAGE], "options": {"features": ["location"]}}
    assert first.headers["content-type"] == "text/plain"
    assert first.headers["x-force-ip"] == "192.0.2.1"
    assert first.headers["traceparent"] == trace
    assert first.headers["user-agent"].startswith("whichvariant")
    assert second.target == f"{PATH}/profiles?type=preflight"
    assert second.headers["content-type"] == "application/json"
    assert second.json == {"events": [PAGE], "options": {"location": {"city": "Berlin"}}}
    assert "x-force-ip" not in second.headers
    assert third.target == f"{PATH}/profiles/a%2Fb?type=preflight&locale=de"
    assert third.json == {"events": [PAGE]}
    assert (fourth.method, fourth.target) == ("GET", f"{PATH}/profiles/%2E%2E?locale=fr")
    assert "content-type" not in fourth.headers
    assert (fifth.method, fifth.target, fifth.body) == ("DELETE", f"{PATH}/profiles/x", b"")
    assert (sixth.method, sixth.target) == ("POST", f"{PATH}/events")
    assert sixth.headers["content-type"] == "application/json"
    assert (seventh.target, seventh.json) == (f"{PATH}/import/events", {"events": [BATCHED]})
    assert seventh.headers["content-type"] == "text/plain"
    # Seven requests over one connection.
    assert {asked.connection for asked in server.asked} == {0}


def test_a_base_url_with_a_path(make_caller: MakeCaller) -> None:
    with crooked() as server:
        make_caller(base_url=f"{server.url}/behind/").get("x")
        assert server.asked[0].target == f"/behind{PATH}/profiles/x"


def test_the_hosted_api_is_the_default(make_caller: MakeCaller) -> None:
    """Nothing leaves this machine: the transport says what would."""
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, json={"data": deeds.ONE, "error": None, "message": "ok"})

    make_caller(transport=httpx.MockTransport(answer)).get("x")
    assert str(seen[0].url) == f"https://experience.ninetailed.co{PATH}/profiles/x"


@pytest.mark.parametrize(
    "base_url", ["", "shop.example", "ftp://shop.example", "https://", "http://x/?a", "http://[::1"]
)
def test_base_urls_that_are_none(base_url: str) -> None:
    for kind in (ExperienceClient, AsyncExperienceClient):
        with pytest.raises(ValueError, match=r".+"):
            kind("default", base_url=base_url)


def test_settings_that_are_none() -> None:
    for settings in ({"organization": ""}, {"environment": ""}, {"timeout_s": 0}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            ExperienceClient(**{"organization": "default", **settings})
    for wrong in ({"retries": -1}, {"delay_s": -1}, {"longest_delay_s": float("nan")}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            RetryPolicy(**wrong)  # type: ignore[arg-type]


def test_cookies_are_not_passed_from_visitor_to_visitor(make_caller: MakeCaller) -> None:
    with crooked(deeds.data(deeds.ONE, set_cookie="who=me")) as server:
        api = make_caller(base_url=server.url)
        api.get("x")
        api.get("y")
        assert "cookie" not in server.asked[1].headers


def test_ones_own_httpx_client() -> None:
    with crooked() as server, httpx.Client(headers={"x-mine": "1"}) as http:
        with ExperienceClient("default", base_url=server.url, http=http) as client:
            client.get("x")
        assert server.asked[0].headers["x-mine"] == "1"
        assert not http.is_closed


async def test_ones_own_httpx_client_for_asyncio() -> None:
    with crooked() as server:
        async with httpx.AsyncClient(headers={"x-mine": "1"}) as http:
            async with AsyncExperienceClient("default", base_url=server.url, http=http) as client:
                await client.get("x")
            assert server.asked[0].headers["x-mine"] == "1"
            assert not http.is_closed


def test_a_proxy(make_caller: MakeCaller) -> None:
    with crooked() as server:
        api = make_caller(base_url="http://experience.example", proxy=server.url)
        api.get("x")
        assert server.asked[0].target == f"http://experience.example{PATH}/profiles/x"


# ---- sending again ------------------------------------------------------------------------------


def test_503_once_and_at_once(make_caller: MakeCaller) -> None:
    """The rule of the SDKs, for every kind of request."""
    for name, arguments in (
        ("create", ([PAGE],)),
        ("update", ("x", [PAGE])),
        ("get", ("x",)),
        ("delete", ("x",)),
        ("upsert_many", ([BATCHED],)),
        ("import_many", ([BATCHED],)),
    ):
        good = deeds.data({"profiles": []}) if name == "upsert_many" else deeds.ok
        with crooked(deeds.busy, good) as server:
            getattr(make_caller(base_url=server.url), name)(*arguments)
            assert len(server.asked) == 2, name
            assert server.asked[0][1:] == server.asked[1][1:]
            assert server.at[1] - server.at[0] < 0.5
        with crooked(deeds.busy, deeds.busy) as server:
            with pytest.raises(errors.ApiUnavailable) as caught:
                getattr(make_caller(base_url=server.url), name)(*arguments)
            assert len(server.asked) == 2
            assert caught.value.status == 503
            assert caught.value.code == "ERR_INTERNAL_SERVER_ERROR"


def test_events_without_message_id_are_sent_once(make_caller: MakeCaller) -> None:
    for name, arguments in (
        ("create", ([PAGE, NAMELESS],)),
        ("update", ("x", [NAMELESS])),
        ("upsert_many", ([NAMELESS],)),
        ("import_many", ([{**BATCHED, "messageId": ""}],)),
    ):
        with crooked(deeds.busy) as server:
            api = make_caller(base_url=server.url, retries=PATIENT)
            with pytest.raises(errors.ApiUnavailable):
                getattr(api, name)(*arguments)
            assert len(server.asked) == 1
    # A preflight changes nothing, however often.
    with crooked(deeds.busy) as server:
        make_caller(base_url=server.url).create([NAMELESS], preflight=True)
        assert len(server.asked) == 2


@pytest.mark.parametrize("status", [400, 404, 429, 500, 502, 504])
def test_nothing_else_is_sent_again(make_caller: MakeCaller, status: int) -> None:
    with crooked(deeds.refusal(status, "ERR_WHATEVER")) as server:
        with pytest.raises(errors.ClientError):
            make_caller(base_url=server.url).get("x")
        assert len(server.asked) == 1


@pytest.mark.parametrize("deed", [deeds.hang_up, deeds.half])
def test_lost_connections(make_caller: MakeCaller, deed: deeds.Deed) -> None:
    with crooked(deed) as server:
        with pytest.raises(errors.ApiUnavailable, match="the connection was lost") as caught:
            make_caller(base_url=server.url).get("x")
        assert caught.value.status is None
        assert caught.value.sent
        assert len(server.asked) == 1
    with crooked(deed, deed) as server:
        make_caller(base_url=server.url, retries=PATIENT).update("x", [PAGE])
        assert len(server.asked) == 3
    with crooked(deed) as server:
        # It may have been made: another would be a second profile.
        with pytest.raises(errors.ApiUnavailable):
            make_caller(base_url=server.url, retries=PATIENT).create([PAGE])
        assert len(server.asked) == 1
    with crooked(deed) as server:
        make_caller(base_url=server.url, retries=PATIENT).create([PAGE], preflight=True)
        assert len(server.asked) == 2


def test_what_was_deleted_before_the_connection_was_lost(make_caller: MakeCaller) -> None:
    gone = deeds.refusal(404, "ERR_PROFILE_NOT_FOUND")
    with crooked(deeds.hang_up, gone) as server:
        assert make_caller(base_url=server.url, retries=PATIENT).delete("x") is None
        assert len(server.asked) == 2
    with crooked(gone) as server, pytest.raises(errors.ApiProfileNotFound):
        make_caller(base_url=server.url, retries=PATIENT).delete("x")


def test_nobody_listens(make_caller: MakeCaller) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(errors.ApiUnavailable, match="no connection") as caught:
        make_caller(base_url=url).create([PAGE])
    assert not caught.value.sent
    assert caught.value.status is None
    # Nothing was sent, so even a create may be tried again.
    started = time.monotonic()
    policy = RetryPolicy(retries=3, delay_s=0.05, lost_connections=True)
    with pytest.raises(errors.ApiUnavailable):
        make_caller(base_url=url, retries=policy).create([PAGE])
    assert time.monotonic() - started > 0.15


def test_retry_after(make_caller: MakeCaller) -> None:
    later = deeds.refusal(429, "ERR_PROFILE_OVERLOAD", retry_after="1")
    policy = RetryPolicy(statuses=frozenset({429, 503}), retry_after=True)
    with crooked(later) as server:
        make_caller(base_url=server.url, retries=policy).get("x")
        assert 0.95 < server.at[1] - server.at[0] < 10
    much_later = deeds.refusal(429, "ERR_PROFILE_OVERLOAD", retry_after="6")
    with crooked(much_later) as server:
        with pytest.raises(errors.ApiProfileOverload) as caught:
            make_caller(base_url=server.url, retries=policy).get("x")
        assert len(server.asked) == 1
        assert caught.value.retry_after_s == 6
    at_a_date = deeds.refusal(503, "ERR", retry_after="Sat, 28 Nov 2026 20:00:00 GMT")
    with crooked(at_a_date) as server:
        make_caller(base_url=server.url, retries=policy).get("x")
        assert len(server.asked) == 2


# ---- time ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("deed", [deeds.silent, deeds.trickle])
def test_time_is_up(make_caller: MakeCaller, deed: deeds.Deed) -> None:
    with crooked(deed) as server:
        api = make_caller(base_url=server.url, timeout_s=0.4)
        started = time.monotonic()
        with pytest.raises(errors.ApiTimeout, match=r"no answer within 0\.4 s") as caught:
            api.get("x")
        assert 0.35 < time.monotonic() - started < 5
        assert caught.value.sent
        assert len(server.asked) == 1
        # The client goes on, over another connection.
        api.get("y", timeout_s=5)
        assert server.asked[-1].connection == 1


def test_a_timeout_of_its_own(make_caller: MakeCaller) -> None:
    with crooked(deeds.silent) as server:
        started = time.monotonic()
        with pytest.raises(errors.ApiTimeout, match=r"0\.2 s"):
            make_caller(base_url=server.url, timeout_s=60).get("x", timeout_s=0.2)
        assert time.monotonic() - started < 10


def test_time_is_up_before_there_is_a_connection(make_caller: MakeCaller) -> None:
    """A listener whose queue is full: connecting hangs."""
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        try:
            for one in waiting:
                one.setblocking(False)
                one.connect_ex(full.getsockname())
            time.sleep(0.1)
            url = f"http://127.0.0.1:{full.getsockname()[1]}"
            with pytest.raises(errors.ApiTimeout):
                make_caller(base_url=url, timeout_s=0.3).create([PAGE])
        finally:
            for one in waiting:
                one.close()


async def test_cancellation() -> None:
    with crooked(deeds.silent) as server:
        async with AsyncExperienceClient("default", base_url=server.url, timeout_s=60) as client:
            task = asyncio.create_task(client.get("x"))
            assert await asyncio.to_thread(server.came.wait, 10)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            # The connection is given up: nobody waits for what nobody wants.
            assert await asyncio.to_thread(server.lost.wait, 10)
            assert (await client.get("y")).profile.id == "p"


async def test_a_limit_of_the_caller_is_the_callers() -> None:
    with crooked(deeds.silent) as server:
        async with AsyncExperienceClient("default", base_url=server.url, timeout_s=60) as client:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await client.get("x")


async def test_many_at_once() -> None:
    with crooked() as server:
        async with AsyncExperienceClient("default", base_url=server.url) as client:
            answers = await asyncio.gather(*(client.get(str(n)) for n in range(40)))
        assert len(answers) == len(server.asked) == 40


def test_threads_share_a_client() -> None:
    with crooked() as server, ExperienceClient("default", base_url=server.url) as client:
        threads = [threading.Thread(target=client.get, args=(str(n),)) for n in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(int(asked.target.rpartition("/")[2]) for asked in server.asked) == list(
            range(16)
        )


# ---- answers that are none ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("deed", "message"),
    [
        (deeds.answer(200, b"<html>"), "no envelope"),
        (deeds.answer(200, b""), "no envelope"),
        (deeds.answer(200, b"\xff"), "no envelope"),
        (deeds.answer(200, b"[" * 100_000), "no envelope"),
        (deeds.answer(200, {"error": None}), "no envelope"),
        (deeds.data([]), "data: expected an object"),
        (deeds.data({}), "profile: expected object, got null"),
        (deeds.data({"profile": {"id": "p"}}), "profile: object missing required field stableId"),
        (deeds.data({"profile": {"id": "p", "stableId": 1}}), r"profile\.stableId: expected str"),
        (deeds.data({**deeds.ONE, "experiences": {}}), "experiences: expected a list"),
        (
            deeds.data({**deeds.ONE, "experiences": [{"experienceId": "e", "variantIndex": "1"}]}),
            r"experiences\[0\]\.variantIndex: expected int",
        ),
        (
            deeds.data({**deeds.ONE, "changes": [{"key": "k", "value": 1}]}),
            r"changes\[0\]: object missing required field meta",
        ),
        (deeds.answer(200, b"no gzip", content_encoding="gzip"), "cannot be decoded"),
        (deeds.flood, "more than 64 MiB"),
    ],
)
def test_answers_that_are_none(make_caller: MakeCaller, deed: deeds.Deed, message: str) -> None:
    with crooked(deed) as server:
        api = make_caller(base_url=server.url, timeout_s=30)
        with pytest.raises(errors.InvalidResponse, match=f"^Get profile: .*{message}"):
            api.get("x")
        assert api.get("y").profile.id == "p"


def test_refusals_without_an_envelope(make_caller: MakeCaller) -> None:
    """As a proxy in between gives them."""
    with crooked(
        deeds.answer(403, b"<html>"),
        deeds.answer(502, b"<html>"),
        deeds.answer(301, b"", location="/elsewhere"),
        deeds.answer(500, {"error": {"code": 7}, "message": []}),
    ) as server:
        api = make_caller(base_url=server.url, retries=NO_RETRIES)
        with pytest.raises(errors.ApiError, match=r"^Get profile: answered 403$") as refused:
            api.get("x")
        assert (refused.value.status, refused.value.code) == (403, "")
        with pytest.raises(errors.ApiUnavailable, match="answered 502") as unavailable:
            api.get("x")
        assert unavailable.value.status == 502
        for status in (301, 500):
            with pytest.raises(errors.ApiError, match=f"answered {status}$"):
                api.get("x")


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "ERR_INVALID_DATA", errors.ApiInvalidData),
        (404, "ERR_CONFIG_NOT_FOUND", errors.ApiConfigurationNotFound),
        (404, "ERR_PROFILE_NOT_FOUND", errors.ApiProfileNotFound),
        (404, "ERR_NAMESPACE_MISMATCH", errors.ApiNamespaceMismatch),
        (429, "ERR_PROFILE_OVERLOAD", errors.ApiProfileOverload),
        (500, "ERR_INTERNAL_SERVER_ERROR", errors.ApiInternalError),
        (418, "ERR_UNHEARD_OF", errors.ApiError),
    ],
)
def test_every_code(
    make_caller: MakeCaller, status: int, code: str, kind: type[errors.ApiError]
) -> None:
    refusal = deeds.refusal(status, code, traceparent="00-trace", retry_after="2")
    with crooked(refusal) as server, pytest.raises(errors.ClientError) as caught:
        make_caller(base_url=server.url).get("x")
    error: Any = caught.value
    assert type(error) is kind
    assert str(error) == f"Get profile: answered {status}, {code}: a message"
    assert (error.status, error.code, error.retry_after_s) == (status, code, 2)
    assert (error.request, error.traceparent) == ("Get profile", "00-trace")
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert (str(again), again.__dict__) == (str(error), error.__dict__)


def test_compressed_answers(make_caller: MakeCaller) -> None:
    body = gzip.compress(b'{"data": {"profile": {"id": "p", "stableId": "p"}}}')
    with crooked(deeds.answer(200, body, content_encoding="gzip")) as server:
        assert make_caller(base_url=server.url).get("x").profile.id == "p"


def test_what_newer_servers_may_say(make_caller: MakeCaller) -> None:
    data = {
        "profile": {**deeds.PROFILE, "raw": 1, "mood": "good", "session": {"count": 2, "pace": 1}},
        "experiences": [{"experienceId": "e", "variantIndex": 1, "why": "because", "raw": {}}],
        "changes": [
            {
                "key": "k",
                "type": "Elsewise",
                "meta": {"experienceId": "e", "variantIndex": 1, "more": []},
                "experienceId": "misleading",
            }
        ],
        "weather": "fine",
    }
    with crooked(deeds.data(data)) as server:
        answer = make_caller(base_url=server.url).get("x")
    assert answer.raw == data
    assert answer.profile.raw["mood"] == "good"
    assert answer.profile.session.raw["pace"] == 1
    assert answer.profile.session.count == 2
    assert answer.experiences[0].raw["why"] == "because"
    assert answer.changes[0].type == "Elsewise"
    assert answer.changes[0].experience_id == "e"
    assert answer.configuration is None
    with pytest.raises(AttributeError):
        answer.profile.id = "other"
