"""ASGI middleware: FastAPI, Starlette, Litestar, Quart, or any other application.

::

    app.add_middleware(ExperienceMiddleware, decider=EngineDecider(Engine.load("space.json")))

    @app.get("/")
    async def home(request: Request):
        hero = request.state.experiences.resolve(await fetch_hero())
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from whichvariant.events import RequestContext
from whichvariant.web.deciders import Decider
from whichvariant.web.experiences import Experiences
from whichvariant.web.visits import Visit, Visits, WebSettings

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


class ExperienceMiddleware:
    """Decides for the visitor of every page, and sets cookie and cache headers.

    `scope["state"]["experiences"]`, which Starlette and FastAPI show as
    `request.state.experiences`, is an `Experiences`. A decider that is not awaited is asked when
    the view first asks; one that is awaited before the view runs.
    """

    def __init__(
        self, app: Application, decider: Decider, settings: WebSettings | None = None
    ) -> None:
        self.app = app
        self._visits = Visits(decider, settings or WebSettings())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request; what is no HTTP request goes through as it is."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        settings = self._visits.settings
        if settings.skips(str(scope.get("path", ""))):
            state["experiences"] = Experiences(lambda: None)
            await self.app(scope, receive, send)
            return
        context = RequestContext.from_asgi(scope, base_url=settings.base_url)
        visit = self._visits.visit(
            context,
            str(scope["method"]),
            _by_name(scope["headers"]),
            https=context.url.startswith("https:"),
        )
        if visit.eager:
            await visit.decide()
        state["experiences"] = visit.experiences

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": _finished(visit, message.get("headers", ()))}
            await send(message)

        await self.app(scope, receive, answer)


def _finished(visit: Visit, headers: Any) -> list[tuple[bytes, bytes]]:
    sent = [(bytes(name), bytes(value)) for name, value in headers]
    changes = visit.finish(_by_name(sent))
    replaced = {name.lower().encode("latin-1") for name in changes.headers}
    sent = [(name, value) for name, value in sent if name.lower() not in replaced]
    sent += [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in changes.headers.items()
    ]
    sent += [(b"set-cookie", cookie.header().encode("latin-1")) for cookie in changes.cookies]
    return sent


def _by_name(headers: Any) -> dict[str, str]:
    """Headers by lower-case name, several lines of one joined by commas."""
    found: dict[str, str] = {}
    for name, value in headers:
        key, text = bytes(name).decode("latin-1").lower(), bytes(value).decode("latin-1")
        found[key] = f"{found[key]}, {text}" if key in found else text
    return found
