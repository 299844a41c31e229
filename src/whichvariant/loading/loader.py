"""From documents to one validated Configuration, with everything there is to say about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, cast

from whichvariant.contracts import (
    Audience,
    Configuration,
    Experience,
    Finding,
    MergeTag,
    Scheme,
)
from whichvariant.contracts.configuration import id_order
from whichvariant.errors import ConfigurationError, DocumentError
from whichvariant.loading.contentful import read_contentful
from whichvariant.loading.digest import digest
from whichvariant.loading.documents import Document, check_document, document_kind
from whichvariant.loading.entries import EntryKey, EntryKind, RawEntry, read_entry_id
from whichvariant.loading.experiences import (
    AudienceReference,
    read_audience,
    read_audience_reference,
    read_experience,
    read_merge_tag,
)
from whichvariant.loading.merge import Candidate, EntityT, Merged, merge
from whichvariant.loading.native import read_native
from whichvariant.loading.reports import Report, refuses_the_whole, shown

MAX_AUDIENCES: Final = 65_535
MAX_EXPERIENCES: Final = 65_535
DEFAULT_SCHEME: Final[Scheme] = "murmur3"


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration, and the findings about its sources in their order."""

    configuration: Configuration
    findings: tuple[Finding, ...]


def load_documents(
    documents: Sequence[Document], *, strict: bool = True, locale: str | None = None
) -> Loaded:
    """Merge documents into one configuration.

    ``strict`` refuses a configuration with any error. Otherwise the audience or experience at fault
    is withheld, with every experience for a withheld audience; only errors that concern the
    configuration as a whole refuse it (SEMANTICS section 2). ``locale`` chooses among the locales
    of space exports, whose default it is otherwise.

    Raises ConfigurationError with all findings when refused, DocumentError when there is no
    document or one is not a configuration.
    """
    if not documents:
        raise DocumentError("no documents, so there is no configuration to load")
    sources = _read_sources(documents, locale)
    by_kind: dict[EntryKind, list[RawEntry]] = {"audience": [], "experience": [], "mergetag": []}
    for raw in sources.entries:
        if raw.readable:
            read_entry_id(raw)
        by_kind[raw.kind].append(raw)

    audiences = merge(_candidates(by_kind["audience"], read_audience))
    resolver = _AudienceResolver(audiences, sources.unserved)
    experiences = merge([resolver.candidate(raw) for raw in by_kind["experience"]])
    merge_tags = merge(_candidates(by_kind["mergetag"], read_merge_tag))
    _note_unused(audiences, resolver.used)

    totals = Report("")
    scheme = _common_scheme(sources.schemes, totals)
    _limit("audiences", audiences, MAX_AUDIENCES, totals)
    _limit("experiences", experiences, MAX_EXPERIENCES, totals)

    reports = [*sources.reports, totals, *(raw.report for raw in sources.entries)]
    findings = tuple(finding for report in reports for finding in report.findings)
    failed = any(report.failed for report in reports)
    if failed and (strict or refuses_the_whole(findings)):
        raise ConfigurationError(findings)
    return Loaded(_assemble(scheme, audiences, experiences, merge_tags), findings)


@dataclass(slots=True)
class _Sources:
    """What the documents hold before it is told apart: entries in order, and the schemes named."""

    entries: list[RawEntry] = field(default_factory=list)
    unserved: dict[EntryKey, str] = field(default_factory=dict)
    reports: list[Report] = field(default_factory=list)
    schemes: list[tuple[Scheme, Document]] = field(default_factory=list)


def _read_sources(documents: Sequence[Document], locale: str | None) -> _Sources:
    sources = _Sources()
    for given in documents:
        document = given if given.checked else check_document(given.data, given.name)
        report = Report(document.name)
        sources.reports.append(report)
        if document_kind(document.data) == "native":
            sources.entries.extend(read_native(document, report))
            scheme = document.data.get("scheme")
            if scheme in ("murmur3", "xxh64"):
                sources.schemes.append((cast("Scheme", scheme), document))
            elif scheme is not None:
                message = f"the scheme is murmur3 or xxh64, not {shown(scheme)}"
                report.add("unknown-scheme", "scheme", message)
        else:
            found = read_contentful(document, locale, report)
            sources.entries.extend(found.entries)
            sources.unserved.update(found.unserved)
    return sources


def _common_scheme(schemes: list[tuple[Scheme, Document]], report: Report) -> Scheme:
    """The one scheme that documents name; a document that names none takes the others'."""
    if not schemes:
        return DEFAULT_SCHEME
    first, first_document = schemes[0]
    for scheme, document in schemes[1:]:
        if scheme != first:
            message = f"{document.name} says {scheme}, {first_document.name} says {first}"
            report.add("scheme-conflict", "scheme", message)
            break
    return first


def _candidates(
    raws: Iterable[RawEntry], read: Callable[[RawEntry], EntityT | None]
) -> list[Candidate[EntityT]]:
    return [Candidate(raw, read(raw) if raw.readable else None) for raw in raws]


def _note_unused(audiences: Merged[Audience], used: set[str]) -> None:
    noted = set(used)
    for candidate in audiences.current:
        raw = candidate.raw
        if raw.id in audiences.served and raw.id not in noted:
            noted.add(raw.id)
            message = f"no experience refers to the audience {raw.id!r}"
            raw.report.add("unused-audience", raw.place, message)


def _limit(noun: str, merged: Merged[EntityT], limit: int, report: Report) -> None:
    count = len(merged.served) + len(merged.withheld)
    if count > limit:
        report.add(f"too-many-{noun}", "", f"{count:,} {noun}, at most {limit:,}")


class _AudienceResolver:
    """Finds the audience that an experience names, among what the documents serve and withhold."""

    def __init__(self, audiences: Merged[Audience], unserved: dict[EntryKey, str]) -> None:
        self.audiences = audiences
        self.unserved = unserved
        self.used: set[str] = set()
        self.by_entry: dict[EntryKey, str] = {}
        self.by_entry_id: dict[str, list[EntryKey]] = {}
        for candidate in audiences.current:
            key = candidate.raw.key
            if key is not None:
                self.by_entry[key] = candidate.raw.id
                self.by_entry_id.setdefault(key[1], []).append(key)

    def candidate(self, raw: RawEntry) -> Candidate[Experience]:
        """An experience with its audience resolved."""
        if not raw.readable:
            return Candidate(raw, None)
        reference = read_audience_reference(raw)
        audience = None if reference is None else self.resolve(reference, raw)
        return Candidate(raw, read_experience(raw, audience))

    def resolve(self, reference: AudienceReference, raw: RawEntry) -> str | None:
        """The audience's id, or None with a finding."""
        place = (raw.place, "nt_audience")
        noun, state = "audience", None
        audience_id: str | None = reference.id
        known = reference.id in self.audiences.withheld
        if reference.by_entry:
            noun, state = "entry", self.unserved.get((_space(raw), reference.id))
            key = self.entry_key(reference.id, raw)
            # An audience whose own id could not be read is there all the same, and at fault.
            known = key is not None
            audience_id = None if key is None else self.by_entry[key]
        if audience_id in self.audiences.served:
            self.used.add(audience_id)
            return audience_id
        if known:
            message = f"the audience {reference.id!r} has errors itself"
            raw.report.add("audience-withheld", place, message)
        else:
            what = f"is {state}" if state else "is in none of the documents"
            raw.report.add("dangling-audience", place, f"the {noun} {reference.id!r} {what}")
        return None

    def entry_key(self, entry_id: str, raw: RawEntry) -> EntryKey | None:
        """The audience entry of that ``sys.id`` in the experience's space.

        Where one of the two sources does not say its space, the only entry of that id will do.
        """
        space = _space(raw)
        if (space, entry_id) in self.by_entry:
            return (space, entry_id)
        others = [key for key in self.by_entry_id.get(entry_id, ()) if not (space and key[0])]
        return others[0] if len(others) == 1 else None


def _space(raw: RawEntry) -> str:
    return raw.key[0] if raw.key else ""


def _assemble(
    scheme: Scheme,
    audiences: Merged[Audience],
    experiences: Merged[Experience],
    merge_tags: Merged[MergeTag],
) -> Configuration:
    ordered_audiences = _ordered(audiences)
    ordered_experiences = _ordered(experiences)
    ordered_tags = _ordered(merge_tags)
    return Configuration(
        scheme=scheme,
        audiences=ordered_audiences,
        experiences=ordered_experiences,
        merge_tags=ordered_tags,
        digest=digest(scheme, ordered_audiences, ordered_experiences, ordered_tags),
    )


def _ordered(merged: Merged[EntityT]) -> tuple[EntityT, ...]:
    """The served entities in the order in which the API lists ids (SEMANTICS section 4)."""
    return tuple(merged.served[entity_id] for entity_id in sorted(merged.served, key=id_order))
