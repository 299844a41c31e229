"""Several sources: repetitions, revisions, duplicates, and what non-strict loading withholds."""

from __future__ import annotations

from typing import Any

import pytest

from loading.builders import (
    CONFIG,
    LEAF,
    audience,
    audience_entry,
    config,
    delivery,
    errors_of,
    experience,
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
from whichvariant.errors import ConfigurationError
from whichvariant.loading import loader

OLD, NEW = {"updatedAt": "2024-01-01T00:00:00Z"}, {"updatedAt": "2024-01-01T00:00:00.001Z"}


class TestRepetitions:
    def test_count_once(self) -> None:
        again = delivery(experience_entry(), includes=[audience_entry(), audience_entry()])
        loaded = load(native(), again, export(audience_entry(), experience_entry()), again)
        assert loaded.configuration == load(native()).configuration
        assert loaded.findings == ()

    def test_whatever_their_extras_and_spelling(self) -> None:
        other = experience(nt_config=config(traffic=1.0, primaryMetric="m", sticky=None))
        assert findings_of(native(), native(experiences=[other])) == ()

    def test_say_their_findings_once(self) -> None:
        document = native(experiences=[experience(nt_type=...)])
        assert warnings_of(document, document) == [("missing-type", "experiences[0].nt_type")]
        broken = native(audiences=[audience(nt_rules={"any": 5})], experiences=[])
        assert errors_of(broken, broken) == [("wrong-type", "audiences[0].nt_rules.any")]

    def test_entries_of_one_id_and_content(self) -> None:
        document = delivery(audience_entry("aud1"), audience_entry("aud2"), experience_entry())
        assert findings_of(document) == ()
        both = [experience_entry(), experience_entry("exp2", nt_audience=link("aud2"))]
        assert findings_of(delivery(audience_entry("aud1"), audience_entry("aud2"), *both)) == ()

    def test_merge_tags_of_one_id_and_content(self) -> None:
        document = delivery(merge_tag_entry("a"), merge_tag_entry("b"))
        assert len(load(document).configuration.merge_tags) == 1
        assert findings_of(document) == ()


class TestRevisions:
    @pytest.mark.parametrize("newest_first", [False, True])
    def test_the_latest_counts(self, newest_first: bool) -> None:
        old = delivery(audience_entry(sys=OLD, nt_name="old"), experience_entry())
        new = delivery(audience_entry(sys=NEW, nt_name="new"), experience_entry())
        sources = [new, old] if newest_first else [old, new]
        loaded = load(*sources)
        assert loaded.configuration.audiences[0].name == "new"
        (finding,) = loaded.findings
        assert (finding.severity, finding.code) == ("warning", "older-revision")
        assert (finding.path, finding.subject) == ("items[0].fields", "berliners")
        older, newer = (2, 1) if newest_first else (1, 2)
        assert finding.source == f"document {older}"
        assert f"document {newer}: items[0].fields" in finding.message

    def test_of_equal_content_are_repetitions(self) -> None:
        document = delivery(audience_entry(sys=OLD), audience_entry(sys=NEW), experience_entry())
        assert findings_of(document) == ()

    def test_an_old_error_does_not_matter(self) -> None:
        old = audience_entry(sys=OLD, nt_rules={"any": 5})
        new = audience_entry(sys=NEW)
        loaded = load(delivery(old, new, experience_entry()))
        assert [finding.code for finding in loaded.findings] == ["older-revision"]

    def test_a_new_error_does(self) -> None:
        old, new = audience_entry(sys=OLD), audience_entry(sys=NEW, nt_rules={"any": 5})
        document = delivery(old, new, experience_entry())
        assert errors_of(document) == [
            ("wrong-type", "items[1].fields.nt_rules.any"),
            ("audience-withheld", "items[2].fields.nt_audience"),
        ]
        assert load(document, strict=False).configuration.audiences == ()

    def test_may_change_the_id(self) -> None:
        old = audience_entry(sys=OLD, nt_audience_id="old")
        new = audience_entry(sys=NEW, nt_audience_id="new")
        loaded = load(delivery(new, old, experience_entry()))
        assert ids(loaded.configuration.audiences) == ["new"]
        assert loaded.configuration.experiences[0].audience == "new"

    def test_three_of_them(self) -> None:
        entries = [
            audience_entry(sys={"updatedAt": f"2024-01-0{day}T00:00:00+02:00"}, nt_name=name)
            for day, name in ((1, "a"), (3, "a"), (2, "b"))
        ]
        loaded = load(delivery(*entries, experience_entry()))
        assert loaded.configuration.audiences[0].name == "a"
        assert [finding.path for finding in loaded.findings] == ["items[2].fields"]

    @pytest.mark.parametrize(
        "times",
        [("2024-01-01T00:00:00Z", "2024-01-01T01:00:00+01:00"), (None, None), (5, []), ("x", "y")],
    )
    def test_of_one_time_are_duplicates(self, times: tuple[Any, Any]) -> None:
        entries = [
            audience_entry(sys={"updatedAt": time}, nt_name=str(number))
            for number, time in enumerate(times)
        ]
        document = delivery(*entries, experience_entry())
        assert errors_of(document) == [
            ("duplicate-audience", "items[1].fields"),
            ("audience-withheld", "items[2].fields.nt_audience"),
        ]

    def test_a_time_without_an_offset_is_utc(self) -> None:
        old = audience_entry(sys={"updatedAt": "2024-01-01T00:30:00+01:00"}, nt_name="old")
        new = audience_entry(sys={"updatedAt": "2024-01-01T00:00:00"}, nt_name="new")
        loaded = load(delivery(new, old, experience_entry()))
        assert loaded.configuration.audiences[0].name == "new"

    def test_only_in_one_space(self) -> None:
        other = audience_entry(sys={**NEW, "space": link("space2", "Space")}, nt_name="other")
        document = delivery(audience_entry(sys=OLD), other, experience_entry())
        assert errors_of(document)[0] == ("duplicate-audience", "items[1].fields")


class TestDuplicates:
    def test_audiences(self) -> None:
        other = native(audiences=[audience(nt_rules=LEAF)], experiences=[])
        (withheld, finding) = findings_of(native(), other)
        assert (withheld.code, withheld.path) == ("audience-withheld", "experiences[0].nt_audience")
        assert (finding.code, finding.source) == ("duplicate-audience", "document 2")
        assert (finding.path, finding.subject) == ("audiences[0]", "berliners")
        assert "document 1: audiences[0]" in finding.message

    def test_experiences(self) -> None:
        document = native(experiences=[experience(), experience(nt_name="other")])
        assert errors_of(document) == [("duplicate-experience", "experiences[1]")]

    def test_experiences_that_differ_in_their_audience(self) -> None:
        document = native(experiences=[experience(), experience(nt_audience=None)])
        assert errors_of(document) == [("duplicate-experience", "experiences[1]")]

    def test_merge_tags(self) -> None:
        document = delivery(merge_tag_entry("a"), merge_tag_entry("b", nt_fallback="friend"))
        assert errors_of(document) == [("duplicate-mergetag", "items[1].fields")]
        assert load(document, strict=False).configuration.merge_tags == ()

    def test_true_is_not_1(self) -> None:
        component = {"type": "InlineVariable", "key": "k", "baseline": {"value": 1}, "variants": []}
        other = {**component, "baseline": {"value": True}}
        document = native(
            experiences=[
                experience(nt_config={**CONFIG, "components": [one]}) for one in (component, other)
            ]
        )
        assert errors_of(document) == [("duplicate-experience", "experiences[1]")]

    def test_one_of_them_broken(self) -> None:
        document = native(audiences=[audience(), audience(nt_rules=...)])
        assert errors_of(document) == [
            ("missing-rules", "audiences[1].nt_rules"),
            ("duplicate-audience", "audiences[1]"),
            ("audience-withheld", "experiences[0].nt_audience"),
        ]
        assert load(document, strict=False).configuration.audiences == ()

    def test_many_are_found_in_linear_time(self) -> None:
        audiences = [audience(nt_name=str(number)) for number in range(3_000)]
        assert len(errors_of(native(audiences=audiences, experiences=[]))) == 2_999

    def test_ids_that_differ_in_case_do_not_collide(self) -> None:
        document = native(audiences=[audience("a"), audience("A")], experiences=[])
        assert ids(load(document).configuration.audiences) == ["A", "a"]


class TestStrictness:
    BROKEN = native(
        audiences=[audience("good"), audience("bad", nt_rules={"any": 5})],
        experiences=[
            experience("e1", nt_audience="good"),
            experience("e2", nt_audience="bad"),
            experience("e3", nt_audience=None),
            experience("e4", nt_audience="good", nt_config={"traffic": 2}),
            experience("e5", nt_audience="gone"),
        ],
        mergetags=[{"nt_mergetag_id": "a"}, {"nt_mergetag_id": "b", "nt_name": 5}],
    )

    def test_strict_refuses_the_whole(self) -> None:
        with pytest.raises(ConfigurationError) as caught:
            load(self.BROKEN)
        assert [finding.code for finding in caught.value.findings] == [
            "wrong-type",
            "audience-withheld",
            "out-of-range",
            "dangling-audience",
            "wrong-type",
        ]
        assert "audiences[1].nt_rules.any" in str(caught.value)

    def test_otherwise_what_is_at_fault_is_withheld(self) -> None:
        loaded = load(self.BROKEN, strict=False)
        assert ids(loaded.configuration.audiences) == ["good"]
        assert ids(loaded.configuration.experiences) == ["e1", "e3"]
        assert ids(loaded.configuration.merge_tags) == ["a"]
        with pytest.raises(ConfigurationError) as caught:
            load(self.BROKEN)
        assert loaded.findings == caught.value.findings

    def test_findings_are_about_their_entries(self) -> None:
        loaded = load(self.BROKEN, strict=False)
        assert [finding.subject for finding in loaded.findings] == ["bad", "e2", "e4", "e5", "b"]

    def test_warnings_refuse_nothing(self) -> None:
        document = native(experiences=[experience(nt_audience=None, nt_type=None)])
        assert [finding.code for finding in load(document).findings] == [
            "unused-audience",
            "missing-type",
        ]

    def test_a_faulty_experience_uses_its_audience(self) -> None:
        document = native(experiences=[experience(nt_config={"traffic": 2})])
        findings = load(document, strict=False).findings
        assert [finding.code for finding in findings] == ["out-of-range"]

    @pytest.mark.parametrize(
        ("changed", "code", "path"),
        [
            ({"scheme": "md5"}, "unknown-scheme", "scheme"),
            ({"scheme": 5}, "unknown-scheme", "scheme"),
            ({"scheme": []}, "unknown-scheme", "scheme"),
            ({"audiences": 5}, "malformed-document", "audiences"),
            ({"experiences": {}}, "malformed-document", "experiences"),
            ({"mergetags": "x"}, "malformed-document", "mergetags"),
        ],
    )
    def test_what_concerns_the_whole_is_always_refused(
        self, changed: dict[str, Any], code: str, path: str
    ) -> None:
        for strict in (True, False):
            with pytest.raises(ConfigurationError) as caught:
                load(native(**changed), strict=strict)
            assert (code, path) in [(f.code, f.path) for f in caught.value.findings]

    def test_an_entry_that_is_no_object(self) -> None:
        document = native(audiences=[5, audience()], experiences=[None, experience()])
        assert errors_of(document) == [
            ("wrong-type", "audiences[0]"),
            ("wrong-type", "experiences[0]"),
        ]
        assert ids(load(document, strict=False).configuration.experiences) == ["hero"]


class TestSchemes:
    def test_murmur3_is_the_default(self) -> None:
        assert load(native()).configuration.scheme == "murmur3"
        assert load(native(scheme=None)).configuration.scheme == "murmur3"
        assert load(delivery(audience_entry())).configuration.scheme == "murmur3"

    def test_the_one_that_is_named_counts(self) -> None:
        entries = delivery(audience_entry(), experience_entry())
        for sources in ((native(scheme="xxh64"), entries), (entries, native(scheme="xxh64"))):
            assert load(*sources).configuration.scheme == "xxh64"
        assert load(native(), native(scheme="xxh64")).configuration.scheme == "xxh64"

    def test_different_ones_conflict(self) -> None:
        (finding,) = findings_of(native(scheme="xxh64"), native(scheme="murmur3"))
        assert (finding.code, finding.path) == ("scheme-conflict", "scheme")
        assert "document 1" in finding.message
        assert "document 2" in finding.message


class TestLimits:
    def test_are_those_of_the_docs(self) -> None:
        assert loader.MAX_AUDIENCES == loader.MAX_EXPERIENCES == 65_535

    @pytest.mark.parametrize("strict", [True, False])
    def test_of_the_whole(self, strict: bool, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(loader, "MAX_AUDIENCES", 2)
        monkeypatch.setattr(loader, "MAX_EXPERIENCES", 2)
        two = native(
            audiences=[audience("a"), audience("b"), audience("a")],
            experiences=[experience(name, nt_audience="a") for name in "aba"],
        )
        load(two, two)
        for name, third in (
            ("audiences", native(audiences=[audience("c")], experiences=[])),
            ("experiences", native(experiences=[experience("c", nt_audience="a")])),
        ):
            with pytest.raises(ConfigurationError) as caught:
                load(two, third, strict=strict)
            assert f"too-many-{name}" in [finding.code for finding in caught.value.findings]


def test_entities_are_ordered_as_the_api_orders_ids() -> None:
    names = ["b", "B", "a", "1TF5", "1lNQ", "1hTt", "ä", "Z"]
    document = native(
        audiences=[audience(name) for name in names],
        experiences=[experience(name, nt_audience="a") for name in names],
        mergetags=[{"nt_mergetag_id": name} for name in names],
    )
    loaded = load(document).configuration
    expected = ["1hTt", "1lNQ", "1TF5", "a", "B", "b", "Z", "ä"]
    assert ids(loaded.audiences) == ids(loaded.experiences) == ids(loaded.merge_tags) == expected
