"""Django middleware, for WSGI and ASGI, with views of both kinds.

The setting ``WHICHVARIANT`` is a dict: ``decider`` is a `Decider`, or the dotted path of one or of
a function that makes it; ``settings`` is a `WebSettings`, or the dotted path of one.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any, cast

from asgiref.sync import markcoroutinefunction
from django.conf import settings as django_settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.module_loading import import_string

from whichvariant.errors import SettingsError
from whichvariant.events import RequestContext
from whichvariant.web.deciders import Decider
from whichvariant.web.experiences import Experiences
from whichvariant.web.visits import Visit, Visits, WebSettings

GetResponse = Callable[[HttpRequest], HttpResponseBase | Awaitable[HttpResponseBase]]


class ExperienceMiddleware:
    """Decides for the visitor of every page, and sets cookie and cache headers.

    `request.experiences` is an `Experiences`. A decider that is not awaited is asked when the view
    first asks; one that is awaited before the view runs, which only ASGI can do.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self._visits = _visits()
        self._async = inspect.iscoroutinefunction(get_response)
        if self._async:
            markcoroutinefunction(self)
        elif self._visits.awaited:
            raise SettingsError("WHICHVARIANT: this decider is awaited, so Django must run on ASGI")

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Handle one request."""
        if self._async:
            return self._handle(request)
        visit = self._begin(request)
        response = cast(HttpResponseBase, self.get_response(request))
        return response if visit is None else _finished(visit, response)

    async def _handle(self, request: HttpRequest) -> HttpResponseBase:
        visit = self._begin(request)
        if visit is not None and visit.eager:
            await visit.decide()
        response = await cast(Awaitable[HttpResponseBase], self.get_response(request))
        return response if visit is None else _finished(visit, response)

    def _begin(self, request: HttpRequest) -> Visit | None:
        settings = self._visits.settings
        if settings.skips(request.path):
            _give(request, Experiences(lambda: None))
            return None
        context = RequestContext.from_request(
            request, base_url=settings.base_url or _base_url(request)
        )

        def keep_out_of_the_cache() -> None:
            # Django's own cache looks at a response before this middleware does.
            request._cache_update_cache = False  # type: ignore[attr-defined]

        visit = self._visits.visit(
            context,
            request.method or "GET",
            {name.lower(): value for name, value in request.headers.items()},
            https=request.is_secure(),
            on_use=keep_out_of_the_cache,
        )
        _give(request, visit.experiences)
        return visit


def _give(request: HttpRequest, experiences: Experiences) -> None:
    request.experiences = experiences  # type: ignore[attr-defined]


def _visits() -> Visits:
    configured = getattr(django_settings, "WHICHVARIANT", None)
    if not isinstance(configured, dict) or "decider" not in configured:
        raise SettingsError('WHICHVARIANT: a dict with a "decider" is needed in Django\'s settings')
    unknown = set(configured) - {"decider", "settings"}
    if unknown:
        raise SettingsError(f"WHICHVARIANT: unknown keys: {', '.join(sorted(map(str, unknown)))}")
    decider = _imported(configured["decider"])
    if not hasattr(decider, "preflight") and callable(decider):
        decider = decider()
    if not hasattr(decider, "preflight"):
        raise SettingsError("WHICHVARIANT: the decider has no method preflight")
    settings = _imported(configured.get("settings", WebSettings()))
    if not isinstance(settings, WebSettings):
        raise SettingsError("WHICHVARIANT: settings is a WebSettings, or the dotted path of one")
    return Visits(cast(Decider, decider), settings)


def _imported(value: Any) -> Any:
    return import_string(value) if isinstance(value, str) else value


def _base_url(request: HttpRequest) -> str | None:
    """Scheme and host as Django's own settings tell them; None for a host that it refuses."""
    try:
        return f"{request.scheme}://{request.get_host()}"
    except DisallowedHost:
        return None


def _finished(visit: Visit, response: HttpResponseBase) -> HttpResponseBase:
    changes = visit.finish({name.lower(): value for name, value in response.items()})
    for name, value in changes.headers.items():
        response[name] = value
    for cookie in changes.cookies:
        response.set_cookie(
            cookie.name,
            cookie.value,
            max_age=cookie.max_age_s,
            expires="Thu, 01 Jan 1970 00:00:00 GMT" if cookie.max_age_s == 0 else None,
            path=cookie.settings.path,
            domain=cookie.settings.domain,
            secure=cookie.secure,
            httponly=cookie.settings.http_only,
            samesite=cookie.settings.samesite,
        )
    return response
