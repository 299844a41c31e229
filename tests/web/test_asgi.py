"""ASGI middleware under Starlette and FastAPI, over HTTP as their clients speak it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from http.cookies import SimpleCookie
from typing import Any

import httpx
import jinja2
import pytest
from fastapi import FastAPI
from fastapi import Request as FastRequest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, StreamingResponse
from starlette.routing import Route
from starlette.templating import Jinja2Templates
from tests.web import shop

from whichvariant import Engine, Namespace
from whichvariant.client import AsyncPreflight, Preflight
from whichvariant.errors import SettingsError
from whichvariant.events import RequestContext
from whichvariant.profiles.answer import Answer
from whichvariant.service import ProfileService
from whichvariant.store import MemoryStore
from whichvariant.web import Consent, CookieSettings, EngineDecider, ServiceDecider, WebSettings
from whichvariant.web.asgi import ExperienceMiddleware
from whichvariant.web.jinja import ExperiencesExtension
from whichvariant.web.visits import is_bot

TEMPLATE = """
{%- set hero = entry | variant -%}
<section {{ tracking(hero) }}>{{ hero.fields.title }}|{{ flag("label", "none") }}|
{{- merge_tag("session.landingPage.query.name", "you") }}</section>{{ experiences_handoff() }}
"""

templates = Jinja2Templates(
    env=jinja2.Environment(
        loader=jinja2.DictLoader({"page.html": TEMPLATE}),
        autoescape=True,
        extensions=[ExperiencesExtension],
    )
)


async def page(request: Request) -> HTMLResponse:
    return templates.TemplateResponse(request, "page.html", {"entry": shop.HERO})


async def title(request: Request) -> PlainTextResponse:
    shown = request.state.experiences.resolve(shop.HERO)
    return PlainTextResponse(shown["fields"]["title"], headers={"Cache-Control": "public"})


async def plain(request: Request) -> PlainTextResponse:
    """Asks for what is the same for everybody."""
    shown = request.state.experiences.resolve(shop.PLAIN)
    return PlainTextResponse(
        shown["fields"]["title"], headers={"Cache-Control": "public, max-age=60"}
    )


async def stream(request: Request) -> StreamingResponse:
    async def body() -> AsyncIterator[str]:
        yield request.state.experiences.resolve(shop.HERO)["fields"]["title"]

    if request.query_params.get("use"):
        request.state.experiences.use()
    return StreamingResponse(body(), headers={"Cache-Control": "public, max-age=60"})


async def fail(request: Request) -> PlainTextResponse:
    raise ZeroDivisionError


ROUTES = [
    Route("/page", page),
    Route("/title", title, methods=["GET", "POST"]),
    Route("/plain", plain),
    Route("/static/title", title),
    Route("/stream", stream),
    Route("/fail", fail),
]


class Counting:
    """A decider that counts how often it is asked."""

    def __init__(self, engine: Engine = shop.ENGINE) -> None:
        self.asked: list[str | None] = []
        self.events: list[Any] = []
        self._decider = EngineDecider(engine)

    def preflight(
        self, events: Any, *, profile_id: str | None = None, locale: str = "en"
    ) -> Answer:
        self.asked.append(profile_id)
        self.events += events
        return self._decider.preflight(events, profile_id=profile_id, locale=locale)


def application(decider: Any, **settings: Any) -> Starlette:
    made = WebSettings(**settings)
    return Starlette(
        routes=ROUTES,
        middleware=[Middleware(ExperienceMiddleware, decider=decider, settings=made)],
    )


def call(
    app: Any, path: str, *, method: str = "GET", base: str = "https://shop.example", **headers: str
) -> httpx.Response:
    """One request; underscores in names of headers are hyphens."""
    sent = {"user-agent": shop.BROWSER.encode()}
    sent |= {name.replace("_", "-"): value.encode() for name, value in headers.items()}

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url=base) as client:
            return await client.request(method, path, headers=sent)

    return asyncio.run(ask())


def cookie_of(response: httpx.Response, name: str = "ntaid") -> Any:
    parsed = SimpleCookie()
    for header in response.headers.get_list("set-cookie"):
        parsed.load(header)
    return parsed.get(name)


# --- what a page shows ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["ntaid", "ctfl-opt-aid"])
@pytest.mark.parametrize("visitor", [shop.ON_BASELINE, shop.ON_VARIANT])
def test_the_cookie_decides(visitor: str, name: str) -> None:
    app = application(EngineDecider(shop.ENGINE))
    for _ in range(2):
        response = call(app, "/title", cookie=f"other=1; {name}={visitor}")
        assert response.text == shop.TITLES[visitor]
        cookie = cookie_of(response)
        assert cookie.value == visitor
        assert (cookie["path"], cookie["samesite"], cookie["secure"]) == ("/", "Lax", True)
        assert cookie["httponly"] == ""


def test_a_template() -> None:
    app = application(EngineDecider(shop.ENGINE))
    query = "?name=%3Cb%3EZo%C3%AB"
    text = call(app, f"/page{query}", cookie=f"ntaid={shop.ON_VARIANT}").text
    section, _, _ = text.partition("</section>")
    assert section == (
        '<section data-ctfl-entry-id="v" data-ctfl-baseline-id="b" '
        'data-ctfl-optimization-id="hero" data-ctfl-sticky="true" data-ctfl-variant-index="1">'
        "Variant|Buy &lt;now&gt;|&lt;b&gt;Zoë"
    )
    handed = shop.handed_over(text)
    assert "<b>" not in text
    assert handed["profile"]["id"] == shop.ON_VARIANT
    assert handed["experiences"][0]["variantIndex"] == 1
    assert handed["profile"]["session"]["landingPage"]["query"] == {"name": "<b>Zoë"}


def test_a_new_visitor_keeps_their_variant() -> None:
    app = application(EngineDecider(shop.ENGINE))
    seen = set()
    for _ in range(12):
        first = call(app, "/title")
        visitor = cookie_of(first).value
        assert len(visitor) == 64
        assert first.text == ["Baseline", "Variant"][shop.variant_index(visitor)]
        assert call(app, "/title", cookie=f"ntaid={visitor}").text == first.text
        seen.add(first.text)
    assert seen == {"Baseline", "Variant"}


@pytest.mark.parametrize("bad", ["a b", "x" * 500, "a%0d%0aX-Evil: 1", '"', "é"])
def test_a_malformed_cookie_is_none(bad: str) -> None:
    counting = Counting()
    response = call(application(counting), "/title", cookie=f"ntaid={bad}")
    assert response.status_code == 200
    assert counting.asked == [None]
    assert "x-evil" not in response.headers
    assert len(cookie_of(response).value) == 64


def test_the_page_view_tells_of_the_request() -> None:
    counting = Counting()
    call(
        application(counting),
        "/title?utm_source=mail",
        referer="https://a.example/",
        base="http://shop.example",
    )
    (event,) = counting.events
    assert event["type"] == "page"
    assert event["context"]["page"]["url"] == "http://shop.example/title?utm_source=mail"
    assert event["context"]["campaign"] == {"source": "mail"}
    assert event["context"]["userAgent"] == shop.BROWSER


def test_settings_reach_the_decision() -> None:
    def located(context: RequestContext) -> RequestContext:
        return dataclasses.replace(context, location={"city": "Köln", "countryCode": "DE"})

    app = application(
        EngineDecider(shop.ENGINE),
        context=located,
        base_url="https://www.shop.example",
        locale=lambda context: "de" if context.path == "/page" else "en",
    )
    profile = shop.handed_over(call(app, "/page").text)["profile"]
    assert profile["location"]["city"] == "Köln"
    assert profile["session"]["landingPage"]["url"] == "https://www.shop.example/page"


@pytest.mark.parametrize("kind", [Preflight, AsyncPreflight])
def test_the_clients_preflights_decide(kind: Any) -> None:
    app = application(kind(shop.ENGINE))
    assert call(app, "/title", cookie=f"ntaid={shop.ON_VARIANT}").text == "Variant"
    assert len(cookie_of(call(app, "/title")).value) == 64


# --- lazy, and what is left out ------------------------------------------------------------------


def test_what_asks_nothing_costs_nothing_and_stays_cacheable() -> None:
    counting = Counting()
    app = application(counting, skip=("/static/",))
    response = call(app, "/static/title", cookie=f"ntaid={shop.ON_VARIANT}")
    assert response.text == "Baseline"
    assert counting.asked == []
    assert "set-cookie" not in response.headers
    assert response.headers["cache-control"] == "public"
    assert "vary" not in response.headers
    assert call(app, "/nowhere").status_code == 404
    assert counting.asked == []


def test_entries_for_everybody_leave_the_response_alone() -> None:
    response = call(application(EngineDecider(shop.ENGINE)), "/plain")
    assert response.text == "For everybody"
    assert response.headers["cache-control"] == "public, max-age=60"
    assert "set-cookie" not in response.headers
    assert "vary" not in response.headers


def test_personal_responses_are_private() -> None:
    response = call(application(EngineDecider(shop.ENGINE)), "/title")
    assert response.headers["cache-control"] == "private, no-cache"
    assert response.headers["vary"] == "Cookie"


def test_a_stream_says_so_before_or_shows_the_baseline(caplog: pytest.LogCaptureFixture) -> None:
    app = application(EngineDecider(shop.ENGINE))
    cookie = f"ntaid={shop.ON_VARIANT}"
    said = call(app, "/stream?use=1", cookie=cookie)
    assert said.text == "Variant"
    assert said.headers["cache-control"] == "private, max-age=60"
    with caplog.at_level(logging.WARNING, "whichvariant.web"):
        unsaid = call(app, "/stream", cookie=cookie)
    assert unsaid.text == "Baseline"
    assert unsaid.headers["cache-control"] == "public, max-age=60"
    assert "call use() before" in caplog.text


def test_skip_may_be_a_function() -> None:
    counting = Counting()
    app = application(counting, skip=lambda path: path.endswith("title"))
    assert call(app, "/title").text == "Baseline"
    assert counting.asked == []
    with pytest.raises(SettingsError, match="skip"):
        WebSettings(skip="/static/")  # type: ignore[arg-type]


def test_other_kinds_of_connections_go_through() -> None:
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(dict(scope))

    middleware = ExperienceMiddleware(app, EngineDecider(shop.ENGINE))
    for kind in ("lifespan", "websocket"):
        asyncio.run(middleware({"type": kind}, None, None))  # type: ignore[arg-type]
    assert seen == [{"type": "lifespan"}, {"type": "websocket"}]


# --- consent, bots, prefetches -------------------------------------------------------------------


def agreed(context: RequestContext) -> Consent | bool:
    answer = context.cookies.get("consent")
    return Consent(persist=False) if answer == "session" else answer == "yes"


def test_without_consent_everybodys_page_and_no_cookie() -> None:
    counting = Counting()
    app = application(counting, consent=agreed)
    response = call(app, "/title", cookie=f"ntaid={shop.ON_VARIANT}; ctfl-opt-aid=x")
    assert response.text == "Baseline"
    assert counting.asked == []
    for name in ("ntaid", "ctfl-opt-aid"):
        assert (cookie_of(response, name).value, cookie_of(response, name)["max-age"]) == ("", "0")
    assert response.headers["cache-control"] == "private, no-cache"
    assert "set-cookie" not in call(app, "/title").headers
    assert call(app, "/title", cookie=f"consent=yes; ntaid={shop.ON_VARIANT}").text == "Variant"


def test_consent_to_one_page_at_a_time() -> None:
    counting = Counting()
    app = application(counting, consent=agreed)
    response = call(app, "/title", cookie=f"consent=session; ntaid={shop.ON_VARIANT}")
    assert counting.asked == [None]
    assert cookie_of(response)["max-age"] == "0"


def test_a_failing_consent_function_is_no_consent(caplog: pytest.LogCaptureFixture) -> None:
    def broken(context: RequestContext) -> bool:
        raise ZeroDivisionError

    app = application(EngineDecider(shop.ENGINE), consent=broken)
    response = call(app, "/title", cookie=f"ntaid={shop.ON_VARIANT}")
    assert (response.status_code, response.text) == (200, "Baseline")
    assert "showing the baseline" in caplog.text


@contextlib.contextmanager
def service() -> Iterator[tuple[ProfileService, Namespace]]:
    space = Namespace("shop", "main")
    yield ProfileService(MemoryStore(), {space: shop.ENGINE}), space


@pytest.mark.parametrize(
    ("headers", "kept", "named"),
    [
        ({}, True, True),
        ({"user_agent": "Mozilla/5.0 (compatible; Googlebot/2.1)"}, False, False),
        ({"user_agent": "curl/8.5.0"}, False, False),
        ({"sec_purpose": "prefetch;prerender"}, False, True),
        ({"purpose": "prefetch"}, False, True),
        ({"x_moz": "prefetch"}, False, True),
    ],
)  # fmt: skip
def test_who_is_counted(headers: dict[str, str], kept: bool, named: bool) -> None:
    """Everybody is decided for; only a person's page view is recorded."""
    with service() as (profiles, space):
        app = application(ServiceDecider(profiles, space), count_page_views=True)
        response = call(app, "/title", **headers)
        assert response.text in {"Baseline", "Variant"}
        cookie = cookie_of(response)
        assert (cookie is not None) is named
        stats = asyncio.run(profiles.store.stats())
        stored = sum(one.profiles for one in stats.namespaces)
        assert stored == int(kept)


def test_counting_needs_a_decider_that_can() -> None:
    with pytest.raises(SettingsError, match="records nothing"):
        application(EngineDecider(shop.ENGINE), count_page_views=True).build_middleware_stack()


# --- stored profiles -----------------------------------------------------------------------------


def test_stored_profiles_are_known_again() -> None:
    with service() as (profiles, space):
        app = application(ServiceDecider(profiles, space))
        first = call(app, "/title")
        visitor = cookie_of(first).value
        # Nothing was stored, and the id is good all the same: the browser goes on with it.
        answer = asyncio.run(
            profiles.update(
                space,
                visitor,
                [_identify("customer-7", {"firstname": "Zoë"})],
            )
        )
        assert answer.profile["id"] == visitor
        page = call(app, "/page", cookie=f"ntaid={visitor}").text
        assert shop.handed_over(page)["profile"]["traits"] == {"firstname": "Zoë"}
        assert first.text in page


def _identify(user: str, traits: dict[str, Any], message: str = "m1") -> dict[str, Any]:
    return {
        "type": "identify",
        "channel": "web",
        "messageId": message,
        "context": {"library": {"name": "test", "version": "4.0.0"}},
        "userId": user,
        "traits": traits,
    }


@pytest.mark.parametrize("guessed", ["customer-7", "nobody"])
def test_nobody_becomes_another_by_a_guess(guessed: str) -> None:
    """A customer's number leads to their profile in the API, and must not do so from a cookie."""
    with service() as (profiles, space):
        asyncio.run(profiles.create(space, [_identify("customer-7", {"firstname": "Zoë"})]))
        app = application(ServiceDecider(profiles, space))
        response = call(app, "/page", cookie=f"ntaid={guessed}")
        assert shop.handed_over(response.text)["profile"]["traits"] == {}
        assert cookie_of(response).value != guessed


class Aliasing:
    """As an API that takes an alias for an id."""

    def preflight(self, events: Any, *, profile_id: str | None = None, **_: Any) -> Answer:
        who = "profile-of-7" if profile_id == "customer-7" else profile_id
        return EngineDecider(shop.ENGINE).preflight(events, profile_id=who)


def test_an_answer_of_another_id_is_not_believed() -> None:
    guess = "ntaid=customer-7"
    assert len(cookie_of(call(application(Aliasing()), "/title", cookie=guess)).value) == 64
    trusting = application(Aliasing(), trust_aliases=True)
    assert cookie_of(call(trusting, "/title", cookie=guess)).value == "profile-of-7"


def test_a_merged_profile_is_known_by_its_old_id() -> None:
    with service() as (profiles, space):
        app = application(ServiceDecider(profiles, space))
        known = asyncio.run(profiles.create(space, [_identify("customer-7", {"a": 1})]))
        here = cookie_of(call(app, "/title")).value
        merged = asyncio.run(
            profiles.update(space, here, [_identify("customer-7", {"b": 2}, "m2")])
        )
        assert merged.profile["id"] == known.profile["id"] != here
        page = call(app, "/page", cookie=f"ntaid={here}")
        assert shop.handed_over(page.text)["profile"]["traits"] == {"a": 1, "b": 2}
        assert cookie_of(page).value == known.profile["id"]


@pytest.mark.parametrize(
    ("user_agent", "bot"),
    [
        (shop.BROWSER, False),
        ("Mozilla/5.0 (Linux; Android 9; CUBOT X19) Chrome/90.0 Mobile Safari/537.36", False),
        ("Mozilla/5.0 (X11; Linux x86_64) HeadlessChrome/130.0.0.0 Safari/537.36", True),
        ("facebookexternalhit/1.1", True),
        ("python-requests/2.32", True),
        ("Mozilla/5.0 (compatible; bingbot/2.0)", True),
        ("", True),
        ("x" * 5000 + "bot", False),
    ],
)
def test_bots(user_agent: str, bot: bool) -> None:
    assert is_bot(user_agent) is bot


# --- failures ------------------------------------------------------------------------------------


class Broken:
    def preflight(self, events: Any, **_: Any) -> Answer:
        raise ZeroDivisionError


class BrokenLater:
    async def preflight(self, events: Any, **_: Any) -> Answer:
        raise ZeroDivisionError


class Slow:
    async def preflight(self, events: Any, **_: Any) -> Answer:
        await asyncio.sleep(60)
        raise AssertionError


@pytest.mark.parametrize("decider", [Broken(), BrokenLater(), Slow()])
def test_no_decision_never_fails_the_page(decider: Any, caplog: pytest.LogCaptureFixture) -> None:
    app = application(decider, timeout_s=0.05)
    response = call(app, "/page", cookie=f"ntaid={shop.ON_VARIANT}")
    assert response.status_code == 200
    assert ">Baseline|none|you<" in response.text
    assert "set-cookie" not in response.headers
    assert response.headers["cache-control"] == "private, no-cache"
    assert "showing the baseline" in caplog.text


def test_a_failing_view_fails() -> None:
    with pytest.raises(ZeroDivisionError):
        call(application(EngineDecider(shop.ENGINE)), "/fail")


# --- FastAPI -------------------------------------------------------------------------------------


def fast(decider: Any) -> FastAPI:
    app = FastAPI()
    app.add_middleware(
        ExperienceMiddleware,
        decider=decider,
        settings=WebSettings(cookie=CookieSettings(name="ctfl-opt-aid")),
    )

    @app.get("/async")
    async def later(request: FastRequest) -> dict[str, Any]:
        return {"title": request.state.experiences.resolve(shop.HERO)["fields"]["title"]}

    @app.get("/sync")
    def at_once(request: FastRequest) -> dict[str, Any]:
        experiences = request.state.experiences
        return {
            "title": experiences.resolve(shop.HERO)["fields"]["title"],
            "label": experiences.flag("label"),
            "component": experiences.choices[0].component_id,
        }

    return app


@pytest.mark.parametrize("awaited", [False, True])
def test_fastapi_views_of_both_kinds(awaited: bool) -> None:
    class Later:
        async def preflight(self, events: Any, **named: Any) -> Answer:
            return EngineDecider(shop.ENGINE).preflight(events, **named)

    app = fast(Later() if awaited else EngineDecider(lambda: shop.ENGINE))
    cookie = f"ctfl-opt-aid={shop.ON_VARIANT}"
    assert call(app, "/async", cookie=cookie).json() == {"title": "Variant"}
    response = call(app, "/sync", cookie=cookie)
    assert response.json() == {"title": "Variant", "label": "Buy <now>", "component": "v"}
    assert cookie_of(response, "ctfl-opt-aid").value == shop.ON_VARIANT


# --- templates -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        ("{{ (entry | variant).fields.title }}", "Baseline"),
        ("{{ ([entry, entry] | variant) | length }}", "2"),
        ("{{ nothing | variant }}", "None"),
        ("[{{ tracking(nothing) }}{{ tracking(none) }}]", "[]"),
        ("{{ flag('label', 'none') }}{{ merge_tag('traits.x', '<you>') }}", "none&lt;you&gt;"),
    ],
)
def test_templates_without_a_request(source: str, shown: str) -> None:
    made = jinja2.Environment(autoescape=True, extensions=[ExperiencesExtension])
    assert made.from_string(source).render(entry=shop.HERO) == shown


def test_a_filter_on_what_is_no_entry() -> None:
    made = jinja2.Environment(autoescape=True, extensions=[ExperiencesExtension])
    with pytest.raises(jinja2.TemplateRuntimeError, match="neither an entry"):
        made.from_string("{{ 4 | variant }}").render()


def test_new_ids_may_be_made_by_the_site() -> None:
    make: Callable[[], str] = lambda: "made-here"  # noqa: E731
    app = application(EngineDecider(shop.ENGINE, new_id=make))
    assert cookie_of(call(app, "/title")).value == "made-here"
