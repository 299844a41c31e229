"""``whichvariant lint``."""

from __future__ import annotations

import json

from whichvariant import Engine

OPERATOR = "audiences[0].nt_rules.any[0].all[0].operator"


def test_a_clean_configuration(run, space):
    result = run("lint", space)
    assert result.exit_code == 0
    assert result.stdout == "nothing found in 1 file\n"
    assert result.stderr == ""


def test_findings_stand_under_their_file(run, broken_space):
    result = run("lint", broken_space)
    assert result.exit_code == 1
    assert result.stdout.splitlines() == [
        str(broken_space),
        f"  error    {OPERATOR}  unknown operator 'resembles' [unknown-operator]",
        (
            "  warning  audiences[1].nt_rules.any[1].all              "
            "an empty all matches everybody [empty-group]"
        ),
        (
            "  error    experiences[0].nt_audience                    "
            "the audience 'berliners' has errors itself [audience-withheld]"
        ),
        "",
        "2 errors, 1 warning in 1 file",
    ]


def test_a_narrow_screen_puts_messages_below(run, broken_space):
    lines = run("lint", broken_space, COLUMNS="60").stdout.splitlines()
    assert lines[1:3] == [
        f"  error    {OPERATOR}",
        "           unknown operator 'resembles' [unknown-operator]",
    ]
    assert max(map(len, lines[1:])) <= 60


def test_json_has_findings_counts_and_digest(run, broken_space):
    result = run("lint", broken_space, "--json")
    assert result.exit_code == 1
    data = json.loads(result.stdout)
    assert list(data) == ["findings", "counts", "digest"]
    assert data["counts"] == {"errors": 2, "warnings": 1}
    assert data["digest"] == Engine.load(broken_space, strict=False).digest
    assert data["findings"][0] == {
        "severity": "error",
        "code": "unknown-operator",
        "message": "unknown operator 'resembles'",
        "path": OPERATOR,
        "source": str(broken_space),
        "subject": "berliners",
    }


def test_errors_only_leaves_warnings_out(run, broken_space, tmp_path):
    result = run("lint", broken_space, "--errors-only")
    assert result.exit_code == 1
    assert "warning  " not in result.stdout
    assert result.stdout.endswith("2 errors, 0 warnings in 1 file\n")


def test_fail_on_says_what_counts(run, space, tmp_path):
    document = json.loads(space.read_text())
    document["audiences"][0]["nt_rules"]["any"].append({"any": []})
    doubtful = tmp_path / "doubtful.json"
    doubtful.write_text(json.dumps(document))
    assert run("lint", doubtful).exit_code == 1
    assert run("lint", doubtful, "--fail-on", "error").exit_code == 0
    assert run("lint", doubtful, "--errors-only").exit_code == 0
    assert "1 warning" in run("lint", doubtful, "--fail-on", "error").stdout


def test_several_files_are_one_configuration(run, space, broken_space, tmp_path):
    copy = tmp_path / "copy.json"
    document = json.loads(space.read_text())
    document["experiences"][0]["nt_name"] = "Another hero"
    copy.write_text(json.dumps(document))
    result = run("lint", space, copy)
    assert result.exit_code == 1
    assert "hero" in result.stdout
    assert result.stdout.endswith("in 2 files\n")


def test_unreadable_is_code_two(run, space, tmp_path):
    result = run("lint", space, tmp_path / "none.json")
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "none.json" in result.stderr
    assert run("lint").exit_code == 2
