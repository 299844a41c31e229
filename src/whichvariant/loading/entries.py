"""Raw entries: what native and Contentful documents have in common before their fields are read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from whichvariant.contracts import JsonValue
from whichvariant.loading.reports import Place, Report, shown

EntryKind: TypeAlias = Literal["audience", "experience", "mergetag"]
EntryKey: TypeAlias = tuple[str, str]
"""A Contentful entry: its space ("" when the source does not say) and its ``sys.id``."""

MAX_ID_UNITS: Final = 1024

ID_FIELDS: Final[dict[EntryKind, str]] = {
    "audience": "nt_audience_id",
    "experience": "nt_experience_id",
    "mergetag": "nt_mergetag_id",
}


@dataclass(slots=True)
class RawEntry:
    """One audience, experience or merge tag with flat fields, as its source has it.

    ``place`` is where the fields are, e.g. ``entries[12].fields`` or ``audiences[0]``. ``key`` is
    None for native entries. ``id`` is empty until ``read_entry_id`` has found a usable one.
    ``readable`` is false when there are no fields to read, which the report says already.
    """

    kind: EntryKind
    fields: dict[str, JsonValue]
    place: str
    report: Report
    key: EntryKey | None = None
    updated_at: JsonValue = None
    id: str = ""
    readable: bool = True

    @property
    def where(self) -> str:
        """Source and place, as one entry's finding names another entry."""
        return ": ".join(part for part in (self.report.source, self.place) if part)


def read_entry_id(raw: RawEntry) -> None:
    """Find the entry's id, and make it the subject of its findings.

    A Contentful audience or experience without one goes by its ``sys.id``, as the SDK does for
    audiences [sdk]; a merge tag's id is a path into the profile, for which nothing can stand in.
    """
    report, name = raw.report, ID_FIELDS[raw.kind]
    value, place = raw.fields.get(name), (raw.place, name)
    entry_id = raw.key[1] if raw.key else ""
    report.concern(value if isinstance(value, str) and value else entry_id)
    if value is not None:
        if is_id(value, place, report):
            raw.id = value
    elif entry_id and raw.kind != "mergetag":
        report.add("entry-id-used", place, f"no {name}; the entry's sys.id {entry_id!r} is used")
        if is_id(entry_id, place, report):
            raw.id = entry_id
    else:
        report.add("missing-id", place, f"no {name}")


def is_id(value: JsonValue, place: Place, report: Report, *, may_be_empty: bool = False) -> bool:
    """Whether a value is an id of 1 to 1,024 UTF-16 code units; if not, the report says why."""
    if not isinstance(value, str):
        report.wrong_type(place, "text", value)
        return False
    if not value and not may_be_empty:
        report.add("invalid-id", place, "an id is empty")
        return False
    # Only astral characters take two code units, so most texts need not be counted.
    if 2 * len(value) > MAX_ID_UNITS and len(value.encode("utf-16-le")) > 2 * MAX_ID_UNITS:
        message = f"an id is longer than {MAX_ID_UNITS:,} UTF-16 code units: {shown(value)}"
        report.add("invalid-id", place, message)
        return False
    return True


def read_text(raw: RawEntry, name: str) -> str:
    """A text field; absent or null is empty."""
    value = raw.fields.get(name)
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    raw.report.wrong_type((raw.place, name), "text", value)
    return ""
