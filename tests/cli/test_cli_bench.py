"""``whichvariant bench``: that it measures the right thing; how long it takes is not tested."""

from __future__ import annotations

import json
import re
from random import Random

import pytest
from cli_cases import SPACE, ndjson, profile

from whichvariant import Engine
from whichvariant.cli.measuring import BenchVisitor, Ratio, Series, empty_calls, measure
from whichvariant.cli.pattern_sample import sample_of
from whichvariant.cli.synthetic_profiles import synthetic_visitors

WAYS = ["dict in, shared records", "dict in, fresh records", "bytes in, bytes out"]
QUICK = ["--seconds", "0.1", "--count", "20"]
NOW_MS = 1_793_534_400_000


def test_json_has_every_way_and_percentile(run, space):
    result = run("bench", "--config", space, *QUICK, "--json")
    assert result.exit_code == 0, result.stderr
    data = json.loads(result.stdout)
    assert data["format"] == "whichvariant-bench/1"
    assert data["configuration"]["digest"] == Engine.load(space).digest
    assert data["visitors"]["count"] == 20
    assert data["overhead"]["call_ns"] > 0
    assert list(data["ways"]) == WAYS
    for way in data["ways"].values():
        latency = way["latency_ns"]
        percentiles = [latency[name] for name in ("p50", "p90", "p99", "p99.9", "max")]
        assert percentiles == sorted(percentiles)
        assert way["best_ns"] <= way["per_call_ns"]
        assert way["per_second"] == pytest.approx(1e9 / way["per_call_ns"], rel=0.01)


def test_readable_output_fits_a_narrow_screen(run, space):
    result = run("bench", "--config", space, "--against", space, *QUICK, COLUMNS="60")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    measured = [line for line in lines if not line.startswith(str(space.parent))]
    assert max(len(line) for line in measured if str(space) not in line) <= 60
    for heading in ("Throughput", "Single calls", "Against"):
        assert any(line.startswith(heading) for line in lines)


def test_visitors_of_a_file_with_device_and_events(run, space, tmp_path):
    path = tmp_path / "visitors.ndjson"
    request = {"profile": profile("v-2"), "device": "mobile", "events": [{"type": "page"}]}
    path.write_text(ndjson(profile("v-1", "Berlin"), request, profile("v-3")))
    command = ["bench", "--config", space, "--profiles", path, "--seconds", "0.1", "--json"]
    assert json.loads(run(*command).stdout)["visitors"]["count"] == 3
    assert json.loads(run(*command, "--count", "2").stdout)["visitors"]["mean_events"] == 0.5
    silent = run(*command, "--count", "2", "--no-events")
    assert json.loads(silent.stdout)["visitors"]["mean_events"] == 0


def test_a_bad_visitor_ends_it_before_measuring(run, space, tmp_path):
    path = tmp_path / "visitors.ndjson"
    for line, place in (("{", f"{path}:2"), ("{}", "visitor 2")):
        path.write_text(ndjson(profile("v-1")) + line + "\n")
        result = run("bench", "--config", space, "--profiles", path, *QUICK)
        assert result.exit_code == 2
        assert place in result.stderr
        assert result.stdout == ""


def test_two_configurations_in_turns(run, space, tmp_path):
    other = tmp_path / "other.json"
    other.write_text(json.dumps({**SPACE, "experiences": SPACE["experiences"][:1]}))
    result = run("bench", "--config", space, "--against", other, *QUICK, "--json")
    assert result.exit_code == 0, result.stderr
    against = json.loads(result.stdout)["against"]
    assert against["configuration"]["digest"] == Engine.load(other).digest
    assert list(against["ratios"]) == WAYS
    for ratio in against["ratios"].values():
        assert 0 < ratio["low_quartile"] <= ratio["median"] <= ratio["high_quartile"]
        assert ratio["turns"] >= 5


def test_save_and_compare(run, space, tmp_path):
    saved = tmp_path / "result.json"
    assert run("bench", "--config", space, *QUICK, "--save", saved).exit_code == 0
    first = json.loads(saved.read_text())
    assert "compared" not in first
    command = ["bench", "--config", space, *QUICK, "--compare", saved]
    result = run(*command, "--json", "--save", saved)
    data = json.loads(result.stdout)
    compared = data["compared"]
    assert compared["file"] == str(saved)
    assert compared["differs"] == []
    machine = data["yardstick"]["per_call_ns"] / first["yardstick"]["per_call_ns"]
    assert compared["machine"] == pytest.approx(machine, abs=1e-3)
    for name in WAYS:
        ratio = data["ways"][name]["per_call_ns"] / first["ways"][name]["per_call_ns"]
        assert compared["ways"][name]["ratio"] == pytest.approx(ratio, abs=1e-3)
        adjusted = compared["ways"][name]["adjusted"]
        assert adjusted == pytest.approx(ratio / machine, rel=1e-2)
    assert json.loads(saved.read_text()).keys() == first.keys()
    other = run(*command, "--seed", "2")
    assert "not alike: other visitors" in other.stdout


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"format": "x"}', '{"format": "whichvariant-bench/1"}']
)
def test_what_is_no_result_is_one_line(run, space, tmp_path, content):
    path = tmp_path / "result.json"
    path.write_text(content)
    result = run("bench", "--config", space, *QUICK, "--compare", path)
    assert result.exit_code == 2
    assert str(path) in result.stderr
    assert result.stderr.count("\n") == 1


def test_usage_is_code_two(run, space):
    for extra in (["--seconds", "0"], ["--count", "0"], ["--compare", "/none"]):
        assert run("bench", "--config", space, *extra).exit_code == 2


def test_different_answers_are_not_measured(run, space, monkeypatch):
    wrong = b'{"audiences": [], "experiences": [], "changes": []}'
    monkeypatch.setattr(Engine, "select_json", lambda self, *args, **kwargs: wrong)
    result = run("bench", "--config", space, *QUICK)
    assert result.exit_code == 2
    assert "different answers" in result.stderr


# ---- the parts ----------------------------------------------------------------------------------


def test_rivals_have_equal_batches_and_every_call_has_its_turn():
    called = []
    calls = [lambda number=number: called.append(number) for number in range(400)]
    one, other = Series(calls), Series(calls)
    for series in (one, other):
        series.stride, series.passes = 4, 1
    for turn in range(4):
        one.batch(turn)
    assert sorted(called) == list(range(400))
    ratios = measure({"way": [one, other], "alone": [Series(calls)]}, 0.05, lambda done: None)
    assert list(ratios) == ["way"]
    assert (one.stride, one.passes) == (other.stride, other.passes)
    assert len(one.batches_ns) - 4 == len(other.batches_ns) == ratios["way"].turns


def test_ratio_is_the_middle_of_the_turns():
    ratio = Ratio.of([1.0, 1.1, 0.9, 50.0, 1.0])
    assert (ratio.median, ratio.low, ratio.high, ratio.turns) == (1.0, 1.0, 1.1, 5)


def test_empty_calls_take_what_real_ones_take():
    visitor = BenchVisitor(b"{}", {}, "mobile", [])
    assert [call() for call in empty_calls([visitor])] == [None]


def test_made_up_visitors_repeat_by_seed():
    configurations = [Engine.from_dict(SPACE).configuration]
    one = synthetic_visitors(configurations, 50, seed=1, now_ms=NOW_MS)
    assert one == synthetic_visitors(configurations, 50, seed=1, now_ms=NOW_MS)
    assert one != synthetic_visitors(configurations, 50, seed=2, now_ms=NOW_MS)
    assert len({visitor.profile["stableId"] for visitor in one}) == 50


def test_made_up_visitors_reach_every_audience_and_none_always():
    engine = Engine.from_dict(SPACE)
    visitors = synthetic_visitors([engine.configuration], 400, seed=3, now_ms=NOW_MS)
    counts = dict.fromkeys(["berliners", "phones", "readers"], 0)
    for visitor in visitors:
        selection = engine.select(
            visitor.profile, device=visitor.device, events=visitor.events, now=NOW_MS
        )
        for audience in selection.audiences:
            counts[audience] += 1
    assert all(20 <= count <= 380 for count in counts.values()), counts


def test_made_up_visitors_have_events_only_where_they_count():
    document = {**SPACE, "audiences": SPACE["audiences"][:2]}
    document["experiences"] = [SPACE["experiences"][0]]
    visitors = synthetic_visitors(
        [Engine.from_dict(document).configuration], 5, seed=1, now_ms=NOW_MS
    )
    assert all(visitor.events is None for visitor in visitors)


PATTERNS = [
    r"^https://(www\.)?(google|bing|duckduckgo)\.",
    r"^(?:foo|ba\.r)+\d{3}$",
    r"[a-c-]+x?y*.[^z]\w\s?[\d]",
    r"(?i)pro|(?P<name>team)",
    r"a{2}b{1,3}c+?",
    "",
]


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_find_their_samples(pattern):
    random = Random(1)
    for _ in range(50):
        sample = sample_of(pattern, random)
        assert re.search(pattern, sample), sample


@pytest.mark.parametrize(
    "pattern", ["(", "[", "[]", "\\", "a{", "a{,", ")", "(?", "a{9999999}", "[^", "|*"]
)
def test_odd_patterns_still_give_a_text(pattern):
    assert isinstance(sample_of(pattern, Random(1)), str)


RULES = [
    {"type": "identify", "key": "a", "operator": operator, "value": value}
    for operator, value in [
        ("equal", "x"),
        ("equal", True),
        ("notEqual", 5),
        ("in", ["a", "b", 3]),
        ("contains", "mid"),
        ("startsWith", "pre"),
        ("endsWith", "post"),
        ("matches", r"^(foo|ba\.r)+\d$"),
        ("greaterThan", 10),
        ("lessThanInclusive", 0.5),
        ("exists", None),
    ]
] + [
    {"type": "identify", "key": "a.b.c", "operator": "equal", "value": "deep"},
    {"type": "location", "key": "coordinates.latitude", "operator": "lessThan", "value": 0},
    {"type": "session", "key": "count", "operator": "greaterThan", "value": 3},
    {"type": "session", "key": "landingPage.query.utm", "operator": "equal", "value": "x"},
    {"type": "isReturningVisitor", "operator": "equal", "value": True},
    {"type": "track", "value": "Bought", "count": 3, "within": {"days": 30}},
    {"type": "screen", "value": "*"},
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: f"{rule['type']}-{rule.get('operator')}")
def test_every_kind_of_rule_can_be_met(rule):
    rules = {"any": [{"all": [rule]}, {"all": [{"not": {"all": [rule]}}, rule]}]}
    engine = Engine.from_dict(
        {"audiences": [{"nt_audience_id": "a", "nt_rules": rules}], "experiences": []}
    )
    visitors = synthetic_visitors([engine.configuration], 200, seed=1, now_ms=NOW_MS)
    met = sum(
        bool(
            engine.select(
                visitor.profile, device=visitor.device, events=visitor.events, now=NOW_MS
            ).audiences
        )
        for visitor in visitors
    )
    assert 0 < met < 200
