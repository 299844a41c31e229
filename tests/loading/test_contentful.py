"""Space exports and Delivery API responses: locales, drafts, links, paths."""

from __future__ import annotations

from typing import Any

import pytest

from loading.builders import (
    CONFIG,
    LEAF,
    RULES,
    audience,
    audience_entry,
    delivery,
    entry,
    errors_of,
    experience_entry,
    export,
    findings_of,
    ids,
    link,
    load,
    merge_tag_entry,
    native,
    warnings_of,
)
from whichvariant.errors import DocumentError

PAGE = entry("page", "p1", {"title": "not ours", "nt_experiences": [link("exp1")]})


class TestShapes:
    def test_all_shapes_say_the_same(self) -> None:
        entries = [audience_entry(), experience_entry(), merge_tag_entry()]
        tag = {"nt_mergetag_id": "traits.firstname", "nt_name": "T", "nt_fallback": "you"}
        expected = load(native(mergetags=[tag])).configuration
        assert load(export(*entries)).configuration == expected
        assert load(delivery(*entries)).configuration == expected
        assert load(delivery(entries[1], includes=entries)).configuration == expected
        assert load(*entries).configuration == expected
        assert load(delivery(entries[0]), export(*entries[1:])).configuration == expected

    def test_entries_of_other_types_are_ignored(self) -> None:
        asset = {"sys": {"type": "Asset", "id": "a"}, "fields": {}}
        gone = {"sys": {"type": "DeletedEntry", "id": "d"}}
        document = delivery(PAGE, asset, gone, includes=[audience_entry(), experience_entry()])
        loaded = load(document)
        assert ids(loaded.configuration.experiences) == ["hero"]
        assert loaded.findings == ()

    def test_paths_in_an_export(self) -> None:
        rules = {"any": [{"all": [{**LEAF, "operator": "like"}]}]}
        document = export(PAGE, audience_entry(nt_rules=rules), experience_entry())
        assert errors_of(document)[0] == (
            "unknown-operator",
            "entries[1].fields.nt_rules.any[0].all[0].operator",
        )

    def test_paths_in_a_response(self) -> None:
        config = {**CONFIG, "traffic": 2}
        document = delivery(experience_entry(nt_config=config), includes=[PAGE, audience_entry()])
        assert errors_of(document) == [("out-of-range", "items[0].fields.nt_config.traffic")]
        document = delivery(
            experience_entry(), includes=[PAGE, audience_entry(nt_rules={"any": 5})]
        )
        assert errors_of(document)[1] == ("wrong-type", "includes.Entry[1].fields.nt_rules.any")

    def test_paths_in_one_entry(self) -> None:
        assert errors_of(audience_entry(nt_rules=...)) == [("missing-rules", "fields.nt_rules")]

    def test_findings_name_their_source_and_subject(self) -> None:
        rules = {"any": [{"type": "x"}]}
        document = delivery(audience_entry(nt_audience_id="mine", nt_rules=rules))
        (finding,) = findings_of(native(), document)
        assert (finding.source, finding.subject) == ("document 2", "mine")
        assert str(finding) == (
            "error[unknown-rule-type] document 2: items[0].fields.nt_rules.any[0].type: "
            "unknown type 'x'"
        )


class TestMalformed:
    @pytest.mark.parametrize(
        ("node", "where"),
        [
            (5, ""),
            (None, ""),
            ([], ""),
            ({}, ".sys"),
            ({"sys": 5}, ".sys"),
            ({"sys": {}}, ".sys.contentType"),
            ({"sys": {"type": "Entry", "contentType": "nt_audience"}}, ".sys.contentType"),
            ({"sys": {"type": 5, "contentType": {"sys": {"id": 5}}}}, ".sys.contentType"),
        ],
    )
    def test_what_is_no_entry(self, node: Any, where: str) -> None:
        good = [audience_entry(), experience_entry()]
        for content, place in (
            ({**export(*good), "entries": [node, *export(*good)["entries"]]}, "entries[0]"),
            (delivery(node, *good), "items[0]"),
            (delivery(*good, includes=[node]), "includes.Entry[0]"),
        ):
            assert errors_of(content) == [("wrong-type", place + where)]
            loaded = load(content, strict=False)
            assert ids(loaded.configuration.experiences) == ["hero"]

    @pytest.mark.parametrize(("includes", "path"), [(5, ""), ([], ""), ({"Entry": {}}, ".Entry")])
    def test_includes(self, includes: Any, path: str) -> None:
        document = {**delivery(audience_entry(), experience_entry()), "includes": includes}
        assert errors_of(document) == [("malformed-document", f"includes{path}")]

    @pytest.mark.parametrize("includes", [None, {}, {"Entry": None}, {"Asset": 5}])
    def test_includes_without_entries(self, includes: Any) -> None:
        document = {**delivery(audience_entry(), experience_entry()), "includes": includes}
        assert findings_of(document) == ()

    @pytest.mark.parametrize("fields", [5, [], "x", None])
    def test_fields(self, fields: Any) -> None:
        node = {**audience_entry(), "fields": fields}
        (finding,) = findings_of(delivery(node))
        assert (finding.code, finding.path) == ("wrong-type", "items[0].fields")
        assert finding.subject == "aud1"
        assert errors_of(delivery(node, experience_entry()))[1:] == [
            ("audience-withheld", "items[1].fields.nt_audience")
        ]

    def test_no_fields_at_all(self) -> None:
        node = audience_entry()
        del node["fields"]
        assert errors_of(delivery(node)) == [("missing-rules", "items[0].fields.nt_rules")]

    @pytest.mark.parametrize("sys_id", [..., None, 5, ""])
    def test_sys_id(self, sys_id: Any) -> None:
        document = delivery(audience_entry(sys={"id": sys_id}))
        assert errors_of(document) == [("wrong-type", "items[0].sys.id")]

    def test_a_field_that_is_not_keyed_by_locale(self) -> None:
        document = export(audience_entry(), experience_entry())
        document["entries"][0]["fields"]["nt_name"] = "flat"
        assert errors_of(document)[0] == ("wrong-type", "entries[0].fields.nt_name")

    @pytest.mark.parametrize("space", [..., 5, {}, {"sys": {"id": 5}}])
    def test_an_unreadable_space_is_an_unknown_one(self, space: Any) -> None:
        document = delivery(audience_entry(sys={"space": space}), experience_entry())
        assert load(document).configuration.experiences[0].audience == "berliners"


class TestDrafts:
    @pytest.mark.parametrize(
        ("sys", "state"),
        [
            ({"publishedVersion": ...}, "a draft"),
            ({"publishedVersion": None, "publishedAt": None}, "a draft"),
            ({"archivedVersion": 4}, "archived"),
            ({"archivedAt": "2024-05-01T10:00:00Z"}, "archived"),
        ],
    )
    def test_are_not_served(self, sys: dict[str, Any], state: str) -> None:
        document = export(audience_entry(), experience_entry(sys=sys))
        loaded = load(document)
        assert loaded.configuration.experiences == ()
        assert [finding.code for finding in loaded.findings] == ["unused-audience"]
        document = export(audience_entry(sys=sys), experience_entry())
        (finding,) = findings_of(document)
        assert finding.code == "dangling-audience"
        assert finding.message == f"the entry 'aud1' is {state}"

    def test_published_by_its_time_alone(self) -> None:
        sys = {"publishedVersion": ..., "publishedAt": "2024-05-01T10:00:00Z"}
        document = export(audience_entry(sys=sys), experience_entry(sys=sys))
        assert findings_of(document) == ()

    def test_responses_hold_what_is_published(self) -> None:
        sys = {"publishedVersion": ...}
        document = delivery(audience_entry(sys=sys), experience_entry(sys=sys))
        assert findings_of(document) == ()

    def test_a_draft_that_is_broken_does_no_harm(self) -> None:
        broken = audience_entry("aud2", sys={"publishedVersion": ...}, nt_rules=5)
        document = export(audience_entry(), experience_entry(), broken)
        assert findings_of(document) == ()

    def test_unpublished_changes(self) -> None:
        sys = {"version": 7, "publishedVersion": 5}
        document = export(audience_entry(sys=sys), experience_entry())
        assert warnings_of(document) == [("unpublished-changes", "entries[0].sys.version")]
        sys = {"version": 6, "publishedVersion": 5}
        assert findings_of(export(audience_entry(sys=sys), experience_entry())) == ()


class TestLocales:
    LOCALES = (
        {"code": "en-US", "default": True, "fallbackCode": None},
        {"code": "de", "default": False, "fallbackCode": "de-AT"},
        {"code": "de-AT", "fallbackCode": "de"},
    )

    def export(self, names: dict[str, Any], locales: Any = LOCALES) -> dict[str, Any]:
        document = export(audience_entry(), experience_entry(), locales=locales)
        document["entries"][0]["fields"]["nt_name"] = names
        return document

    def name(self, document: dict[str, Any], locale: str | None = None) -> str:
        return load(document, locale=locale).configuration.audiences[0].name

    def test_the_default_locale(self) -> None:
        document = self.export({"de": "Berliner", "en-US": "Berliners"})
        assert self.name(document) == "Berliners"
        assert self.name(document, "en-US") == "Berliners"

    def test_the_locale_asked_for(self) -> None:
        assert self.name(self.export({"de": "Berliner", "en-US": "Berliners"}), "de") == "Berliner"

    def test_its_fallbacks(self) -> None:
        document = self.export({"de-AT": "Wiener", "en-US": "Berliners"})
        assert self.name(document, "de") == "Wiener"
        assert self.name(document, "de-AT") == "Wiener"

    def test_the_default_comes_last(self) -> None:
        assert self.name(self.export({"de": None, "en-US": "Berliners"}), "de") == "Berliners"

    def test_no_locale_has_it(self) -> None:
        assert self.name(self.export({"fr": "Berlinois"})) == ""
        assert self.name(self.export({})) == ""

    def test_responses_have_one_locale_already(self) -> None:
        document = delivery(audience_entry(), experience_entry())
        assert load(document, locale="xx") == load(document)
        assert load(native(), locale="xx") == load(native())

    def test_a_locale_that_the_export_does_not_have(self) -> None:
        with pytest.raises(DocumentError, match="no locale 'fr'; it has en-US, de, de-AT"):
            load(self.export({}), locale="fr")

    @pytest.mark.parametrize("locales", [None, ..., []])
    def test_an_export_without_locales_that_uses_one(self, locales: Any) -> None:
        document = export(audience_entry(), experience_entry(), code="de", locales=...)
        if locales is not ...:
            document["locales"] = locales
        assert load(document).configuration == load(native()).configuration
        assert load(document, locale="de").configuration == load(native()).configuration
        with pytest.raises(DocumentError, match="no locale 'fr'"):
            load(document, locale="fr")

    def test_an_export_without_locales_that_uses_several(self) -> None:
        document = self.export({"de": "Berliner", "en-US": "Berliners"}, locales=...)
        with pytest.raises(DocumentError, match="ask for one of de, en-US"):
            load(document)
        assert self.name(document, "en-US") == "Berliners"

    def test_an_export_without_our_entries(self) -> None:
        assert load(export(PAGE, locales=...)).configuration.experiences == ()
        assert load(export(locales=...), locale="de").configuration.experiences == ()

    def test_one_locale_needs_no_default(self) -> None:
        document = export(audience_entry(), experience_entry(), locales=[{"code": "en-US"}])
        assert findings_of(document) == ()

    def test_several_locales_need_one(self) -> None:
        document = self.export({}, locales=[{"code": "en-US"}, {"code": "de"}])
        with pytest.raises(DocumentError, match="ask for one of en-US, de"):
            load(document)

    @pytest.mark.parametrize(
        ("locales", "path"),
        [
            (5, "locales"),
            ({}, "locales"),
            ([5], "locales[0]"),
            ([{}], "locales[0].code"),
            ([{"code": 5}], "locales[0].code"),
            ([{"code": "a"}, {"code": "b", "fallbackCode": 5}], "locales[1].fallbackCode"),
        ],
    )
    def test_malformed(self, locales: Any, path: str) -> None:
        with pytest.raises(DocumentError) as caught:
            load(self.export({}, locales=locales))
        assert (caught.value.source, caught.value.path) == ("document 1", path)


class TestLinks:
    def audience_of(self, *contents: Any) -> str | None:
        return load(*contents).configuration.experiences[0].audience

    def test_name_the_entry_and_not_the_audience(self) -> None:
        document = delivery(audience_entry("aud1", nt_audience_id="other"), experience_entry())
        assert self.audience_of(document) == "other"
        trap = audience_entry("aud2", nt_audience_id="aud1")
        assert self.audience_of(delivery(*document["items"], trap)) == "other"
        assert errors_of(delivery(trap, experience_entry())) == [
            ("dangling-audience", "items[1].fields.nt_audience")
        ]

    def test_reach_into_other_documents(self) -> None:
        assert self.audience_of(delivery(experience_entry()), export(audience_entry())) == (
            "berliners"
        )

    def test_do_not_reach_native_audiences(self) -> None:
        documents = (native(audiences=[audience("aud1")], experiences=[]), experience_entry())
        assert errors_of(*documents) == [("dangling-audience", "fields.nt_audience")]

    def test_stay_in_their_space(self) -> None:
        other = audience_entry(
            nt_audience_id="elsewhere", sys={"space": link("space2", "Space")}, nt_rules=LEAF
        )
        document = delivery(audience_entry(), other, experience_entry())
        assert self.audience_of(document) == "berliners"
        assert errors_of(delivery(other, experience_entry())) == [
            ("dangling-audience", "items[1].fields.nt_audience")
        ]

    def test_of_an_experience_without_a_space(self) -> None:
        nowhere = experience_entry(sys={"space": ...})
        assert self.audience_of(delivery(audience_entry(), nowhere)) == "berliners"
        other = audience_entry(nt_audience_id="elsewhere", sys={"space": link("space2", "Space")})
        assert errors_of(delivery(audience_entry(), other, nowhere)) == [
            ("dangling-audience", "items[2].fields.nt_audience")
        ]

    def test_a_text_is_an_audience_id(self) -> None:
        document = delivery(audience_entry(), experience_entry(nt_audience="berliners"))
        assert self.audience_of(document) == "berliners"
        document = delivery(audience_entry(), experience_entry(nt_audience="aud1"))
        assert errors_of(document) == [("dangling-audience", "items[1].fields.nt_audience")]

    def test_a_native_link_is_an_audience_id(self) -> None:
        document = native()
        document["experiences"][0]["nt_audience"] = link("berliners")
        assert self.audience_of(document) == "berliners"

    def test_short_links(self) -> None:
        document = delivery(audience_entry(), experience_entry(nt_audience={"sys": {"id": "aud1"}}))
        assert self.audience_of(document) == "berliners"

    @pytest.mark.parametrize(
        "value",
        [
            5,
            True,
            [],
            {},
            {"sys": 5},
            {"sys": {}},
            {"sys": {"id": 5}},
            link("aud1", "Asset"),
            {"sys": {"id": "aud1", "type": "Entry"}},
            {"sys": {"id": "aud1", "type": 5}},
        ],
    )
    def test_what_is_no_link(self, value: Any) -> None:
        document = delivery(audience_entry(), experience_entry(nt_audience=value))
        assert errors_of(document) == [("wrong-type", "items[1].fields.nt_audience")]

    @pytest.mark.parametrize("value", ["", "nobody"])
    def test_dangling_ids(self, value: str) -> None:
        document = native()
        document["experiences"][0]["nt_audience"] = value
        assert errors_of(document) == [("dangling-audience", "experiences[0].nt_audience")]


class TestIds:
    def test_the_entry_stands_in(self) -> None:
        document = export(
            audience_entry(nt_audience_id=...), experience_entry(nt_experience_id=None)
        )
        loaded = load(document)
        assert ids(loaded.configuration.audiences) == ["aud1"]
        assert ids(loaded.configuration.experiences) == ["exp1"]
        assert loaded.configuration.experiences[0].audience == "aud1"
        assert [(f.code, f.path, f.subject) for f in loaded.findings] == [
            ("entry-id-used", "entries[0].fields.nt_audience_id", "aud1"),
            ("entry-id-used", "entries[1].fields.nt_experience_id", "exp1"),
        ]

    def test_not_for_merge_tags(self) -> None:
        assert errors_of(delivery(merge_tag_entry(nt_mergetag_id=...))) == [
            ("missing-id", "items[0].fields.nt_mergetag_id")
        ]

    @pytest.mark.parametrize(("value", "code"), [("", "invalid-id"), (5, "wrong-type")])
    def test_not_for_a_faulty_id(self, value: Any, code: str) -> None:
        document = delivery(audience_entry(nt_audience_id=value), experience_entry())
        assert errors_of(document) == [
            (code, "items[0].fields.nt_audience_id"),
            ("audience-withheld", "items[1].fields.nt_audience"),
        ]

    def test_not_in_native_documents(self) -> None:
        document = native(audiences=[{"nt_rules": RULES}], experiences=[{"nt_type": "x"}])
        assert ("missing-id", "audiences[0].nt_audience_id") in errors_of(document)
        assert ("missing-id", "experiences[0].nt_experience_id") in errors_of(document)
