"""Small documents of every shape, for tests to vary. All content is invented."""

from __future__ import annotations

from typing import Any

from whichvariant.contracts import Experience, Finding, Rule
from whichvariant.errors import ConfigurationError
from whichvariant.loading import Document, Loaded, check_document, load_documents

Json = Any

LEAF: dict[str, Json] = {
    "type": "location",
    "key": "city",
    "operator": "equal",
    "value": "Berlin",
}
RULES: dict[str, Json] = {"any": [{"all": [LEAF]}]}
REPLACEMENT: dict[str, Json] = {
    "type": "EntryReplacement",
    "baseline": {"id": "entryA"},
    "variants": [{"id": "entryB", "hidden": False}],
}
VARIABLE: dict[str, Json] = {
    "type": "InlineVariable",
    "key": "headline",
    "valueType": "String",
    "baseline": {"value": "Hello"},
    "variants": [{"value": "Hallo"}],
}
CONFIG: dict[str, Json] = {
    "traffic": 1,
    "distribution": [0.5, 0.5],
    "sticky": False,
    "components": [REPLACEMENT, VARIABLE],
}


def without(fields: dict[str, Json]) -> dict[str, Json]:
    """The fields, less those that a test has set to ``...``."""
    return {name: value for name, value in fields.items() if value is not ...}


def audience(audience_id: Json = "berliners", **fields: Json) -> dict[str, Json]:
    return without({"nt_audience_id": audience_id, "nt_name": "A", "nt_rules": RULES, **fields})


def experience(experience_id: Json = "hero", **fields: Json) -> dict[str, Json]:
    defaults = {
        "nt_experience_id": experience_id,
        "nt_name": "E",
        "nt_type": "nt_experiment",
        "nt_audience": "berliners",
        "nt_config": CONFIG,
    }
    return without({**defaults, **fields})


def config(**fields: Json) -> dict[str, Json]:
    return without({**CONFIG, **fields})


def native(**lists: Json) -> dict[str, Json]:
    """A native document of one audience and one experience, unless told otherwise."""
    defaults = {
        "format": "whichvariant/1",
        "audiences": [audience()],
        "experiences": [experience()],
    }
    return without({**defaults, **lists})


def with_rules(rules: Json) -> dict[str, Json]:
    return native(audiences=[audience(nt_rules=rules)])


def with_leaf(**fields: Json) -> dict[str, Json]:
    return with_rules(without(fields))


def with_config(**fields: Json) -> dict[str, Json]:
    return native(experiences=[experience(nt_config=config(**fields))])


def with_component(**fields: Json) -> dict[str, Json]:
    return with_config(components=[without(fields)])


def link(entry_id: str, link_type: str = "Entry") -> dict[str, Json]:
    return {"sys": {"type": "Link", "linkType": link_type, "id": entry_id}}


def entry(kind: str, entry_id: str, fields: dict[str, Json], **sys: Json) -> dict[str, Json]:
    """A Contentful entry with flat fields, as the Delivery API has it."""
    defaults = {
        "type": "Entry",
        "id": entry_id,
        "space": link("space1", "Space"),
        "contentType": link(kind, "ContentType"),
        "publishedVersion": 3,
        "updatedAt": "2024-05-01T10:00:00.000Z",
    }
    return {"sys": without({**defaults, **sys}), "fields": fields}


def audience_entry(entry_id: str = "aud1", *, sys: Json = None, **fields: Json) -> dict[str, Json]:
    return entry("nt_audience", entry_id, audience(**fields), **(sys or {}))


def experience_entry(
    entry_id: str = "exp1", *, sys: Json = None, **fields: Json
) -> dict[str, Json]:
    fields = {"nt_audience": link("aud1"), **fields}
    return entry("nt_experience", entry_id, experience(**fields), **(sys or {}))


def merge_tag_entry(entry_id: str = "tag1", *, sys: Json = None, **fields: Json) -> dict[str, Json]:
    defaults = {"nt_mergetag_id": "traits.firstname", "nt_name": "T", "nt_fallback": "you"}
    return entry("nt_mergetag", entry_id, without({**defaults, **fields}), **(sys or {}))


def delivery(*items: Json, includes: Json = ()) -> dict[str, Json]:
    document = {"sys": {"type": "Array"}, "items": list(items)}
    return {**document, "includes": {"Entry": list(includes)}} if includes else document


def export(*entries: Json, locales: Json = None, code: str = "en-US") -> dict[str, Json]:
    """A space export of flat entries, whose fields are put under one locale."""
    keyed = [
        {**node, "fields": {name: {code: value} for name, value in node["fields"].items()}}
        for node in entries
    ]
    locales = [{"code": code, "default": True}] if locales is None else locales
    return without({"contentTypes": [], "entries": keyed, "locales": locales})


def documents(*contents: Json) -> list[Document]:
    """Documents named ``document 1``, ``document 2``, …"""
    return [
        check_document(content, f"document {number}") for number, content in enumerate(contents, 1)
    ]


def load(*contents: Json, strict: bool = True, locale: str | None = None) -> Loaded:
    return load_documents(documents(*contents), strict=strict, locale=locale)


def findings_of(*contents: Json) -> tuple[Finding, ...]:
    """All findings, whether or not the configuration is refused."""
    try:
        return load(*contents).findings
    except ConfigurationError as error:
        return error.findings


def errors_of(*contents: Json) -> list[tuple[str, str]]:
    """Code and path of each error."""
    return [
        (finding.code, finding.path)
        for finding in findings_of(*contents)
        if finding.severity == "error"
    ]


def warnings_of(*contents: Json) -> list[tuple[str, str]]:
    """Code and path of each warning."""
    return [
        (finding.code, finding.path)
        for finding in findings_of(*contents)
        if finding.severity == "warning"
    ]


def rule_of(rules: Json) -> Rule:
    """What `nt_rules` load as."""
    return load(with_rules(rules)).configuration.audiences[0].rule


def experience_of(**fields: Json) -> Experience:
    """The experience that an `nt_config` loads as."""
    return load(with_config(**fields)).configuration.experiences[0]


def ids(entities: Any) -> list[str]:
    return [entity.id for entity in entities]
