"""`nt_experience`, `nt_audience` and `nt_mergetag` entries to the contracts (SEMANTICS section 2).

Each reader validates everything it uses, puts findings into the entry's report, and gives None when
one of them is an error. Absent and null are the same, but as the value of an inline variable.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeAlias, cast

from whichvariant.contracts import Audience, Component, Experience, JsonValue, MergeTag
from whichvariant.loading.components import read_components
from whichvariant.loading.distributions import DEFAULT_SHARES, read_distribution, segments_of
from whichvariant.loading.entries import RawEntry, read_text
from whichvariant.loading.numeric import is_number
from whichvariant.loading.reports import Place, Report, shown
from whichvariant.loading.rules import read_rule

ExperienceType: TypeAlias = Literal["nt_experiment", "nt_personalization"]

MAX_REPLACEMENTS: Final = 65_536
"""Components times variants of one experience: each variant's answer lists all components."""

USED_CONFIG_KEYS: Final = frozenset({"traffic", "distribution", "sticky", "components"})
"""Keys of `nt_config` that decide; all others are carried as extras."""


@dataclass(frozen=True, slots=True)
class AudienceReference:
    """How an experience names its audience: by its id, or by the `sys.id` of its entry."""

    id: str
    by_entry: bool


def read_audience(raw: RawEntry) -> Audience | None:
    """An audience, or None when its report has an error."""
    name, description = read_text(raw, "nt_name"), read_text(raw, "nt_description")
    rules, place = raw.fields.get("nt_rules"), (raw.place, "nt_rules")
    if rules is None:
        raw.report.add("missing-rules", place, "an audience needs nt_rules")
        return None
    rule = read_rule(rules, place, raw.report)
    if rule is None or raw.report.failed:
        return None
    return Audience(raw.id, rule, name, description)


def read_merge_tag(raw: RawEntry) -> MergeTag | None:
    """A merge tag, or None when its report has an error."""
    tag = MergeTag(raw.id, read_text(raw, "nt_name"), read_text(raw, "nt_fallback"))
    return None if raw.report.failed else tag


def read_experience(raw: RawEntry, audience: str | None) -> Experience | None:
    """An experience for an audience that is known by now, or None when its report has an error."""
    report = raw.report
    name, description = read_text(raw, "nt_name"), read_text(raw, "nt_description")
    type_ = _experience_type(raw)
    config, place = raw.fields.get("nt_config"), (raw.place, "nt_config")
    if config is None:
        report.add("missing-config", place, "no nt_config: no traffic and no components")
        traffic, sticky = 0.0, False
        distribution = segments_of(DEFAULT_SHARES)
        components: tuple[Component, ...] = ()
        extras: dict[str, JsonValue] = {}
    elif not isinstance(config, dict):
        report.wrong_type(place, "an object", config)
        return None
    else:
        traffic = _traffic(config, place, report)
        sticky = _sticky(config, place, report)
        components = read_components(config.get("components"), (place, "components"), report)
        distribution = read_distribution(
            config.get("distribution"), (place, "distribution"), report, components
        )
        extras = {key: value for key, value in config.items() if key not in USED_CONFIG_KEYS}
        highest = max(
            *(segment.index for segment in distribution),
            *(len(component.variants) for component in components),
            0,
            0,
        )
        replacements = (highest + 1) * len(components)
        if replacements > MAX_REPLACEMENTS:
            message = f"{replacements:,} components times variants, at most {MAX_REPLACEMENTS:,}"
            report.add("too-many-replacements", (place, "components"), message)
    if report.failed:
        return None
    return Experience(
        id=raw.id,
        audience=audience,
        traffic=traffic,
        distribution=distribution,
        sticky=sticky,
        components=components,
        type=type_,
        name=name,
        description=description,
        extras=MappingProxyType(extras),
    )


def read_audience_reference(raw: RawEntry) -> AudienceReference | None:
    """How the experience names its audience; None for everyone, or with an error in the report.

    In Contentful documents a link names an entry, in native ones an audience's id.
    """
    value, place = raw.fields.get("nt_audience"), (raw.place, "nt_audience")
    if value is None:
        return None
    if isinstance(value, str):
        return AudienceReference(value, by_entry=False)
    link = value.get("sys") if isinstance(value, dict) else None
    if (
        isinstance(link, dict)
        and isinstance(link.get("id"), str)
        and link.get("type", "Link") == "Link"
        and link.get("linkType", "Entry") == "Entry"
    ):
        return AudienceReference(link["id"], by_entry=raw.key is not None)
    raw.report.add("wrong-type", place, "expected an audience's id or a link to an entry")
    return None


def _experience_type(raw: RawEntry) -> ExperienceType | None:
    value, place = raw.fields.get("nt_type"), (raw.place, "nt_type")
    if value is None:
        raw.report.add("missing-type", place, "no nt_type")
    elif not isinstance(value, str):
        raw.report.wrong_type(place, "text", value)
    elif value in {"nt_experiment", "nt_personalization"}:
        return cast("ExperienceType", value)
    else:
        raw.report.add("unknown-experience-type", place, f"unknown type {shown(value)}")
    return None


def _traffic(config: dict[str, JsonValue], place: Place, report: Report) -> float:
    value, place = config.get("traffic"), (place, "traffic")
    if value is None:
        report.add("zero-traffic", place, "no traffic, which means 0")
    elif not is_number(value):
        report.wrong_type(place, "a number", value)
    elif not 0 <= value <= 1:
        report.add("out-of-range", place, f"traffic is in [0, 1], not {shown(value)}")
    elif value == 0:
        report.add("zero-traffic", place, "traffic is 0")
    else:
        return float(value)
    return 0.0


def _sticky(config: dict[str, JsonValue], place: Place, report: Report) -> bool:
    value = config.get("sticky")
    if isinstance(value, bool):
        return value
    if value is not None:
        report.wrong_type((place, "sticky"), "a boolean", value)
    return False
