"""Made-up content: entries that embed each other, with experiences, variants and merge tags.

Links only lead to entries of a higher number, so a page of it can be rendered to its end. Some of
it is unusual on purpose: unpublished variants, hidden baselines, experiences of a wrong shape.
"""

from __future__ import annotations

from random import Random
from typing import Any

Json = Any

ENTRIES = 14

PROFILE: Json = {
    "id": "visitor",
    "stableId": "visitor",
    "audiences": [],
    "traits": {"first_name": "Zoë & <Anna>", "visits": 3, "zero": 0, "empty": "", "a": {"b": "ab"}},
    "location": {"city": "Köln", "continent": "EU"},
    "session": {"count": 12.5},
}

TAGS = [
    "traits.first_name", "traits_first_name", "traits_visits", "traits.zero", "traits.empty",
    "location.city", "location_city", "session.count", "traits_a_b", "traits.nothing", "", "_",
]  # fmt: skip


def link(identifier: str) -> Json:
    return {"sys": {"type": "Link", "linkType": "Entry", "id": identifier}}


def entry(identifier: str, kind: str, fields: Json) -> Json:
    """An entry as the Delivery API gives it."""
    content_type = {"sys": {"type": "Link", "linkType": "ContentType", "id": kind}}
    return {
        "metadata": {"tags": []},
        "sys": {"id": identifier, "type": "Entry", "revision": 1, "contentType": content_type},
        "fields": fields,
    }


class Graph:
    """One made-up page: ``entries`` flat with links, ``selected`` records, ``root`` the page."""

    def __init__(self, seed: int) -> None:
        self.source = Random(seed)
        self.entries: list[Json] = []
        self.selected: list[Json] = []
        self.root = "c0"
        self._experiences: list[str] = []
        for number in range(ENTRIES):
            self._content(number)

    def document(self) -> Json:
        """As a response of the Delivery API."""
        return {
            "sys": {"type": "Array"},
            "total": 1,
            "skip": 0,
            "limit": 100,
            "items": self.entries[:1],
            "includes": {"Entry": self.entries[1:]},
        }

    def _later(self, number: int) -> str:
        return f"c{self.source.randint(number + 1, ENTRIES - 1)}"

    def _content(self, number: int) -> None:
        source = self.source
        fields: Json = {"title": f"Title {number} & <more>"}
        made = entry(f"c{number}", source.choice(["hero", "teaser"]), fields)
        self.entries.append(made)
        if number < ENTRIES - 1:
            if source.random() < 0.6:
                fields["hero"] = link(self._later(number))
            if source.random() < 0.7:
                fields["sections"] = [
                    link(self._later(number)) for _ in range(source.randint(0, 3))
                ]
            if source.random() < 0.5:
                fields["body"] = self._rich_text(number)
            if source.random() < 0.2:
                fields["gone"] = link("unpublished")
        if source.random() < 0.7:
            fields["nt_experiences"] = [
                self._experience(number) for _ in range(source.randint(1, 3))
            ]

    def _rich_text(self, number: int) -> Json:
        source = self.source
        content: list[Json] = []
        for _ in range(source.randint(1, 4)):
            kind = source.choice(["text", "tag", "tag", "inline", "block"])
            if kind == "text":
                content.append({"nodeType": "text", "value": "some text", "marks": [], "data": {}})
                continue
            target = self._tag() if kind == "tag" else link(self._later(number))
            node = "embedded-entry-block" if kind == "block" else "embedded-entry-inline"
            content.append({"nodeType": node, "data": {"target": target}, "content": []})
        paragraph = {"nodeType": "paragraph", "data": {}, "content": content}
        return {"nodeType": "document", "data": {}, "content": [paragraph]}

    def _tag(self) -> Json:
        identifier = f"tag{len(self.entries)}"
        fields = {"nt_name": "A tag", "nt_mergetag_id": self.source.choice(TAGS)}
        if self.source.random() < 0.5:
            fields["nt_fallback"] = "a fallback"
        self.entries.append(entry(identifier, "nt_mergetag", fields))
        return link(identifier)

    def _experience(self, number: int) -> Json:
        """A new experience of this entry, or one that an earlier entry has as well."""
        source = self.source
        if self._experiences and source.random() < 0.2:
            return link(source.choice(self._experiences))
        identifier = f"e{len(self.entries)}"
        self._experiences.append(identifier)
        components = [self._component(number) for _ in range(source.randint(0, 3))]
        config = {
            "traffic": 1,
            "distribution": [0.5, 0.5],
            "components": components,
            "sticky": source.random() < 0.5,
        }
        fields: Json = {
            "nt_name": identifier,
            "nt_type": source.choice(["nt_experiment", "nt_personalization"]),
            "nt_experience_id": f"{identifier}-id",
            "nt_config": config,
        }
        used = [v["id"] for c in components for v in c["variants"] if v.get("id")]
        fields["nt_variants"] = [link(one) for one in dict.fromkeys(used)]
        self._audience(identifier, fields)
        self._oddity(fields)
        self.entries.append(entry(identifier, "nt_experience", fields))
        if source.random() < 0.7:
            record = {
                "experienceId": f"{identifier}-id",
                "variantIndex": source.choice([0, 1, 1, 1, 2, 2, 3, 7]),
                "variants": {},
            }
            if source.random() < 0.5:
                record["sticky"] = True
            self.selected.append(record)
        return link(identifier)

    def _component(self, number: int) -> Json:
        source = self.source
        if source.random() < 0.15:
            value = source.choice(["text", 4, True, {"an": ["object"]}])
            return {
                "type": "InlineVariable",
                "key": "key",
                "valueType": "String",
                "baseline": {"value": value},
                "variants": [{"value": value}],
            }
        if source.random() < 0.15:
            number = ENTRIES - 1
        component: Json = {
            "baseline": {"id": f"c{number}"},
            "variants": [self._variant(number) for _ in range(source.randint(0, 3))],
        }
        if source.random() < 0.6:
            component["type"] = "EntryReplacement"
        if source.random() < 0.1:
            component["baseline"]["hidden"] = source.choice([True, True, False])
        return component

    def _variant(self, number: int) -> Json:
        source = self.source
        kind = source.random()
        if kind < 0.15:
            return {"id": "", "hidden": True}
        if kind < 0.2:
            return {"id": ""}
        if kind < 0.35:
            return {"id": f"unpublished{source.randint(0, 2)}"}
        if number >= ENTRIES - 1:
            return {"id": "unpublished", "hidden": False}
        variant: Json = {"id": self._later(number)}
        if source.random() < 0.2:
            variant["hidden"] = source.choice([True, False])
        return variant

    def _audience(self, identifier: str, fields: Json) -> None:
        kind = self.source.random()
        if kind < 0.5:
            name = f"a-{identifier}"
            audience = {"nt_name": "Some", "nt_audience_id": f"{name}-id", "nt_rules": {"any": []}}
            self.entries.append(entry(name, "nt_audience", audience))
            fields["nt_audience"] = link(name)
        elif kind < 0.6:
            fields["nt_audience"] = link("unpublished-audience")
        elif kind < 0.7:
            fields["nt_audience"] = None

    def _oddity(self, fields: Json) -> None:
        """Mostly nothing; sometimes what makes an experience one that does not count."""
        source = self.source
        if source.random() < 0.75:
            return
        config = fields["nt_config"]
        odd = source.randrange(14)
        if odd < 4:
            name = source.choice(["nt_name", "nt_type", "nt_experience_id", "nt_variants"])
            if source.random() < 0.5:
                fields.pop(name)
            else:
                fields[name] = source.choice([None, 4, "something", ["a"], {}])
        elif odd < 7:
            name = source.choice(["distribution", "traffic", "components", "sticky"])
            if source.random() < 0.5:
                config.pop(name)
            else:
                # The judge stumbles over components that are no objects.
                wrong = [None, "something", 1, {}, True]
                config[name] = source.choice([*wrong, [1]] if name != "components" else wrong)
        elif odd == 7:
            fields["nt_config"] = source.choice([None, "a text", 4, []])
        elif odd == 8:
            fields.pop("nt_config")
        elif odd == 9:
            fields["nt_description"] = source.choice([None, "fine", 4])
        elif config["components"]:
            component = source.choice(config["components"])
            name = source.choice(["type", "baseline", "variants", "key", "valueType"])
            if source.random() < 0.3:
                component.pop(name, None)
            else:
                component[name] = source.choice(["Something", {"id": 4}, [{"id": "c9"}], "", 4])
