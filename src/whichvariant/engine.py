"""The public face: a configuration, compiled, that decides for visitors."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Self

from whichvariant import clock
from whichvariant._core.answers import Selection
from whichvariant._core.evaluate_one import Evaluator
from whichvariant.compiler import (
    build_program,
    compile_tables,
    counter_keys,
    is_program,
    pack_program,
    sticky_experiences,
    unpack_program,
)
from whichvariant.compiler.compilation import Numbering
from whichvariant.contracts import Configuration, Finding, Scheme
from whichvariant.errors import EventError, ProfileError, ProgramError, WhichVariantError
from whichvariant.explanation import Explanation, ProgramListing
from whichvariant.loading import (
    Document,
    check_document,
    load_documents,
    parse_document,
    read_document,
    to_native,
)
from whichvariant.profiles.aggregate import aggregate
from whichvariant.profiles.answer import Answer, answer_for
from whichvariant.profiles.api_profile import state_of
from whichvariant.profiles.events import read_events
from whichvariant.profiles.location import Located, read_location
from whichvariant.profiles.settings import ProfileSettings
from whichvariant.profiles.state import new_state
from whichvariant.profiles.times import parse_time

if TYPE_CHECKING:
    from whichvariant.columns import ColumnsResult
    from whichvariant.combinations import Combinations, Level, Page

__all__ = ["Engine", "Selection"]


_MOST_PAGES = 256


class Engine(Evaluator):
    """Decides which variants a visitor gets, as the hosted Experience API would.

    Make one with `load`, `from_dict`, `from_bytes`, or from a `Configuration`. An engine is
    immutable and safe to share between threads and with forked processes; a changed configuration
    makes a new one. It pickles as its compiled program.

    ::

        engine = Engine.load("space.json")
        selection = engine.select({"stableId": "123", "traits": {"plan": "pro"}})
        selection.experiences
    """

    _native: dict[str, Any]

    def __init__(self, configuration: Configuration, findings: Sequence[Finding] = ()) -> None:
        self._set_up(compile_tables(configuration), configuration.digest)
        self._configuration: Configuration | None = configuration
        self._findings = tuple(findings)

    def _set_up(self, tables: dict[str, Any], digest: str) -> None:
        # First, because it refuses to be done twice.
        super().__init__(build_program(tables), ProfileError, EventError, clock.now_ms, parse_time)
        self._counters = counter_keys(tables)
        self._sticky = MappingProxyType(sticky_experiences(tables))
        self._tables = tables
        self._digest = digest
        self._pages: dict[Any, Page] = {}
        self._numbering: Numbering | None = None

    # ---- making one ---------------------------------------------------------------------------

    @classmethod
    def load(
        cls, *paths: str | os.PathLike[str], strict: bool = True, locale: str | None = None
    ) -> Self:
        """An engine from files: configuration documents that merge, or one compiled program.

        Parameters
        ----------
        paths
            Native documents (JSON or msgpack), Contentful space exports, Delivery API responses
            (docs/configuration.md), or a single file written from `to_bytes`.
        strict
            Refuse a configuration that has any error. Otherwise what is at fault is withheld,
            everything else serves, and `findings` tells.
        locale
            Which locale of an export to read; by default the export's default.

        Raises
        ------
        DocumentError
            A file is unreadable or no configuration document.
        ConfigurationError
            The configuration has errors, and ``strict``.
        ProgramError
            A compiled program is damaged or of another version.
        """
        if len(paths) == 1:
            program = _read_program(paths[0])
            if program is not None:
                return cls._from_program(program, os.fspath(paths[0]))
        return cls._from_documents([read_document(path) for path in paths], strict, locale)

    @classmethod
    def from_bytes(cls, *blobs: bytes, strict: bool = True, locale: str | None = None) -> Self:
        """As `load`, from the contents of files. Findings call them ``document 1``, … ."""
        if len(blobs) == 1 and is_program(blobs[0]):
            return cls._from_program(bytes(blobs[0]), "")
        documents = [
            parse_document(blob, f"document {number}") for number, blob in enumerate(blobs, 1)
        ]
        return cls._from_documents(documents, strict, locale)

    @classmethod
    def from_dict(
        cls, *documents: Mapping[str, Any], strict: bool = True, locale: str | None = None
    ) -> Self:
        """As `load`, from documents that are Python objects already. They are copied."""
        checked = [
            check_document(document, f"document {number}")
            for number, document in enumerate(documents, 1)
        ]
        return cls._from_documents(checked, strict, locale)

    @classmethod
    def _from_documents(
        cls, documents: Sequence[Document], strict: bool, locale: str | None
    ) -> Self:
        loaded = load_documents(documents, strict=strict, locale=locale)
        return cls(loaded.configuration, loaded.findings)

    @classmethod
    def _from_program(cls, data: bytes, source: str) -> Self:
        tables, native, digest = unpack_program(data, source)
        engine = cls.__new__(cls)
        try:
            engine._set_up(tables, digest)
        except Exception as error:  # whatever a hostile file brings about
            place = f"{source}: " if source else ""
            raise ProgramError(f"{place}the compiled program is not sound: {error}") from error
        engine._configuration = None
        engine._native = native
        engine._findings = ()
        return engine

    def to_bytes(self) -> bytes:
        """The compiled program: versioned, digest-checked, ready for `load` and `from_bytes`."""
        return pack_program(self._tables, to_native(self.configuration), self._digest)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_bytes, (self.to_bytes(),)

    # ---- what it is made of -------------------------------------------------------------------

    @property
    def configuration(self) -> Configuration:
        """The configuration that this engine decides."""
        if self._configuration is None:
            # A compiled program carries its configuration; most who load one never ask for it.
            try:
                document = check_document(self._native, "compiled program")
                configuration = load_documents([document]).configuration
            except WhichVariantError as error:
                raise ProgramError(f"the compiled program is not sound: {error}") from error
            if configuration.digest != self._digest:
                raise ProgramError(
                    "the compiled program is not sound: it carries another configuration's document"
                )
            self._configuration = configuration
        return self._configuration

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What loading found; empty for an engine from a compiled program."""
        return self._findings

    @property
    def digest(self) -> str:
        """32 hexadecimal digits over the configuration's content, whatever its source format."""
        return self._digest

    @property
    def scheme(self) -> Scheme:
        """The bucketing scheme, ``murmur3`` or ``xxh64``."""
        return self.program.scheme

    @property
    def counter_keys(self) -> tuple[tuple[int, int | None], ...]:
        """Of every activity counter, by its number: a key, and its window in milliseconds.

        The key (a uint64) depends on what is counted alone, so that counts can be kept with a
        profile from one configuration to the next; the window is None where it is unbounded.
        """
        return self._counters.keys

    @property
    def counters_digest(self) -> int:
        """A uint64 over all counter keys; 0 where there are none."""
        return self._counters.digest

    @property
    def sticky_experiences(self) -> Mapping[str, int]:
        """The highest variant index of every sticky experience."""
        return self._sticky

    def __repr__(self) -> str:
        return (
            f"<Engine {self._digest[:12]}: {len(self.program.experience_ids)} experiences, "
            f"{len(self.program.audience_ids)} audiences, {self.scheme}>"
        )

    # ---- events -------------------------------------------------------------------------------

    def preflight(
        self,
        profile: Mapping[str, Any] | None,
        events: Sequence[Mapping[str, Any]],
        *,
        location: Mapping[str, Any] | None = None,
        locale: str = "en",
        now: int | datetime | str | None = None,
        settings: ProfileSettings | None = None,
    ) -> Answer:
        """What the API would answer to these events, with nothing stored anywhere.

        Parameters
        ----------
        profile
            The visitor so far, in the API's shape, or None for one who is new. The shape does not
            tell everything that a server keeps: its session counts as going on, and activity
            counters see only ``events``.
        events
            One event or more in the API's shape; of repeated `messageId`s the first counts.
        location
            Where the visitor is, as `options.location` of the API; events may say better.
        locale
            The language of country and city in the answer, where a translation exists.
        now
            Time of receipt: milliseconds since the epoch, an aware datetime, or ISO 8601. By
            default the clock.
        settings
            How profiles are kept, by default as the hosted API keeps them.

        Raises
        ------
        ProfileError, EventError
            With the path of the value that cannot be used.
        """
        try:
            now_ms = clock.now_ms() if now is None else parse_time(now)
        except ValueError as error:
            raise EventError("now", str(error)) from None
        settings = settings or ProfileSettings()
        if profile is None:
            seed = clock.random_bytes(36)
            state = new_state(seed[:32].hex(), int.from_bytes(seed[32:], "little"), now_ms)
        else:
            state = state_of(profile, now_ms)
        located = None
        if location is not None:
            located = Located(read_location(location, "options.location"))
        step = aggregate(
            state, read_events(events, now_ms), now_ms, self, settings, located=located
        )
        return answer_for(step.state, self, settings, now_ms, locale)

    # ---- many profiles ------------------------------------------------------------------------

    def select_columns(
        self,
        profiles: Any,
        *,
        now: int | datetime | str | None = None,
        threads: int = 1,
    ) -> ColumnsResult:
        """Decide for many profiles at a time, exactly as `select` does for each.

        Parameters
        ----------
        profiles
            A pyarrow Table or RecordBatch, a polars or pandas DataFrame, or an iterable of these,
            whose rows are joined. Columns (docs/columns.md): ``stableId``; ``traits``,
            ``location``, ``session`` as structs, maps or JSON texts, or single attributes as
            ``traits.plan``; ``device``; ``stickyVariants``; ``events``. A null is a missing
            attribute. Only what the rules read is looked at.
        now
            As in `select`.
        threads
            How many threads share the work, 1 to 64.

        Raises
        ------
        ProfileError, EventError
            A column or value cannot be used; ``path`` is the column, the message names the row.

        Needs pyarrow, which ``pip install 'whichvariant[replay]'`` brings along.
        """
        from whichvariant.columns import select_columns

        return select_columns(self, profiles, now=now, threads=threads)

    # ---- caches -------------------------------------------------------------------------------

    def page(
        self,
        entries: Iterable[str] | Mapping[str, Sequence[str] | None] = (),
        variables: Iterable[str] = (),
        *,
        level: Level = "seen",
    ) -> Page:
        """The places of a page, for `combinations` and for keys: see `Page`."""
        if isinstance(entries, Mapping):
            orders = entries.items()
            named: Any = tuple((entry, _name_of(order)) for entry, order in orders)
        else:
            named = entries = _name_of(entries)
        variables = _name_of(variables)
        name = named, variables, level
        page = self._pages.get(name)
        if page is None:
            from whichvariant.combinations import Page

            page = Page(self.configuration, entries, variables, level=level)
            if len(self._pages) >= _MOST_PAGES:
                self._pages.clear()
            self._pages[name] = page
        return page

    def combinations(
        self,
        entries: Iterable[str] | Mapping[str, Sequence[str] | None] = (),
        variables: Iterable[str] = (),
        *,
        level: Level = "seen",
        profiles: Any = None,
        audience_shares: Mapping[Any, Any] | None = None,
        at_least: float = 0,
        limit: int = 10_000,
        now: int | datetime | str | None = None,
    ) -> Combinations:
        """Every way in which a page can look, with its expected share and its key.

        docs/combinations.md says what is proven, and what a share means.

        Parameters
        ----------
        entries, variables, level
            The page, as in `Page`.
        profiles
            A sample of visitors, from which the shares of audiences are taken: what
            `select_columns` takes, its results, or an iterable of profiles in the API's shape, or
            of requests ``{"profile", "device", "events"}``.
        audience_shares
            Instead of a sample: from ids of audiences that match together (and no other of the
            page's) to the share of visitors, which sum to 1.
        at_least
            Leave out combinations with a smaller share; without shares of audiences, those less
            probable than this under every pattern of audiences.
        limit
            How many combinations, and patterns of audiences, there may be.
        now
            As in `select`, for a sample.

        Raises
        ------
        TooManyCombinations
            There are more than ``limit``, or more than can be found in reasonable time.
        ValueError
            Shares do not sum to 1, or are of audiences that cannot match together.
        """
        from whichvariant.combinations import enumerate_page

        return enumerate_page(
            self,
            self.page(entries, variables, level=level),
            profiles=profiles,
            audience_shares=audience_shares,
            at_least=at_least,
            limit=limit,
            now=now,
        )

    def combination_key(
        self,
        selection: Selection | Mapping[str, Any] | Iterable[Mapping[str, Any]],
        entries: Iterable[str] | Mapping[str, Sequence[str] | None] = (),
        variables: Iterable[str] = (),
        *,
        level: Level = "seen",
    ) -> str:
        """The key of the combination that ``selection`` leads to, as `Page.key` gives it.

        The page is kept from call to call; `page` saves the look-up.
        """
        return self.page(entries, variables, level=level).key(selection)

    # ---- why ----------------------------------------------------------------------------------

    def explain(
        self,
        profile: Mapping[str, Any],
        *,
        device: str | None = None,
        events: Sequence[Mapping[str, Any]] | None = None,
        counts: Sequence[int] | None = None,
        audiences: Literal["rules", "given"] = "rules",
        now: int | datetime | str | None = None,
    ) -> Explanation:
        """Why a visitor gets what `select` gives: every audience, comparison, draw and threshold.

        Takes what `select` takes. The answer is text with ``str()`` and JSON with ``to_dict()``.
        """
        trace = self.trace(
            profile, device=device, events=events, counts=counts, audiences=audiences, now=now
        )
        if self._numbering is None:
            self._numbering = Numbering(self.configuration)
        return Explanation(
            self.configuration,
            profile,
            trace,
            given=audiences == "given",
            numbering=self._numbering,
        )

    def explain_program(self) -> ProgramListing:
        """The compiled program, readable: slots and leaves, decision graphs, thresholds."""
        return ProgramListing(self.configuration, self._tables)


def _name_of(ids: Any) -> Any:
    """A list of ids as a key of a dict; what is no list as it is, to be refused later on."""
    return ids if ids is None or isinstance(ids, str) else tuple(ids)


def _read_program(path: str | os.PathLike[str]) -> bytes | None:
    """The content of a file that is a compiled program; None for all others, readable or not."""
    try:
        with open(path, "rb") as file:
            start = file.read(64)
            return start + file.read() if is_program(start) else None
    except OSError:
        # Reading it as a document says why it cannot be read.
        return None
