"""Configurations from Contentful's Delivery API, kept up to date by its Sync API.

The first look reads all entries of a space; later ones read what has changed since, by the token
that the last answer gave. What was read last is kept in a file, so that a server starts where the
API cannot be reached.

Source of the rules: Contentful's documentation of the Content Delivery API, "Synchronization",
"API rate limits", "Locales".
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import pathlib
import random
from collections.abc import Iterable
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import httpx
import msgspec

from whichvariant import clock
from whichvariant.atomic_write import atomic_file
from whichvariant.contracts.namespace import Namespace
from whichvariant.engine import Engine
from whichvariant.errors import SettingsError, WhichVariantError
from whichvariant.loading.contentful import CONTENT_TYPES
from whichvariant.sources.catalog import Catalog

_LOG = logging.getLogger("whichvariant.configuration")

_TIMEOUT_S = 10.0
_MAX_PAGE_BYTES = 64 << 20
_MAX_PAGES = 10_000
_MAX_RATE_WAITS = 5
_LONGEST_RATE_WAIT_S = 60.0
_LONGEST_BACKOFF_S = 300.0


class Place(NamedTuple):
    """One environment of ours, and the space and environment at Contentful that it is made of."""

    namespace: Namespace
    space: str
    environment: str
    token: str

    @property
    def name(self) -> str:
        """For messages and files; without the token."""
        return f"{self.space}/{self.environment}"


class Content(msgspec.Struct):
    """What was read of a space: entries by id, its locales, and the token for what comes next."""

    space: str
    environment: str
    entries: dict[str, Any] = {}
    locales: list[dict[str, Any]] = []
    sync_token: str = ""
    version: int = 1

    def document(self) -> dict[str, Any]:
        """As a document that can be loaded: an export of what is published."""
        entries = [self.entries[key] for key in sorted(self.entries)]
        return {"contentTypes": [], "entries": entries, "locales": self.locales}


class Unread(Exception):  # noqa: N818 - named for what happened
    """The Delivery API could not be read. ``expired``: the token for what comes next is refused."""

    def __init__(self, message: str, *, expired: bool = False) -> None:
        super().__init__(message)
        self.expired = expired


class _Looks:
    """Who asked for a look at a space, by number, and up to which they were answered."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.asked = 0
        self.answered = 0
        self.good = False


class DeliverySource:
    """Environments whose configuration is a space at Contentful.

    Parameters
    ----------
    places
        What to read, and with which token.
    url
        The API's base address.
    poll_s
        How often to look for changes; 0: only when told to.
    cache
        The folder for what was read last; None keeps nothing.
    transport
        For tests; by default the network.
    """

    def __init__(
        self,
        places: Iterable[Place],
        url: str,
        *,
        poll_s: float,
        cache: pathlib.Path | None,
        strict: bool,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._places = {place.namespace: place for place in places}
        self._url = url.rstrip("/")
        self._poll_s = poll_s
        self._cache = cache
        self._strict = strict
        self._transport = transport
        self._contents: dict[Namespace, Content] = {}
        self._looks = {namespace: _Looks() for namespace in self._places}

    async def load(self, catalog: Catalog) -> None:
        """Read every space for the first time; where that fails, what an earlier run kept."""
        for place in self._places.values():
            catalog.expect(place.namespace, f"Delivery API: {place.name}")
        await asyncio.gather(*(self._first(catalog, place) for place in self._places.values()))

    async def run(self, catalog: Catalog) -> None:
        """Look for changes until cancelled."""
        if self._poll_s > 0:
            await asyncio.gather(*(self._follow(catalog, place) for place in self._places.values()))

    async def refresh(self, catalog: Catalog, namespaces: Iterable[Namespace] | None) -> None:
        """Look now, for these environments or all."""
        wanted = self._places.keys() if namespaces is None else set(namespaces)
        places = [place for name, place in self._places.items() if name in wanted]
        await asyncio.gather(*(self._look(catalog, place) for place in places))

    def namespaces_of(self, space: str) -> set[Namespace]:
        """The environments that are made of a space."""
        return {name for name, place in self._places.items() if place.space == space}

    # ---- one space ----------------------------------------------------------------------------

    async def _first(self, catalog: Catalog, place: Place) -> None:
        if await self._look(catalog, place):
            return
        content = await asyncio.to_thread(self._read_cache, place)
        if content is None:
            return
        self._contents[place.namespace] = content
        entry = catalog.find(place.namespace)
        trouble = "" if entry is None else entry.trouble
        if await self._use(catalog, place, content, cached=True):
            _LOG.warning("%s: what an earlier run read decides until it can be read", place.name)
            catalog.failed(place.namespace, trouble, unread=True)

    async def _follow(self, catalog: Catalog, place: Place) -> None:
        pause_s = self._poll_s
        while True:
            # Many servers must not ask all at once.
            await asyncio.sleep(pause_s * random.uniform(0.9, 1.1))
            done = await self._look(catalog, place)
            pause_s = self._poll_s if done else min(2 * pause_s, _LONGEST_BACKOFF_S)

    async def _look(self, catalog: Catalog, place: Place) -> bool:
        """Read what has changed, and use it. Those who ask while one looks share the next look."""
        looks = self._looks[place.namespace]
        looks.asked += 1
        mine = looks.asked
        async with looks.lock:
            if looks.answered < mine:
                asked = looks.asked
                looks.good = await self._look_once(catalog, place)
                looks.answered = asked
            return looks.good

    async def _look_once(self, catalog: Catalog, place: Place) -> bool:
        try:
            content, changed = await self._read(place)
        except Unread as error:
            if catalog.failed(place.namespace, str(error), unread=True):
                _LOG.error("%s cannot be read: %s", place.name, error)
            return False
        self._contents[place.namespace] = content
        entry = catalog.find(place.namespace)
        if not changed and entry is not None and entry.engine is not None and not entry.cached:
            catalog.confirm(place.namespace, clock.now_ms())
            return True
        await asyncio.to_thread(self._write_cache, place, content)
        return await self._use(catalog, place, content, cached=False)

    async def _use(self, catalog: Catalog, place: Place, content: Content, *, cached: bool) -> bool:
        """Let the content decide, if it can."""
        try:
            engine = await asyncio.to_thread(
                Engine.from_dict, content.document(), strict=self._strict
            )
        except WhichVariantError as error:
            if catalog.failed(place.namespace, str(error)):
                _LOG.error("%s cannot be used: %s", place.name, error)
            return False
        if catalog.replace(place.namespace, engine, clock.now_ms(), cached=cached) == "new":
            _LOG.info("the configuration of %s/%s is %s", *place.namespace, engine.digest)
        return True

    # ---- reading ------------------------------------------------------------------------------

    async def _read(self, place: Place) -> tuple[Content, bool]:
        """The content as it is now, and whether it differs from what was read before."""
        headers = {"authorization": f"Bearer {place.token}"}
        async with httpx.AsyncClient(
            base_url=f"{self._url}/spaces/{place.space}/environments/{place.environment}",
            headers=headers,
            timeout=_TIMEOUT_S,
            transport=self._transport,
        ) as client:
            known = self._contents.get(place.namespace)
            if known is not None and known.sync_token:
                try:
                    return await self._changes(client, known)
                except Unread as error:
                    if not error.expired:
                        raise
            locales = await _get(client, "/locales", {})
            found = locales.get("items")
            if not isinstance(found, list):
                raise Unread("the answer about locales has no items")
            fresh = Content(place.space, place.environment, locales=found)
            query = {"initial": "true", "type": "Entry"}
            content, _ = await self._pages(client, fresh, query)
            same = known is not None and (known.entries, known.locales) == (
                content.entries,
                content.locales,
            )
            return content, not same

    async def _changes(self, client: httpx.AsyncClient, known: Content) -> tuple[Content, bool]:
        return await self._pages(
            client,
            msgspec.structs.replace(known, entries=dict(known.entries)),
            {"sync_token": known.sync_token},
        )

    async def _pages(
        self, client: httpx.AsyncClient, content: Content, query: dict[str, str]
    ) -> tuple[Content, bool]:
        """Follow pages to the last, which gives the token for the next time."""
        changed = False
        for _ in range(_MAX_PAGES):
            page = await _get(client, "/sync", query)
            items = page.get("items")
            if not isinstance(items, list):
                raise Unread("the answer to a sync has no items")
            for item in items:
                changed = _apply(content, item) or changed
            # Only the token is taken of the address: where to send ours is not the answer's to say.
            token = _token(page.get("nextPageUrl"))
            if token:
                query = {"sync_token": token}
                continue
            content.sync_token = _token(page.get("nextSyncUrl"))
            if not content.sync_token:
                raise Unread("the answer to a sync names nothing to go on with")
            return content, changed
        raise Unread("the answer to a sync has no end")

    # ---- what is kept -------------------------------------------------------------------------

    def _file(self, place: Place) -> pathlib.Path | None:
        if self._cache is None:
            return None
        # Names come from settings and may hold anything.
        name = hashlib.sha256(f"{self._url}\0{place.name}".encode()).hexdigest()[:32]
        return self._cache / f"{name}.json"

    def _write_cache(self, place: Place, content: Content) -> None:
        path = self._file(place)
        if path is None:
            return
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with atomic_file(path, private=True) as file:
                file.write(msgspec.json.encode(content))
        except OSError as error:
            _LOG.warning("%s: what was read cannot be kept: %s", place.name, error)

    def _read_cache(self, place: Place) -> Content | None:
        path = self._file(place)
        if path is None:
            return None
        try:
            content = msgspec.json.decode(path.read_bytes(), type=Content)
        except FileNotFoundError:
            return None
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            _LOG.warning("%s: what an earlier run kept cannot be read: %s", place.name, error)
            return None
        same = (content.space, content.environment) == (place.space, place.environment)
        return content if same and content.version == 1 else None


def _apply(content: Content, item: Any) -> bool:
    """One item of a sync: an entry as it is now, or that it is gone. Whether it matters."""
    sys = item.get("sys") if isinstance(item, dict) else None
    if not isinstance(sys, dict) or not isinstance(sys.get("id"), str):
        raise Unread("an item of a sync has no id")
    if sys.get("type") == "DeletedEntry":
        return content.entries.pop(sys["id"], None) is not None
    kind = sys.get("contentType")
    kind_sys = kind.get("sys") if isinstance(kind, dict) else None
    if sys.get("type") != "Entry" or not isinstance(kind_sys, dict):
        return False
    if kind_sys.get("id") not in CONTENT_TYPES:
        return False
    # Whatever is delivered is published, which an export has to say.
    published = sys.get("publishedAt") or sys.get("updatedAt") or sys.get("createdAt") or "-"
    entry = {**item, "sys": {**sys, "publishedAt": published}}
    if content.entries.get(sys["id"]) == entry:
        return False
    content.entries[sys["id"]] = entry
    return True


def _token(url: Any) -> str:
    if not isinstance(url, str):
        return ""
    return parse_qs(urlsplit(url).query).get("sync_token", [""])[0]


async def _get(client: httpx.AsyncClient, path: str, query: dict[str, str]) -> dict[str, Any]:
    """The answer to one request, as a JSON object. Waits where the API asks for patience."""
    for _ in range(_MAX_RATE_WAITS):
        try:
            async with client.stream("GET", path, params=query) as answer:
                body = await _body(answer)
        except httpx.HTTPError as error:
            raise Unread(f"no answer: {type(error).__name__}") from None
        if answer.status_code == 429:
            await asyncio.sleep(_patience_s(answer.headers))
            continue
        try:
            value = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError):
            value = None
        if answer.status_code != 200:
            sys = value.get("sys") if isinstance(value, dict) else None
            reason = sys.get("id") if isinstance(sys, dict) else None
            known = isinstance(reason, str) and reason.isalnum() and len(reason) < 80
            expired = "sync_token" in query and answer.status_code in {400, 410}
            raise Unread(
                f"answered {answer.status_code}{f', {reason}' if known else ''}", expired=expired
            )
        if not isinstance(value, dict):
            raise Unread("the answer is no JSON object")
        return value
    raise Unread("too many requests: answered 429 again and again")


def _patience_s(headers: httpx.Headers) -> float:
    try:
        asked = float(headers.get("x-contentful-ratelimit-reset", "1"))
    except ValueError:
        asked = 1.0
    return min(max(asked, 0.05), _LONGEST_RATE_WAIT_S) if math.isfinite(asked) else 1.0


async def _body(answer: httpx.Response) -> bytes:
    pieces = []
    size = 0
    async for piece in answer.aiter_bytes():
        size += len(piece)
        if size > _MAX_PAGE_BYTES:
            raise Unread(f"an answer of more than {_MAX_PAGE_BYTES >> 20} MiB")
        pieces.append(piece)
    return b"".join(pieces)


# ---- settings -----------------------------------------------------------------------------------


def delivery_places(
    entries: Iterable[str], tokens: str | None, plain: Namespace
) -> dict[Namespace, Place]:
    """What ``[ORGANIZATION/ENVIRONMENT=]SPACE[/ENVIRONMENT]`` says. SettingsError if nothing."""
    known = _tokens(tokens)
    places: dict[Namespace, Place] = {}
    for text in entries:
        left, equals, right = text.rpartition("=")
        parts = left.split("/") if equals else list(plain)
        space, _, environment = right.partition("/")
        if len(parts) != 2 or not all(parts) or not _is_name(space):
            raise SettingsError(
                f"delivery: {text!r} is not [ORGANIZATION/ENVIRONMENT=]SPACE[/ENVIRONMENT]"
            )
        environment = environment or "master"
        if not _is_name(environment):
            raise SettingsError(f"delivery: {environment!r} cannot be an environment's name")
        namespace = Namespace(*parts)
        if namespace in places:
            raise SettingsError(f"delivery: {'/'.join(namespace)} is named twice")
        token = known.get(space) or known.get("")
        if token is None:
            raise SettingsError(f"delivery_token: there is none for the space {space!r}")
        places[namespace] = Place(namespace, space, environment, token)
    return places


def _tokens(text: str | None) -> dict[str, str]:
    """``TOKEN`` for every space, or ``SPACE=TOKEN,SPACE=TOKEN``."""
    found: dict[str, str] = {}
    for part in (text or "").split(","):
        space, equals, token = part.strip().rpartition("=")
        if token:
            found[space if equals else ""] = token
    return found


def _is_name(text: str) -> bool:
    return (
        text.isascii()
        and 0 < len(text) <= 64
        and all(character.isalnum() or character in "-_." for character in text)
        and text.strip(".") != ""
    )
