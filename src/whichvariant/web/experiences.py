"""`request.experiences`: what a view, or its templates, ask of the decision for their visitor."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, TypeVar

from whichvariant.entries import Choice, Resolver, merge_tag
from whichvariant.entries.shapes import Entry
from whichvariant.profiles.answer import Answer

logger = logging.getLogger("whichvariant.web")

_Found = TypeVar("_Found")

_NOBODY: Final = Answer({}, [], [])


class Experiences:
    """What one visitor gets, decided when it is first asked for.

    Whatever is asked here that may differ between visitors makes the response private: `used` says
    whether anything was. Without a decision (no consent, a failure, a page that is left out)
    everybody's baseline is shown, and nothing here fails.

    The lists and dicts may be shared: do not change them.
    """

    def __init__(
        self, decide: Callable[[], Answer | None], on_use: Callable[[], None] | None = None
    ) -> None:
        self._decide = decide
        self._on_use = on_use
        self._answer: Answer | None = None
        self._resolver: Resolver | None = None
        self._decided = False
        self._used = False
        self._sealed = False

    # ---- for middleware -----------------------------------------------------------------------

    @property
    def used(self) -> bool:
        """Whether anything was asked that may differ between visitors."""
        return self._used

    def use(self) -> None:
        """Say that the response will be personal; needed before a response that is streamed."""
        if not self._used and not self._sealed:
            self._used = True
            if self._on_use is not None:
                self._on_use()

    def seal(self) -> None:
        """The headers are sent. If they allow sharing, nothing personal may follow any more."""
        self._sealed = True

    def decided(self) -> Answer | None:
        """The decision, without being used; None where there is none."""
        if not self._decided:
            self._decided = True
            self._answer = self._decide()
        return self._answer

    def _read(self) -> Answer:
        self.use()
        if not self._used:
            logger.warning(
                "experiences were read after the headers were sent, so everybody's baseline is "
                "shown; call use() before a response that is streamed"
            )
            return _NOBODY
        return self.decided() or _NOBODY

    # ---- the decision -------------------------------------------------------------------------

    @property
    def profile(self) -> dict[str, Any] | None:
        """The visitor's profile in the API's shape; None where nothing was decided."""
        return self._read().profile or None

    @property
    def profile_id(self) -> str | None:
        """The visitor's id, which the cookie carries."""
        identifier = self._read().profile.get("id")
        return identifier if isinstance(identifier, str) else None

    @property
    def experiences(self) -> list[dict[str, Any]]:
        """The records of the selected experiences."""
        return self._read().experiences

    @property
    def changes(self) -> list[dict[str, Any]]:
        """The values of inline variables."""
        return self._read().changes

    @property
    def audiences(self) -> list[str]:
        """The ids of the audiences that the visitor belongs to."""
        audiences: list[str] = self._read().profile.get("audiences", [])
        return audiences

    def handoff(self) -> dict[str, Any]:
        """Profile, experiences and changes as the API answers them, for scripts of the page."""
        return self._read().to_dict()

    # ---- values -------------------------------------------------------------------------------

    def change(self, key: str) -> dict[str, Any] | None:
        """The change with this key; of several the first, as in the vendor's SDK [sdk]."""
        return next((change for change in self.changes if change["key"] == key), None)

    def flag(self, key: str, default: Any = None) -> Any:
        """The value of an inline variable, or the default where no experience sets it.

        An object that holds nothing but another one as ``value`` stands for that one [sdk].
        """
        change = self.change(key)
        if change is None:
            return default
        value = change["value"]
        if isinstance(value, Mapping) and isinstance(value.get("value"), Mapping):
            return value["value"]
        return value

    def merge_tag(self, tag_id: str, fallback: str = "") -> str:
        """A value of the profile as text, or the fallback (`whichvariant.entries.merge_tag`)."""
        return merge_tag(self._read().profile, tag_id, fallback) or ""

    # ---- entries ------------------------------------------------------------------------------

    def variant_of(self, entry: Entry) -> Choice:
        """What stands in the place of an entry, without looking below it."""
        return self._resolving(lambda resolver: resolver.choose(entry))

    def resolve(self, entry: Entry) -> dict[str, Any] | None:
        """An entry and everything below it as the visitor sees it; None to show nothing."""
        return self._resolving(lambda resolver: resolver.resolve(entry))

    def resolve_all(self, entries: Iterable[Entry]) -> list[dict[str, Any]]:
        """Several entries, without those that are not to be shown."""
        resolved = [self.resolve(entry) for entry in entries]
        return [entry for entry in resolved if entry is not None]

    @property
    def choices(self) -> tuple[Choice, ...]:
        """What experiences decided about the entries that were resolved so far."""
        return () if self._resolver is None else self._resolver.choices

    def _resolving(self, ask: Callable[[Resolver], _Found]) -> _Found:
        # Entries that are the same for everybody leave the response as cacheable as it is.
        if self._resolver is None:
            known = self.decided() or _NOBODY
            self._resolver = Resolver(known.experiences, known.profile)
        found = ask(self._resolver)
        if self._resolver.personal and not self._used:
            self._read()
            if not self._used:
                self._resolver = None
                return ask(Resolver([]))
        return found


def tracking_attributes(entry: Mapping[str, Any]) -> dict[str, str]:
    """The ``data-`` attributes by which the vendor's web SDK reports views of an entry [sdk].

    ``entry`` is a resolved one. They belong on the element that shows it.
    """
    identifier = str(entry["sys"]["id"])
    chosen = entry.get("experience")
    if not isinstance(chosen, Mapping):
        return {"data-ctfl-entry-id": identifier, "data-ctfl-baseline-id": identifier}
    return {
        "data-ctfl-entry-id": identifier,
        "data-ctfl-baseline-id": str(chosen["baselineId"]),
        "data-ctfl-optimization-id": str(chosen["experienceId"]),
        "data-ctfl-sticky": "true" if chosen["sticky"] else "false",
        "data-ctfl-variant-index": str(chosen["variantIndex"]),
    }
