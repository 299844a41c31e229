"""``whichvariant explain``."""

from __future__ import annotations

import json

from cli_cases import NOW, READING, ndjson, profile

from whichvariant import Engine

BERLIN = profile("v-1", "Berlin")
LYON = profile("v-2", "Lyon", stableId="stable-2")


def test_text_and_json_are_the_engines(run, space):
    engine = Engine.load(space)
    explanation = engine.explain(BERLIN)
    text = run("explain", "--config", space, "--profile", "-", stdin=json.dumps(BERLIN))
    assert text.exit_code == 0, text.stderr
    assert text.stdout == str(explanation).rstrip("\n") + "\n"
    data = run("explain", "--config", space, "--profile", "-", "--json", stdin=json.dumps(BERLIN))
    assert json.loads(data.stdout) == json.loads(json.dumps(explanation.to_dict()))


def test_device_events_and_now_reach_the_engine(run, space, tmp_path):
    events = tmp_path / "events.json"
    events.write_text(json.dumps(READING))
    options = ["--device", "mobile", "--events", events, "--now", NOW, "--profile", "-"]
    result = run("explain", "--config", space, *options, stdin=json.dumps(LYON))
    engine = Engine.load(space)
    explanation = engine.explain(LYON, device="mobile", events=READING, now=NOW)
    assert result.stdout.rstrip("\n") == str(explanation).rstrip("\n")
    request = {"profile": LYON, "device": "mobile", "events": READING}
    own = run(
        "explain", "--config", space, "--now", NOW, "--profile", "-", stdin=json.dumps(request)
    )
    assert own.stdout == result.stdout


def test_an_id_picks_one_of_many(run, space, tmp_path):
    path = tmp_path / "visitors.ndjson"
    path.write_text(ndjson(BERLIN) + "{\n" + ndjson({"profile": LYON}))
    command = ["explain", "--config", space, "--profile", path]
    for identifier in ("v-2", "stable-2"):
        result = run(*command, "--profile-id", identifier)
        assert result.exit_code == 0
        assert result.stdout.rstrip("\n") == str(Engine.load(space).explain(LYON)).rstrip("\n")
    nobody = run(*command, "--profile-id", "v-9")
    assert nobody.exit_code == 2
    assert nobody.stderr == (
        f"whichvariant: {path}: no profile with the id 'v-9'; 1 line could not be read\n"
    )
    unpicked = run(*command)
    assert unpicked.exit_code == 2
    assert "--profile-id" in unpicked.stderr


def test_without_a_profile_the_program_is_listed(run, space):
    listing = Engine.load(space).explain_program()
    text = run("explain", "--config", space)
    assert text.exit_code == 0
    assert text.stdout.rstrip("\n") == str(listing).rstrip("\n")
    data = run("explain", "--config", space, "--json")
    assert json.loads(data.stdout) == json.loads(json.dumps(listing.to_dict()))


def test_an_id_without_profiles_is_usage(run, space):
    result = run("explain", "--config", space, "--profile-id", "v-1")
    assert result.exit_code == 2
    assert "--profile-id needs --profile" in result.stderr


def test_an_explanation_cannot_steer_the_terminal(run, space):
    visitor = json.dumps(profile("v\x1b[2J"))
    result = run("explain", "--config", space, "--profile", "-", stdin=visitor)
    assert result.exit_code == 0
    assert "v\\x1b[2J" in result.stdout
    assert "\x1b" not in result.stdout


def test_a_bad_profile_is_one_line(run, space):
    for text in ("{", "{}", "[]"):
        result = run("explain", "--config", space, "--profile", "-", stdin=text)
        assert result.exit_code == 2
        assert result.stderr.count("\n") == 1
