"""A Django site with views of both kinds, and some deciders (see django_driver.py)."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from typing import Any

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.template import engines
from django.template.response import TemplateResponse
from django.urls import path
from django.views.decorators.cache import cache_page
from tests.web import shop

from whichvariant import Namespace
from whichvariant.profiles.answer import Answer
from whichvariant.service import ProfileService
from whichvariant.store import MemoryStore
from whichvariant.web import EngineDecider, ServiceDecider, WebSettings

JINJA_PAGE = "{% set hero = entry | variant %}{{ hero.fields.title }}|{{ flag('label', 'none') }}"

decider = EngineDecider(shop.ENGINE)


def make_decider() -> EngineDecider:
    return EngineDecider(shop.ENGINE)


class Later:
    """A decider that is awaited."""

    async def preflight(self, events: Any, **named: Any) -> Answer:
        await asyncio.sleep(0)
        return decider.preflight(events, **named)


class Broken:
    def preflight(self, events: Any, **_: Any) -> Answer:
        raise ZeroDivisionError


later = Later()
broken = Broken()
stored = ServiceDecider(
    ProfileService(MemoryStore(), {Namespace("shop", "main"): shop.ENGINE}),
    Namespace("shop", "main"),
)
skipping = WebSettings(skip=("/static/",))


def title_of(request: Any) -> str:
    return str(request.experiences.resolve(shop.HERO)["fields"]["title"])


def at_once(request: HttpRequest) -> HttpResponse:
    return HttpResponse(title_of(request), headers={"Cache-Control": "public, max-age=60"})


async def later_view(request: HttpRequest) -> HttpResponse:
    await asyncio.sleep(0)
    return HttpResponse(title_of(request), headers={"Cache-Control": "public, max-age=60"})


def plain(request: Any) -> HttpResponse:
    shown = request.experiences.resolve(shop.PLAIN)
    return HttpResponse(shown["fields"]["title"], headers={"Cache-Control": "public"})


def page(request: HttpRequest) -> TemplateResponse:
    return TemplateResponse(request, "page.html", {"entry": shop.HERO, "many": [shop.PLAIN] * 3})


def jinja_page(request: HttpRequest) -> HttpResponse:
    text = engines["jinja2"].from_string(JINJA_PAGE).render({"entry": shop.HERO}, request)
    return HttpResponse(text)


calls = itertools.count(1)


@cache_page(600)
def cached(request: HttpRequest) -> HttpResponse:
    return HttpResponse(title_of(request))


@cache_page(600)
def cached_plain(request: Any) -> HttpResponse:
    shown = request.experiences.resolve(shop.PLAIN)
    return HttpResponse(f"{shown['fields']['title']} {next(calls)}")


def stream(request: Any) -> StreamingHttpResponse:
    def body() -> Iterator[str]:
        yield title_of(request)

    async def later_body() -> AsyncIterator[str]:
        yield title_of(request)

    if request.GET.get("use"):
        request.experiences.use()
    return StreamingHttpResponse(later_body() if hasattr(request, "scope") else body())


def fail(request: HttpRequest) -> HttpResponse:
    raise ZeroDivisionError


urlpatterns = [
    path("sync", at_once),
    path("async", later_view),
    path("plain", plain),
    path("page", page),
    path("jinja", jinja_page),
    path("cached", cached),
    path("cached-plain", cached_plain),
    path("static/sync", at_once),
    path("stream", stream),
    path("fail", fail),
]
