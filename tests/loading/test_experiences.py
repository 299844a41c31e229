"""`nt_config` to contracts: traffic, distribution, components, merge tags (SEMANTICS section 2)."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loading.builders import (
    REPLACEMENT,
    VARIABLE,
    errors_of,
    experience,
    experience_of,
    load,
    native,
    warnings_of,
    with_component,
    with_config,
)
from whichvariant.contracts import EntryReplacement, InlineVariable, MergeTag, Segment
from whichvariant.loading.distributions import segments_of, shares_of

CONFIG = "experiences[0].nt_config"
COMPONENT = f"{CONFIG}.components[0]"


class TestExperience:
    def test_everything(self) -> None:
        document = native(
            experiences=[
                experience(
                    nt_description="D",
                    nt_type="nt_personalization",
                    nt_config={
                        "traffic": 0.25,
                        "distribution": [0.5, 0.5],
                        "sticky": True,
                        "components": [REPLACEMENT, VARIABLE],
                        "primaryMetric": "m",
                        "scatteredDistribution": [{"a": 1}],
                    },
                )
            ]
        )
        (loaded,) = load(document).configuration.experiences
        assert (loaded.id, loaded.name, loaded.description) == ("hero", "E", "D")
        assert (loaded.audience, loaded.type) == ("berliners", "nt_personalization")
        assert (loaded.traffic, loaded.sticky) == (0.25, True)
        assert loaded.distribution == (Segment(0, 0.0, 0.5), Segment(1, 0.5, 1.0))
        assert loaded.components == (
            EntryReplacement("entryA", ("entryB",)),
            InlineVariable("headline", "String", "Hello", ("Hallo",)),
        )
        assert loaded.extras == {"primaryMetric": "m", "scatteredDistribution": [{"a": 1}]}

    @pytest.mark.parametrize("value", [None, ...])
    def test_defaults_of_the_sdk(self, value: Any) -> None:
        loaded = experience_of(traffic=value, distribution=value, sticky=value, components=value)
        assert (loaded.traffic, loaded.sticky, loaded.components) == (0.0, False, ())
        assert loaded.distribution == (Segment(0, 0.0, 0.5), Segment(1, 0.5, 1.0))

    @pytest.mark.parametrize("value", [None, ...])
    def test_without_a_config(self, value: Any) -> None:
        document = native(experiences=[experience(nt_config=value)])
        (loaded,) = load(document).configuration.experiences
        assert (loaded.traffic, loaded.sticky, loaded.components) == (0.0, False, ())
        assert loaded.distribution == (Segment(0, 0.0, 0.5), Segment(1, 0.5, 1.0))
        assert warnings_of(document) == [("missing-config", CONFIG)]

    @pytest.mark.parametrize("value", [None, ...])
    def test_for_everyone(self, value: Any) -> None:
        document = native(audiences=[], experiences=[experience(nt_audience=value)])
        assert load(document).configuration.experiences[0].audience is None

    def test_numbers_become_doubles(self) -> None:
        loaded = experience_of(traffic=1, distribution=[0, 1])
        assert type(loaded.traffic) is float
        assert all(type(part.end) is float for part in loaded.distribution)

    @pytest.mark.parametrize("traffic", [-0.1, 1.1, 2, -1])
    def test_traffic_out_of_range(self, traffic: float) -> None:
        assert errors_of(with_config(traffic=traffic)) == [("out-of-range", f"{CONFIG}.traffic")]

    @pytest.mark.parametrize("traffic", [True, "1", [], {}])
    def test_traffic_that_is_no_number(self, traffic: Any) -> None:
        assert errors_of(with_config(traffic=traffic)) == [("wrong-type", f"{CONFIG}.traffic")]

    @pytest.mark.parametrize("traffic", [0, 0.0, -0.0, None])
    def test_no_traffic(self, traffic: Any) -> None:
        assert warnings_of(with_config(traffic=traffic)) == [("zero-traffic", f"{CONFIG}.traffic")]


class TestShares:
    @pytest.mark.parametrize(
        "shares",
        [[0.33, 0.33, 0.34], [1 / 3] * 3, [0.3333333333333333] * 3, [0.333] * 3, [0, 1], [1]],
    )
    def test_sums_of_about_1(self, shares: list[float]) -> None:
        components = [{**REPLACEMENT, "variants": [{"id": "x"}] * 2}]
        assert not warnings_of(with_config(distribution=shares, components=components))

    @pytest.mark.parametrize("shares", [[0.33] * 3, [0.5, 0.4], [0.5, 0.6], [0, 0], [1, 1], []])
    def test_other_sums(self, shares: list[float]) -> None:
        components = [{**REPLACEMENT, "variants": [{"id": "x"}] * 2}]
        document = with_config(distribution=shares, components=components)
        assert warnings_of(document) == [("shares-sum", f"{CONFIG}.distribution")]

    @settings(deadline=None)
    @given(st.lists(st.floats(0, 1), max_size=12))
    def test_boundaries_are_fresh_sums_from_the_left(self, shares: list[float]) -> None:
        segments = segments_of(shares)
        for index, segment in enumerate(segments):
            start, end = 0.0, 0.0
            for share in shares[:index]:
                start = start + share
            for share in shares[: index + 1]:
                end = end + share
            assert segment == Segment(index, start, end)

    def test_a_third_has_its_own_last_bits(self) -> None:
        components = [{**REPLACEMENT, "variants": [{"id": "x"}] * 2}]
        loaded = experience_of(distribution=[0.1, 0.2, 0.7], components=components)
        assert [part.end for part in loaded.distribution] == [0.1, 0.30000000000000004, 1.0]

    @settings(deadline=None)
    @given(st.lists(st.floats(0, 1) | st.sampled_from([0.1, 1 / 3, 1e-17, 5e-324]), max_size=40))
    def test_shares_can_be_restored(self, shares: list[float]) -> None:
        segments = segments_of(shares)
        restored = shares_of(segments)
        assert restored is not None
        assert segments_of(restored) == segments
        assert all(0 <= share <= 1 for share in restored)

    @pytest.mark.parametrize(
        ("shares", "code", "index"),
        [
            ([0.5, 1.5], "out-of-range", 1),
            ([-0.5, 1], "out-of-range", 0),
            ([0.5, True], "wrong-type", 1),
            (["0.5", 0.5], "wrong-type", 0),
            ([0.5, None], "wrong-type", 1),
            ([0.5, {"index": 1, "start": 0.5, "end": 1}], "wrong-type", 1),
            ([[], 1], "wrong-type", 0),
        ],
    )
    def test_what_is_no_share(self, shares: list[Any], code: str, index: int) -> None:
        document = with_config(distribution=shares)
        assert errors_of(document) == [(code, f"{CONFIG}.distribution[{index}]")]

    @pytest.mark.parametrize("distribution", ["even", 5, {}, True])
    def test_what_is_no_list(self, distribution: Any) -> None:
        document = with_config(distribution=distribution)
        assert errors_of(document) == [("wrong-type", f"{CONFIG}.distribution")]

    def test_more_shares_than_variants(self) -> None:
        document = with_config(distribution=[0.5, 0.25, 0.25])
        assert warnings_of(document) == [("more-shares-than-variants", f"{CONFIG}.distribution")]
        assert not warnings_of(with_config(distribution=[0.5, 0.25, 0.25], components=[]))

    def test_256_shares(self) -> None:
        document = with_config(distribution=[1 / 256] * 256, components=[])
        assert load(document).configuration.experiences[0].highest_index == 255
        document = with_config(distribution=[1 / 257] * 257, components=[])
        assert errors_of(document) == [("too-many-variants", f"{CONFIG}.distribution")]


class TestSegments:
    SCATTERED = (
        {"index": 0, "start": 0, "end": 0.3},
        {"index": 1, "start": 0.3, "end": 0.8},
        {"index": 0, "start": 0.8, "end": 1},
    )

    def test_are_taken_as_they_are(self) -> None:
        loaded = experience_of(distribution=list(self.SCATTERED))
        assert loaded.distribution == (
            Segment(0, 0.0, 0.3),
            Segment(1, 0.3, 0.8),
            Segment(0, 0.8, 1.0),
        )
        assert not warnings_of(with_config(distribution=list(self.SCATTERED)))

    def test_an_index_may_be_spelt_as_a_double(self) -> None:
        loaded = experience_of(distribution=[{"index": 1.0, "start": 0, "end": 1}])
        assert type(loaded.distribution[0].index) is int

    def test_ends_may_exceed_1_by_rounding(self) -> None:
        segment = {"index": 1, "start": 0, "end": 1.0000000000000002}
        assert experience_of(distribution=[segment]).distribution[0].end == 1.0000000000000002

    @pytest.mark.parametrize(
        ("changed", "code", "where"),
        [
            ({"end": 1.1}, "out-of-range", ".end"),
            ({"start": -0.1}, "out-of-range", ".start"),
            ({"start": 0.9, "end": 0.1}, "reversed-segment", ""),
            ({"index": -1}, "out-of-range", ".index"),
            ({"index": 0.5}, "out-of-range", ".index"),
            ({"index": True}, "wrong-type", ".index"),
            ({"index": "1"}, "wrong-type", ".index"),
            ({"index": None}, "wrong-type", ".index"),
            ({"start": None}, "wrong-type", ".start"),
            ({"end": "1"}, "wrong-type", ".end"),
        ],
    )
    def test_faults(self, changed: dict[str, Any], code: str, where: str) -> None:
        segments = [*self.SCATTERED, {"index": 1, "start": 0, "end": 1} | changed]
        document = with_config(distribution=segments)
        assert errors_of(document) == [(code, f"{CONFIG}.distribution[3]{where}")]

    @pytest.mark.parametrize("item", [0.5, None, []])
    def test_segments_and_shares_do_not_mix(self, item: Any) -> None:
        document = with_config(distribution=[self.SCATTERED[0], item])
        assert errors_of(document) == [("wrong-type", f"{CONFIG}.distribution[1]")]

    @pytest.mark.parametrize("index", [256, 1e300])
    def test_indices_end_at_255(self, index: float) -> None:
        segment = {"index": index, "start": 0, "end": 1}
        document = with_config(distribution=[segment], components=[])
        assert errors_of(document) == [("too-many-variants", f"{CONFIG}.distribution")]

    @pytest.mark.parametrize(
        "segments",
        [
            [(0, 0.0, 0.5)],
            [(0, 0.1, 1.0)],
            [(0, 0.0, 0.4), (1, 0.5, 1.0)],
            [(1, 0.5, 1.0), (0, 0.0, 0.4)],
        ],
    )
    def test_gaps(self, segments: list[tuple[int, float, float]]) -> None:
        distribution = [{"index": i, "start": s, "end": e} for i, s, e in segments]
        document = with_config(distribution=distribution)
        assert warnings_of(document) == [("segment-gap", f"{CONFIG}.distribution")]

    def test_overlaps_are_no_gaps(self) -> None:
        segments = [{"index": 0, "start": 0, "end": 0.7}, {"index": 1, "start": 0.2, "end": 1}]
        assert not warnings_of(with_config(distribution=segments))

    @settings(deadline=None)
    @given(st.lists(st.floats(0, 1), min_size=1, max_size=5))
    def test_shares_are_only_restored_where_they_are_exact(self, ends: list[float]) -> None:
        segments = tuple(Segment(i, min(e, 0.5), max(e, 0.5)) for i, e in enumerate(ends))
        restored = shares_of(segments)
        assert restored is None or segments_of(restored) == segments
        assert shares_of((Segment(1, 0.0, 1.0),)) is None


class TestEntryReplacements:
    @pytest.mark.parametrize("kind", ["EntryReplacement", None, ...])
    def test_also_without_a_type(self, kind: Any) -> None:
        document = with_component(**{**REPLACEMENT, "type": kind})
        (component,) = load(document).configuration.experiences[0].components
        assert component == EntryReplacement("entryA", ("entryB",))

    def test_the_empty_variant(self) -> None:
        variants = [{"id": ""}, {"id": "", "hidden": True}, {"hidden": True}, {"id": "x"}]
        document = with_component(**{**REPLACEMENT, "variants": variants})
        (component,) = load(document).configuration.experiences[0].components
        assert component.variants == ("", "", "", "x")
        assert not warnings_of(document)

    def test_a_hidden_variant_is_empty(self) -> None:
        variants = [{"id": "x", "hidden": True}]
        document = with_component(**{**REPLACEMENT, "variants": variants})
        (component,) = load(document).configuration.experiences[0].components
        assert component.variants == ("",)
        assert warnings_of(document) == [("hidden-variant-id", f"{COMPONENT}.variants[0].id")]

    @pytest.mark.parametrize("component", [REPLACEMENT, VARIABLE])
    def test_a_hidden_baseline_is_skipped_whole(self, component: dict[str, Any]) -> None:
        hidden = {**component, "baseline": {"hidden": True}, "variants": "whatever"}
        assert experience_of(components=[hidden, VARIABLE]).components == (
            InlineVariable("headline", "String", "Hello", ("Hallo",)),
        )

    def test_two_of_one_baseline(self) -> None:
        other = {**REPLACEMENT, "variants": [{"id": "other"}]}
        document = with_config(components=[REPLACEMENT, VARIABLE, other])
        assert len(load(document).configuration.experiences[0].components) == 3
        path = f"{CONFIG}.components[2].baseline.id"
        assert warnings_of(document) == [("duplicate-baseline", path)]

    @pytest.mark.parametrize(
        ("changed", "code", "where"),
        [
            ({"type": "Other"}, "unknown-component-type", ".type"),
            ({"type": 5}, "wrong-type", ".type"),
            ({"baseline": ...}, "missing-baseline", ".baseline"),
            ({"baseline": None}, "missing-baseline", ".baseline"),
            ({"baseline": "entryA"}, "wrong-type", ".baseline"),
            ({"baseline": {}}, "missing-baseline", ".baseline.id"),
            ({"baseline": {"id": ""}}, "missing-baseline", ".baseline.id"),
            ({"baseline": {"id": 5}}, "wrong-type", ".baseline.id"),
            ({"baseline": {"id": "x" * 1025}}, "invalid-id", ".baseline.id"),
            ({"baseline": {"id": "x", "hidden": 1}}, "wrong-type", ".baseline.hidden"),
            ({"variants": ...}, "missing-variants", ".variants"),
            ({"variants": {}}, "wrong-type", ".variants"),
            ({"variants": [None]}, "wrong-type", ".variants[0]"),
            ({"variants": [{}]}, "missing-variant-id", ".variants[0].id"),
            ({"variants": [{"id": None}]}, "missing-variant-id", ".variants[0].id"),
            ({"variants": [{"id": 5}]}, "wrong-type", ".variants[0].id"),
            ({"variants": [{"id": "x" * 1025}]}, "invalid-id", ".variants[0].id"),
            ({"variants": [{"id": "x", "hidden": "no"}]}, "wrong-type", ".variants[0].hidden"),
            ({"variants": [{"id": "x"}] * 256}, "too-many-variants", ".variants"),
        ],
    )
    def test_faults(self, changed: dict[str, Any], code: str, where: str) -> None:
        document = with_component(**{**REPLACEMENT, **changed})
        assert errors_of(document) == [(code, COMPONENT + where)]

    def test_255_variants(self) -> None:
        document = with_component(**{**REPLACEMENT, "variants": [{"id": "x"}] * 255})
        assert load(document).configuration.experiences[0].highest_index == 255


class TestInlineVariables:
    @pytest.mark.parametrize(
        ("value_type", "values", "others"),
        [
            ("String", ["", "x"], [5, True, None, [], {}]),
            ("Number", [0, 1.5, -3], ["5", True, None, [], {}]),
            ("Boolean", [True, False], ["true", 0, 1, None, [], {}]),
            ("Object", [{}, {"a": [1]}], ["{}", 0, True, None, [], [{}]]),
        ],
    )
    def test_values_are_of_their_type(
        self, value_type: str, values: list[Any], others: list[Any]
    ) -> None:
        for value in values:
            node = {**VARIABLE, "valueType": value_type, "baseline": {"value": value}}
            document = with_component(**{**node, "variants": [{"value": value}]})
            (component,) = load(document).configuration.experiences[0].components
            assert component == InlineVariable("headline", value_type, value, (value,))
        for other in others:
            node = {**VARIABLE, "valueType": value_type, "baseline": {"value": values[0]}}
            document = with_component(**{**node, "variants": [{"value": other}]})
            path = f"{COMPONENT}.variants[0].value"
            assert errors_of(document) == [("value-type-mismatch", path)]
            node = {**VARIABLE, "valueType": value_type, "baseline": {"value": other}}
            document = with_component(**{**node, "variants": []})
            path = f"{COMPONENT}.baseline.value"
            assert errors_of(document) == [("value-type-mismatch", path)]

    @pytest.mark.parametrize("value_type", [None, ...])
    def test_without_a_type_anything_goes(self, value_type: Any) -> None:
        variants = [{"value": None}, {"value": 5}, {"value": [{}]}]
        node = {**VARIABLE, "valueType": value_type, "variants": variants}
        (component,) = load(with_component(**node)).configuration.experiences[0].components
        assert component == InlineVariable("headline", None, "Hello", (None, 5, [{}]))
        assert warnings_of(with_component(**node))[0] == (
            "missing-value-type",
            f"{COMPONENT}.valueType",
        )

    def test_a_variant_without_a_value_repeats_the_baseline(self) -> None:
        node = {**VARIABLE, "variants": [{}, {"value": "x"}]}
        (component,) = load(with_component(**node)).configuration.experiences[0].components
        assert component.variants == ("Hello", "x")

    @pytest.mark.parametrize(
        ("changed", "code", "where"),
        [
            ({"key": ...}, "missing-key", ".key"),
            ({"key": ""}, "missing-key", ".key"),
            ({"key": 5}, "wrong-type", ".key"),
            ({"valueType": "string"}, "unknown-value-type", ".valueType"),
            ({"valueType": 5}, "wrong-type", ".valueType"),
            ({"baseline": ...}, "missing-baseline", ".baseline"),
            ({"baseline": {}}, "missing-baseline", ".baseline.value"),
            ({"baseline": []}, "wrong-type", ".baseline"),
            ({"variants": ...}, "missing-variants", ".variants"),
            ({"variants": ["Hallo"]}, "wrong-type", ".variants[0]"),
        ],
    )
    def test_faults(self, changed: dict[str, Any], code: str, where: str) -> None:
        document = with_component(**{**VARIABLE, **changed})
        assert errors_of(document) == [(code, COMPONENT + where)]


class TestComponents:
    @pytest.mark.parametrize(("value", "where"), [(5, ""), ({}, ""), ([5], "[0]"), ([None], "[0]")])
    def test_shapes(self, value: Any, where: str) -> None:
        document = with_config(components=value)
        assert errors_of(document) == [("wrong-type", f"{CONFIG}.components{where}")]

    def test_1_000_components(self) -> None:
        components = [{**REPLACEMENT, "baseline": {"id": f"b{n}"}} for n in range(1_001)]
        assert len(experience_of(components=components[:1_000]).components) == 1_000
        document = with_config(components=components)
        assert errors_of(document) == [("too-many-components", f"{CONFIG}.components")]

    def test_components_times_variants(self) -> None:
        """Every variant's answer lists every component, so their product is what costs memory."""
        variants = [{"id": f"v{n}"} for n in range(255)]
        components = [
            {**REPLACEMENT, "baseline": {"id": f"b{n}"}, "variants": variants} for n in range(257)
        ]
        assert len(experience_of(components=components[:256]).components) == 256
        document = with_config(components=components)
        assert errors_of(document) == [("too-many-replacements", f"{CONFIG}.components")]

    def test_512_segments(self) -> None:
        segments = [{"index": n % 2, "start": n / 512, "end": (n + 1) / 512} for n in range(512)]
        assert len(experience_of(distribution=segments).distribution) == 512
        document = with_config(distribution=[*segments, {"index": 0, "start": 1, "end": 1}])
        assert errors_of(document) == [("too-many-segments", f"{CONFIG}.distribution")]


class TestMergeTags:
    def test_everything(self) -> None:
        tags = [
            {"nt_mergetag_id": "traits.name", "nt_name": "Name", "nt_fallback": "you"},
            {"nt_mergetag_id": "location.city", "nt_fallback": None},
        ]
        loaded = load(native(mergetags=tags)).configuration.merge_tags
        assert loaded == (MergeTag("location.city"), MergeTag("traits.name", "Name", "you"))

    @pytest.mark.parametrize("name", ["nt_name", "nt_fallback"])
    def test_texts_are_texts(self, name: str) -> None:
        tag = {"nt_mergetag_id": "a", name: 5}
        assert errors_of(native(mergetags=[tag])) == [("wrong-type", f"mergetags[0].{name}")]


class TestIds:
    def test_are_1_to_1024_utf_16_code_units(self) -> None:
        for good in ("x", "x" * 1024, "🎈" * 512, " "):
            assert not errors_of(native(experiences=[experience(good)]))
        for bad in ("", "x" * 1025, "🎈" * 512 + "x", "🎈" * 1024):
            assert errors_of(native(experiences=[experience(bad)])) == [
                ("invalid-id", "experiences[0].nt_experience_id")
            ]


def test_a_sum_of_many_shares_is_no_compensated_sum() -> None:
    shares = [0.1] * 10
    assert math.fsum(shares) == 1.0
    assert segments_of(shares)[-1].end == 0.9999999999999999
