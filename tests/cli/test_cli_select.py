"""``whichvariant select``."""

from __future__ import annotations

import json

import pytest
from cli_cases import NOW, READING, SPACE, ndjson, profile

BERLIN = profile("v-1", "Berlin")
LYON = profile("v-2", "Lyon")


def answer(result):
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def chosen(data):
    return {record["experienceId"]: record["variantIndex"] for record in data["experiences"]}


def test_json_is_the_data_object_of_the_api(run, space):
    result = run("select", "--config", space, "--json", stdin=json.dumps(BERLIN))
    assert answer(result) == {
        "profile": {**BERLIN, "audiences": ["berliners"]},
        "experiences": [
            {"experienceId": "footer", "variantIndex": 0, "variants": {"footerOld": "footerOld"}},
            {
                "experienceId": "hero",
                "variantIndex": 1,
                "variants": {"heroDefault": "heroBerlin"},
                "sticky": True,
            },
        ],
        "changes": [
            {
                "key": "headline",
                "type": "Variable",
                "value": "Moin",
                "meta": {"experienceId": "hero", "variantIndex": 1},
            }
        ],
    }
    assert result.stdout.startswith('{\n  "profile": {\n    "id": "v-1",')
    assert result.stderr == ""


def test_readable_output_names_what_is_shown(run, space):
    result = run("select", "--config", space, "--device", "mobile", stdin=json.dumps(BERLIN))
    assert result.exit_code == 0
    assert result.stdout == (
        "v-1  Berlin, DE · visit 3 · mobile\n"
        "  audiences  Berliners · Phones\n"
        "  Footer           baseline        footerOld stays\n"
        "  Hero for Berlin  variant 1 of 1  heroDefault → heroBerlin\n"
        '                                   headline = "Moin"  sticky\n'
        "  Big buttons      variant 1 of 1  px = 20\n"
    )


def test_narrow_output_puts_what_is_shown_below(run, space):
    result = run("select", "--config", space, stdin=json.dumps(BERLIN), COLUMNS="50")
    assert result.stdout == (
        "v-1  Berlin, DE · visit 3\n"
        "  audiences  Berliners\n"
        "  Footer           baseline\n"
        "    footerOld stays\n"
        "  Hero for Berlin  variant 1 of 1  sticky\n"
        "    heroDefault → heroBerlin\n"
        '    headline = "Moin"\n'
    )


@pytest.mark.parametrize("how", [[], ["--profile"], ["--profile", "-"]])
def test_standard_input_is_the_default(run, space, how):
    result = run("select", "--config", space, *how, "--json", stdin=json.dumps(BERLIN))
    assert answer(result)["profile"]["id"] == "v-1"


def test_a_profile_that_spans_lines_is_one_profile(run, space, tmp_path):
    path = tmp_path / "profile.json"
    path.write_text("\ufeff\n" + json.dumps(BERLIN, indent=2) + "\n\n")
    data = answer(run("select", "--config", space, "--profile", path, "--json"))
    assert chosen(data) == {"footer": 0, "hero": 1}


@pytest.mark.parametrize(
    "wrap",
    [
        lambda request: {"data": {"profile": request}, "error": None, "message": "ok"},
        lambda request: {"profile": request, "experiences": [], "changes": []},
        lambda request: {"profile": request, "device": None, "events": None},
    ],
)
def test_envelopes_and_requests_are_profiles(run, space, wrap):
    data = answer(run("select", "--config", space, "--json", stdin=json.dumps(wrap(BERLIN))))
    assert data["profile"] == {**BERLIN, "audiences": ["berliners"]}


def test_own_output_is_input(run, space):
    first = run("select", "--config", space, "--json", stdin=json.dumps(BERLIN))
    second = run("select", "--config", space, "--json", stdin=first.stdout)
    assert answer(second) == answer(first)


def test_device_and_events_of_the_input_win(run, space, tmp_path):
    events = tmp_path / "events.json"
    events.write_text(json.dumps(READING))
    options = ["--config", space, "--device", "mobile", "--events", events, "--now", NOW, "--json"]
    plain = answer(run("select", *options, stdin=json.dumps(LYON)))
    assert chosen(plain) == {"banner": 2, "footer": 0, "phone": 1}
    request = {"profile": LYON, "device": "desktop", "events": []}
    own = answer(run("select", *options, stdin=json.dumps(request)))
    assert chosen(own) == {"footer": 0}


@pytest.mark.parametrize(
    "text", [json.dumps(READING), json.dumps({"events": READING}), ndjson(*READING)]
)
def test_events_come_in_three_forms(run, space, tmp_path, text):
    events = tmp_path / "events"
    events.write_text(text)
    options = ["--config", space, "--events", events, "--json"]
    lately = answer(run("select", *options, "--now", NOW, stdin=json.dumps(LYON)))
    assert chosen(lately) == {"banner": 2, "footer": 0}
    later = answer(run("select", *options, "--now", "2027-01-01T00:00Z", stdin=json.dumps(LYON)))
    assert chosen(later) == {"footer": 0}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not JSON"),
        ("3", "expected a list of events"),
        ('[{"type": 3}]', "events[0]"),
        ('{"type": "page"}\n{', "not every line is JSON"),
    ],
)
def test_bad_events_are_nobodys_line(run, space, tmp_path, text, reason):
    events = tmp_path / "events"
    events.write_text(text)
    result = run("select", "--config", space, "--events", events, stdin=ndjson(BERLIN, LYON))
    assert result.exit_code == 2
    assert reason in result.stderr
    assert result.stderr.count("\n") == 1


def test_now_is_iso_or_milliseconds(run, space, tmp_path):
    events = tmp_path / "events"
    events.write_text(json.dumps(READING))
    for now in (NOW, "2026-11-01T13:00:00+01:00", "2026-11-01", "1793534400000"):
        options = ["--config", space, "--events", events, "--now", now, "--json"]
        assert "banner" in chosen(answer(run("select", *options, stdin=json.dumps(LYON))))
    for now in ("yesterday", "20261101", "2026-11-31", "9" * 4):
        result = run("select", "--config", space, "--now", now, stdin=json.dumps(LYON))
        assert result.exit_code == 2
        assert "ISO 8601" in result.stderr


def test_given_audiences_are_trusted(run, space):
    given = profile("v-3", "Lyon", audiences=["berliners"])
    data = answer(
        run("select", "--config", space, "--audiences", "given", "--json", stdin=json.dumps(given))
    )
    assert chosen(data) == {"footer": 0, "hero": 1}


def test_ndjson_gives_ndjson(run, space):
    result = run("select", "--config", space, "--json", stdin=ndjson(BERLIN, LYON, BERLIN))
    assert result.exit_code == 0
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [line["profile"]["id"] for line in lines] == ["v-1", "v-2", "v-1"]
    assert list(lines[0]) == ["profile", "experiences", "changes"]


def test_one_line_can_be_declared_ndjson(run, space):
    result = run("select", "--config", space, "--json", "--ndjson", stdin=ndjson(BERLIN))
    assert result.exit_code == 0
    assert result.stdout.count("\n") == 1


def test_many_readable_blocks_end_with_totals(run, space):
    result = run("select", "--config", space, stdin=ndjson(BERLIN, LYON))
    first, *blocks, last = result.stdout.rstrip("\n").split("\n\n")
    assert first.startswith("4 experiences · 3 audiences · murmur3 · ")
    assert [block.split()[0] for block in blocks] == ["v-1", "v-2"]
    assert last == "2 visitors: 3 experiences selected, 1 on a variant; 1 inline change"


BAD_LINES = [
    ("{", "not JSON"),
    ("[]", "expected a profile, not a list; write one profile a line"),
    ('"v-1"', "expected a profile, not a text"),
    ("{}", "stableId"),
    ('{"profile": 3}', "profile: expected an object, not a number"),
    ('{"data": {}}', "data: a response without a profile"),
    ('{"profile": {"stableId": "v"}, "evnts": []}', "evnts: a request has only"),
    ('{"profile": {"stableId": "v"}, "device": 3}', "device: expected a text"),
    ('{"profile": {"stableId": "v"}, "events": {}}', "events: expected a list, not an object"),
    ('{"profile": {"stableId": "v"}, "events": [3]}', "events[0]"),
]


@pytest.mark.parametrize(("line", "reason"), BAD_LINES)
def test_a_bad_line_is_reported_and_the_run_goes_on(run, space, tmp_path, line, reason):
    path = tmp_path / "visitors.ndjson"
    path.write_text(ndjson(BERLIN) + "\n" + line + "\n" + ndjson(LYON))
    result = run("select", "--config", space, "--profile", path, "--json")
    assert result.exit_code == 1
    assert [json.loads(text)["profile"]["id"] for text in result.stdout.splitlines()] == [
        "v-1",
        "v-2",
    ]
    report, totals = result.stderr.splitlines()
    assert report.startswith(f"whichvariant: {path}:3: ")
    assert reason in report
    assert totals == "whichvariant: 1 line of 3 could not be selected"


@pytest.mark.parametrize(("line", "reason"), BAD_LINES)
def test_a_bad_single_profile_is_an_error(run, space, line, reason):
    result = run("select", "--config", space, stdin=line)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith("whichvariant: <stdin>: ")
    assert reason in result.stderr
    assert result.stderr.count("\n") == 1


def test_a_bad_first_line_does_not_hide_the_others(run, space):
    result = run("select", "--config", space, "--json", stdin="{\n" + ndjson(BERLIN, LYON))
    assert result.exit_code == 1
    assert result.stdout.count("\n") == 2
    assert "<stdin>:1: not JSON" in result.stderr


def test_fail_fast_stops_at_the_first_bad_line(run, space):
    text = ndjson(BERLIN) + "{\n" + ndjson(LYON)
    result = run("select", "--config", space, "--json", "--fail-fast", stdin=text)
    assert result.exit_code == 1
    assert result.stdout.count("\n") == 1
    assert "<stdin>:2: not JSON" in result.stderr


def test_broken_json_over_several_lines_names_the_line(run, space):
    result = run("select", "--config", space, stdin='{\n\n  "id": "v",\n  "x": }\n')
    assert result.exit_code == 2
    assert "line 4" in result.stderr


def test_nothing_is_no_profile(run, space):
    result = run("select", "--config", space, stdin=" \n\n")
    assert result.exit_code == 2
    assert result.stderr == "whichvariant: <stdin>: no profile, the input is empty\n"


def test_unreadable_files_are_one_line(run, space, tmp_path):
    for arguments in (
        ["--config", tmp_path / "none.json"],
        ["--config", space, "--profile", tmp_path / "none.json"],
        ["--config", space, "--events", tmp_path / "none.json"],
        ["--config", tmp_path],
    ):
        result = run("select", *arguments, stdin=json.dumps(BERLIN))
        assert result.exit_code == 2
        assert result.stderr.count("\n") == 1
        assert str(tmp_path) in result.stderr


def test_usage_is_code_two(run, space):
    assert run("select").exit_code == 2
    assert run("select", "--config", space, "--device", "fridge").exit_code == 2
    assert run("select", "--config", space, "--frobnicate").exit_code == 2


def test_a_configuration_with_errors_is_refused_unless_lenient(run, broken_space):
    strict = run("select", "--config", broken_space, stdin=json.dumps(BERLIN))
    assert strict.exit_code == 2
    assert strict.stdout == ""
    assert strict.stderr.count("\n") == 1
    assert "2 errors: the first: " in strict.stderr
    assert "audiences[0].nt_rules.any[0].all[0].operator" in strict.stderr
    lenient = run(
        "select", "--config", broken_space, "--lenient", "--json", stdin=json.dumps(BERLIN)
    )
    assert chosen(answer(lenient)) == {"footer": 0, "phone": 1}
    assert "left out" in lenient.stderr


def test_configurations_merge(run, tmp_path):
    halves = []
    for key in ("audiences", "experiences"):
        halves += ["--config", tmp_path / f"{key}.json"]
        (tmp_path / f"{key}.json").write_text(
            json.dumps({"format": "whichvariant/1", key: SPACE[key]})
        )
    data = answer(run("select", *halves, "--json", stdin=json.dumps(BERLIN)))
    assert chosen(data) == {"footer": 0, "hero": 1}


def test_a_compiled_program_answers_the_same(run, space, tmp_path):
    program = tmp_path / "space.program"
    assert run("compile", space, "-o", program).exit_code == 0
    for form in ([], ["--json"]):
        one = run("select", "--config", space, *form, stdin=ndjson(BERLIN, LYON))
        other = run("select", "--config", program, *form, stdin=ndjson(BERLIN, LYON))
        assert one.exit_code == 0
        assert one.stdout == other.stdout


def test_names_cannot_steer_the_terminal(run, tmp_path):
    document = json.loads(json.dumps(SPACE))
    document["experiences"][2]["nt_name"] = "Foo\x1b[31m\nter"
    path = tmp_path / "space.json"
    path.write_text(json.dumps(document))
    visitor = profile("v\x1b[2J\u202e", "Ber\x07lin")
    result = run("select", "--config", path, stdin=json.dumps(visitor))
    assert result.exit_code == 0
    assert "Foo\\x1b[31m\\nter" in result.stdout
    assert result.stdout.startswith("v\\x1b[2J\\u202e  Ber\\x07lin, DE")
    assert "\x1b" not in result.stdout
