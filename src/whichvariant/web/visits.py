"""One request, from what it tells of a visitor to the headers of its response.

What the middleware of every framework shares.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from whichvariant.errors import ProfileNotFound, SettingsError, WhichVariantError
from whichvariant.events import RequestContext, page
from whichvariant.profiles.answer import Answer
from whichvariant.web.caching import private_headers
from whichvariant.web.cookies import (
    CookieSettings,
    SetCookie,
    forget,
    keep_profile_id,
    read_profile_id,
)
from whichvariant.web.deciders import Decider
from whichvariant.web.experiences import Experiences

logger = logging.getLogger("whichvariant.web")

# What says of itself that nobody is looking. Whoever pretends to be a browser counts as one.
_BOT = re.compile(
    r"(?<!cu)bot\b|crawl|spider|slurp|preview|headless|lighthouse|facebookexternalhit|archiver"
    r"|monitor|uptime|pingdom|curl/|wget/|python-|go-http-client|java/|okhttp|axios/",
    re.IGNORECASE,
)
_LONGEST_USER_AGENT: Final = 1024
_SPECULATIVE: Final = ("sec-purpose", "purpose", "x-purpose", "x-moz")


class Consent(NamedTuple):
    """What a visitor agreed to: being decided for, and being known again at the next page."""

    personalise: bool = True
    persist: bool = True


@dataclass(frozen=True, kw_only=True)
class WebSettings:
    """How pages are personalised; the same for every framework.

    Parameters
    ----------
    cookie
        The cookie that carries the visitor's id.
    skip
        Beginnings of paths that are left out, such as ``/static/``; or a function of the path.
        Views there find a `request.experiences` with which everything is everybody's.
    consent
        What the visitor agreed to, from what the request tells (its cookies, for one): a `Consent`,
        or one bool for both. Without `personalise` everybody's baseline is shown; without `persist`
        no cookie is read or set, and those that came are taken away.
    locale
        The language of names of places in the profile, or a function of the request.
    context
        What to make of the request's context, to add a location for example
        (``dataclasses.replace(context, location=...)``).
    base_url
        As in `RequestContext.from_asgi`.
    count_page_views
        Record the page view of every page that a person asked for, with a decider that can. Only
        for sites whose pages do not report it themselves by the browser SDK: it would count twice.
    timeout_s
        How long a decider that is awaited may take.
    trust_aliases
        Believe a cookie to which the API answers with a profile of another id. That is one that
        was merged with it, but also one whose alias the cookie names, such as a customer's number,
        which anybody can guess. By default whoever sends such a cookie is new [policy].
    """

    cookie: CookieSettings = field(default_factory=CookieSettings)
    skip: tuple[str, ...] | Callable[[str], bool] = ()
    consent: Callable[[RequestContext], Consent | bool] | None = None
    locale: str | Callable[[RequestContext], str] = "en"
    context: Callable[[RequestContext], RequestContext] | None = None
    base_url: str | None = None
    count_page_views: bool = False
    timeout_s: float = 1.0
    trust_aliases: bool = False

    def __post_init__(self) -> None:
        if isinstance(self.skip, str):
            raise SettingsError("skip: a tuple of texts, or a function; not one text")
        if not self.timeout_s > 0:
            raise SettingsError(f"timeout_s: more than 0, not {self.timeout_s}")

    def skips(self, path: str) -> bool:
        """Whether a path is left out."""
        return self.skip(path) if callable(self.skip) else path.startswith(self.skip)


class Changes(NamedTuple):
    """What a response's headers get: some are set, and cookies are added."""

    headers: dict[str, str]
    cookies: list[SetCookie]


class Visits:
    """Makes a `Visit` of every request. Raises SettingsError for settings that do not fit."""

    def __init__(self, decider: Decider, settings: WebSettings) -> None:
        self.settings = settings
        record = getattr(decider, "record", None)
        if settings.count_page_views and record is None:
            raise SettingsError("count_page_views: this decider records nothing")
        self._preflight: Callable[..., Any] = decider.preflight
        self._record: Callable[..., Any] | None = record if settings.count_page_views else None
        self.awaited = inspect.iscoroutinefunction(decider.preflight)
        self.believes = settings.trust_aliases or getattr(decider, "checks_ids", False)

    def visit(
        self,
        context: RequestContext,
        method: str,
        headers: Mapping[str, str],
        *,
        https: bool,
        on_use: Callable[[], None] | None = None,
    ) -> Visit:
        """One request; ``headers`` are by lower-case name."""
        return Visit(self, context, method, headers, https=https, on_use=on_use)

    def decide(self, visit: Visit) -> Any:
        """Ask the decider, which may have to be awaited."""
        ask = self._record if visit.counts and self._record is not None else self._preflight
        locale = self.settings.locale
        return ask(
            [page(visit.context)],
            profile_id=visit.known_id,
            locale=locale(visit.context) if callable(locale) else locale,
        )

    @property
    def records(self) -> bool:
        """Whether page views are recorded."""
        return self._record is not None


class Visit:
    """One request: `experiences` for its view, then `finish` for its response."""

    def __init__(
        self,
        visits: Visits,
        context: RequestContext,
        method: str,
        headers: Mapping[str, str],
        *,
        https: bool,
        on_use: Callable[[], None] | None,
    ) -> None:
        self._visits = visits
        settings = visits.settings
        self.experiences = Experiences(self._answer, on_use)
        self.context = context
        self._https = https
        self._asked = False
        self._answered: Answer | None = None
        self._agreed = Consent(personalise=False)
        try:
            agreed = True if settings.consent is None else settings.consent(context)
            self._agreed = agreed if isinstance(agreed, Consent) else Consent(agreed, agreed)
            if settings.context is not None:
                self.context = settings.context(context)
        except Exception:  # whatever the site's own functions do, the page is shown
            logger.exception("consent or context of a request failed; showing the baseline")
            self._agreed = Consent(personalise=False)
        self.is_bot = is_bot(context.user_agent)
        self.counts = (
            method == "GET" and self._agreed.persist and not (self.is_bot or is_prefetch(headers))
        )
        self.known_id = (
            read_profile_id(context.cookies, settings.cookie) if self._agreed.persist else None
        )

    @property
    def eager(self) -> bool:
        """Whether to decide before the view: what is awaited, and what is recorded."""
        return self._agreed.personalise and (
            self._visits.awaited or (self._visits.records and self.counts)
        )

    async def decide(self) -> None:
        """Decide now, within the time that there is for it."""
        self._asked = True
        try:
            async with asyncio.timeout(self._visits.settings.timeout_s):
                try:
                    answer = await _settled(self._visits.decide(self))
                except WhichVariantError as error:
                    self._forget_unknown(error)
                    answer = await _settled(self._visits.decide(self))
                if self._is_anothers(answer):
                    answer = await _settled(self._visits.decide(self))
                self._answered = answer
        except TimeoutError:
            logger.warning("no decision in time; showing the baseline")
        except Exception:  # the page comes first, whatever a decider does
            logger.exception("no decision; showing the baseline")

    def _answer(self) -> Answer | None:
        """The decision, made now if nothing has to be awaited for it."""
        if not self._asked and self._agreed.personalise and not self._visits.awaited:
            self._asked = True
            try:
                try:
                    answer = self._visits.decide(self)
                except WhichVariantError as error:
                    self._forget_unknown(error)
                    answer = self._visits.decide(self)
                if self._is_anothers(answer):
                    answer = self._visits.decide(self)
                self._answered = answer
            except Exception:  # the page comes first, whatever a decider does
                logger.exception("no decision; showing the baseline")
        return self._answered

    def _forget_unknown(self, error: WhichVariantError) -> None:
        """Whoever comes with the id of a profile that is no more is new; else raises the error."""
        if self.known_id is None or getattr(error, "code", None) != ProfileNotFound.code:
            raise error
        self.known_id = None

    def _is_anothers(self, answer: Answer) -> bool:
        """Whether the answer is of another profile than the cookie's; then the visitor is new."""
        same = self.known_id is None or answer.profile.get("id") == self.known_id
        if same or self._visits.believes:
            return False
        self.known_id = None
        return True

    def finish(self, headers: Mapping[str, str]) -> Changes:
        """The changes of a response with these headers, by lower-case name."""
        used, settings = self.experiences.used, self._visits.settings
        cookies: list[SetCookie] = []
        if not self._agreed.persist:
            cookies = forget(self.context.cookies, settings.cookie, https=self._https)
        elif self._answered is not None and not self.is_bot and (used or self._kept_anew()):
            profile_id = str(self._answered.profile.get("id", ""))
            cookies = keep_profile_id(profile_id, settings.cookie, https=self._https)
        self.experiences.seal()
        return Changes(private_headers(headers) if used or cookies else {}, cookies)

    def _kept_anew(self) -> bool:
        """Whether a page view was recorded for somebody whom the cookie does not name."""
        answered = self._answered
        return (
            self._visits.records
            and self.counts
            and answered is not None
            and answered.profile.get("id") != self.known_id
        )


async def _settled(answer: Answer | Awaitable[Answer]) -> Answer:
    return await answer if isinstance(answer, Awaitable) else answer


def is_bot(user_agent: str) -> bool:
    """Whether a user agent says of itself that it is no person's browser. [policy]"""
    return not user_agent or _BOT.search(user_agent[:_LONGEST_USER_AGENT]) is not None


def is_prefetch(headers: Mapping[str, str]) -> bool:
    """Whether a browser asks for a page that nobody has opened yet.

    By `Sec-Purpose`, and the names that it had before; ``headers`` are by lower-case name.
    """
    found = " ".join(headers.get(name, "") for name in _SPECULATIVE).lower()
    return "prefetch" in found or "prerender" in found or "preview" in found
