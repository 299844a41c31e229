"""What a Django view's request tells, as JSON. Run as a program by test_request.py."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from django.conf import settings
from django.core.asgi import get_asgi_application
from django.core.wsgi import get_wsgi_application
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from whichvariant.events import RequestContext

NAMES = (
    "url",
    "path",
    "search",
    "query",
    "campaign",
    "referrer",
    "user_agent",
    "locale",
    "client_ip",
    "cookies",
)
seen: list[RequestContext] = []


def view(request: HttpRequest, rest: str) -> HttpResponse:
    """Notes what the request tells."""
    seen.append(RequestContext.from_request(request))
    return HttpResponse(rest)


urlpatterns = [path("shop/<path:rest>", view)]


def ask_wsgi(url: str, headers: dict[str, str]) -> None:
    """As Django's own WSGI client does."""
    get_wsgi_application()
    path = url.removeprefix("https://shop.example")
    answer = Client(headers=headers).get(
        path, secure=True, SERVER_NAME="shop.example", REMOTE_ADDR="192.0.2.7"
    )
    assert answer.status_code == 200


def ask_asgi(url: str, headers: dict[str, str]) -> None:
    """As an ASGI server does."""
    import httpx

    async def ask() -> None:
        transport = httpx.ASGITransport(get_asgi_application(), client=("192.0.2.7", 1234))
        async with httpx.AsyncClient(transport=transport) as client:
            assert (await client.get(url, headers=headers)).status_code == 200

    asyncio.run(ask())


def main(interface: str, url: str, headers: dict[str, Any]) -> None:
    """Ask, and say what was seen."""
    settings.configure(ROOT_URLCONF=__name__, ALLOWED_HOSTS=["shop.example"], SECRET_KEY="tests")
    (ask_asgi if interface == "asgi" else ask_wsgi)(url, headers)
    print(json.dumps({name: getattr(seen[0], name) for name in NAMES}))  # noqa: T201


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], json.loads(sys.argv[3]))
