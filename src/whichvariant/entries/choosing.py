"""Which variant of an entry a visitor sees, given what was selected for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from whichvariant.entries.shapes import Entry, read_experience
from whichvariant.errors import EntryError

Record = Mapping[str, Any]
"""One element of an answer's ``experiences``: `experienceId`, `variantIndex`, `sticky`."""


class Choice(NamedTuple):
    """What stands in the place of an entry, and why.

    Attributes
    ----------
    entry
        The entry to show; None for the empty variant, which shows nothing.
    baseline_id
        The id of the entry that was to be resolved.
    experience_id
        The experience that decided; None if none did, and then ``entry`` is the baseline.
    variant_index
        0 for the baseline.
    sticky
        Whether seeing this is to be reported, so that the visitor keeps it.
    """

    entry: Entry | None
    baseline_id: str
    experience_id: str | None = None
    variant_index: int = 0
    sticky: bool = False

    @property
    def component_id(self) -> str:
        """The `componentId` of the component view that reports this [sdk]."""
        return f"{self.baseline_id}-hidden" if self.entry is None else str(self.entry["sys"]["id"])


def records_by_id(experiences: Iterable[Record]) -> dict[str, Record]:
    """The records of a selection by `experienceId`; of several with one id the first counts.

    Raises EntryError for what is no such record.
    """
    found: dict[str, Record] = {}
    for place, record in enumerate(experiences):
        identifier, index = record.get("experienceId"), record.get("variantIndex")
        if not isinstance(identifier, str):
            raise EntryError(f"experiences[{place}].experienceId", "not a text")
        if isinstance(index, bool) or not isinstance(index, int) or index < 0:
            raise EntryError(f"experiences[{place}].variantIndex", "not an index")
        found.setdefault(identifier, record)
    return found


def choose(entry: Entry, records: Mapping[str, Record]) -> Choice:
    """The variant of ``entry`` for a visitor with these records (see `records_by_id`).

    The first experience in the order of `nt_experiences` that was selected decides, also if it has
    nothing to say about this entry. The variant is the one that the experience's own `nt_config`
    names at the record's index, taken from `nt_variants`. What is missing there (unpublished, not
    fetched, an index beyond the variants) leaves the baseline, decided by nobody [sdk].
    """
    identifier = entry["sys"]["id"]
    baseline = Choice(entry, identifier)
    experiences = entry["fields"].get("nt_experiences")
    if not isinstance(experiences, list) or not records:
        return baseline
    for attached in experiences:
        experience = read_experience(attached)
        record = records.get(experience.id) if experience is not None else None
        if experience is None or record is None:
            continue
        index, sticky = record["variantIndex"], record.get("sticky") is True
        replacements = experience.replacements
        variants = next((one.variants for one in replacements if one.baseline == identifier), None)
        if variants is None or index > len(variants):
            return baseline
        if index == 0:
            return Choice(entry, identifier, experience.id, 0, sticky)
        variant = variants[index - 1]
        chosen = None if variant.empty else experience.variants.get(variant.id)
        if chosen is None and not variant.empty:
            return baseline
        return Choice(chosen, identifier, experience.id, index, sticky)
    return baseline
