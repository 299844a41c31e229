"""``/webhooks/contentful``: Contentful says that something was published; look at once.

What it says besides is not believed: whoever may ask gets no more than a look at the sources.
Signatures are those of Contentful's "Request verification": HMAC-SHA256 over method, path, the
signed headers in the order of their names, and the body.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from whichvariant import clock
from whichvariant.server.admin import is_bearer
from whichvariant.server.body import BodyReader, Disconnected
from whichvariant.server.envelope import failure, success
from whichvariant.server.failures import Refused, failure_of

if TYPE_CHECKING:
    from whichvariant.server.app import App

_LOG = logging.getLogger("whichvariant.configuration")

_SIGNATURE = "x-contentful-signature"
_SIGNED = "x-contentful-signed-headers"
_TIMESTAMP = "x-contentful-timestamp"
_VALID_MS = 30_000
_BODY_BYTES = 2 << 20
_MOST_SIGNED = 32
_TYPES = frozenset({b"application/json", b"application/vnd.contentful.management.v1+json"})


class Refresher:
    """Looks at all sources in the background, one look at a time.

    However often it is asked meanwhile, one more look follows.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._task: asyncio.Task[None] | None = None
        self._again = False

    def ask(self) -> None:
        """There may be something new."""
        self._again = True
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._look())

    async def _look(self) -> None:
        while self._again:
            self._again = False
            try:
                await self._app.reload_everywhere()
            except Exception:  # noqa: BLE001 - whatever it is, the server goes on
                _LOG.exception("configurations could not be looked at")


def webhook_routes(app: App) -> list[BaseRoute]:
    """The path, for an app whose settings have a ``webhook_secret``."""
    secret = app.settings.webhook_secret
    assert secret is not None
    refresher = Refresher(app)
    bodies = BodyReader(_BODY_BYTES, 10.0, 4 * _BODY_BYTES, types=_TYPES)

    async def published(request: Request) -> Response:
        try:
            headers = dict(request.scope["headers"])
            body = await bodies.read(headers, request.receive)
            if not _admitted(secret, request, body):
                raise Refused(401, "neither signed with the secret nor sent with it")
            await app.start()
            refresher.ask()
        except (Disconnected, ClientDisconnect):
            return Response(status_code=400)
        except Refused as refused:
            answer = failure_of(refused)
            return _json(answer.status, failure(answer.code, answer.message))
        return _json(202, success({"message": "Looking."}))

    return [Route("/webhooks/contentful", published, methods=["POST"])]


def _admitted(secret: str, request: Request, body: bytes) -> bool:
    if is_bearer(secret, request.headers.get("authorization")):
        return True
    path = request.url.path
    if request.url.query:
        path = f"{path}?{request.url.query}"
    return is_signed(secret, request.method, path, request.headers, body, clock.now_ms())


def is_signed(  # noqa: PLR0917 - what is signed, in its order
    secret: str, method: str, path: str, headers: Mapping[str, str], body: bytes, now_ms: int
) -> bool:
    """Whether a request carries a signature of ``secret`` that is not older than 30 seconds."""
    signature = headers.get(_SIGNATURE, "")
    names = headers.get(_SIGNED, "").split(",")
    stamp = headers.get(_TIMESTAMP, "")
    if not (signature and stamp.isascii() and stamp.isdecimal()) or len(stamp) > 15:
        return False
    signed = sorted({name.strip().lower() for name in names})
    if len(signed) > _MOST_SIGNED or not {_SIGNED, _TIMESTAMP} <= set(signed):
        return False
    if abs(now_ms - int(stamp)) > _VALID_MS:
        return False
    lines = ";".join(f"{name}:{headers.get(name, '').strip()}" for name in signed)
    text = b"\n".join([method.encode(), path.encode(), lines.encode(), body])
    made = hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()
    return hmac.compare_digest(made.encode(), signature.encode("utf-8", "replace"))


def _json(status: int, body: bytes) -> Response:
    return Response(body, status, {"cache-control": "no-store"}, "application/json")
