"""The group, its help, and the small parts that commands share."""

from __future__ import annotations

import io
import json
import os

import click
import pytest

from whichvariant import ConfigurationError, DocumentError, EventError, Finding, __version__
from whichvariant._core.hashing import simd_level, supported_simd_levels
from whichvariant.cli import main as main_module
from whichvariant.cli.inputs import ProfileSource, read_events
from whichvariant.cli.main import cli
from whichvariant.cli.messages import one_line
from whichvariant.cli.options import instant
from whichvariant.cli.terminal import Progress, Screen, columns_of, pad, plural, printable

COMMANDS = [
    "select",
    "explain",
    "lint",
    "compile",
    "convert",
    "digest",
    "serve",
    "replay",
    "generate",
    "combinations",
    "bench",
]


def test_version(run):
    result = run("--version")
    assert result.exit_code == 0
    facts = json.loads(run("--version", "--json").stdout)
    assert facts["version"] == __version__
    assert facts["build"] in {"release", "debug", "sanitize"}
    assert facts["simd"] == simd_level()
    assert facts["simdSupported"] == list(supported_simd_levels())
    assert result.stdout == (
        f"whichvariant {__version__}, {facts['build']} build, {simd_level()},"
        f" {facts['python']}, {facts['platform']}\n"
    )


def test_json_without_anything_to_print(run):
    result = run("--json")
    assert result.exit_code == 2
    assert "--json goes with --version" in result.stderr


def test_help_lists_the_commands_in_order_of_use(run):
    result = run("--help")
    assert result.exit_code == 0
    lines = result.stdout.split("Commands:\n")[1].split("\n\n")[0].splitlines()
    assert [line.split()[0] for line in lines] == [*COMMANDS, "profiles", "store", "completion"]
    assert not any(line.endswith("...") for line in result.stdout.splitlines()[1:])
    assert "Exit codes: 0 done" in result.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example_and_exit_codes(run, command):
    result = run(command, "--help")
    assert result.exit_code == 0
    assert f"  Example:  whichvariant {command} " in result.stdout
    assert "  Exit codes: 0 " in result.stdout
    assert "2 usage" in result.stdout
    assert result.stdout == run(command, "-h").stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_examples_are_real(run, command):
    """Every option in an example exists."""
    example = next(line for line in run(command, "-h").stdout.splitlines() if "Example:" in line)
    known = {name for option in cli.commands[command].params for name in option.opts}
    words = example.split()[3:]
    assert {word for word in words if word.startswith("-")} <= known


def test_an_unknown_command_is_code_two(run):
    assert run("choose").exit_code == 2
    assert run().exit_code == 2


def test_interrupt_before_any_command(monkeypatch):
    def interrupted(**options):
        raise KeyboardInterrupt

    monkeypatch.setattr(main_module, "cli", interrupted)
    with pytest.raises(SystemExit) as caught:
        main_module.main()
    assert caught.value.code == 130


def test_interrupt_in_a_command(run, monkeypatch, space):
    def interrupted(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("whichvariant.cli.options.Engine.load", interrupted)
    result = run("digest", space)
    assert result.exit_code == 130
    assert result.stdout == ""


def test_errors_are_one_line():
    assert one_line(FileNotFoundError(2, "No such file", "x")) == "x: No such file"
    assert one_line(OSError("odd")) == "odd"
    assert one_line(OSError()) == "OSError"
    assert one_line(DocumentError("is empty", source="a.json")) == "a.json: is empty"
    finding = Finding("error", "code", "wrong", "a[0]", "f.json")
    assert one_line(ConfigurationError([finding])).startswith(
        "the configuration has 1 error: error[code] f.json: a[0]: wrong ("
    )
    several = one_line(ConfigurationError([finding, finding]))
    assert several.startswith("the configuration has 2 errors: the first: error[code] ")


def test_instants():
    assert instant("1970-01-01T00:00:01Z") == 1000
    assert instant("1970-01-01") == 0
    assert instant("1969-12-31T23:59:59.9999+00:00") == -1
    assert instant(" 1793534400000 ") == 1793534400000
    assert instant(5) == 5
    for text in ("", "now", "12", "1e12", "2026-13-01", "٣٣٣٣٣٣٣٣٣٣٣٣٣"):
        with pytest.raises(click.BadParameter):
            instant(text)


# ---- reading ------------------------------------------------------------------------------------


class CountingStream(io.RawIOBase):
    """An endless file of profiles that counts the lines it was asked for."""

    lines = 0

    def readline(self, limit=-1):
        self.lines += 1
        return b'{"id": "v"}\n'


def test_lines_are_read_as_they_are_asked_for():
    stream = CountingStream()
    source = ProfileSource(stream, "endless")
    assert source.many
    assert stream.lines == 2
    for number, line in enumerate(source, start=1):
        assert line.number == number
        if number == 10:
            break
    assert stream.lines == 10


def test_a_declared_line_is_not_waited_for():
    stream = CountingStream()
    assert ProfileSource(stream, "endless", ndjson=True).many
    assert stream.lines == 1


@pytest.mark.parametrize(
    ("text", "numbers", "many"),
    [
        ("{}", [1], False),
        ("\n\n{}\n\n", [3], False),
        ("{}\n{}", [1, 2], True),
        ("{}\r\n\r\n{}\r\n", [1, 3], True),
        ('{\n"a": 1\n}', [1], False),
        ("{}\n{", [1, 2], True),
        ("{\n{}", [1, 2], True),
        ("[\n{},\n{}\n]", [1], False),
        ("1\n2", [1, 2], True),
    ],
)
def test_one_value_or_one_a_line(text, numbers, many):
    source = ProfileSource(io.BytesIO(text.encode()), "text")
    assert source.many is many
    assert [line.number for line in source] == numbers


def test_a_line_beyond_the_limit_is_bad_and_its_rest_skipped(monkeypatch):
    monkeypatch.setattr("whichvariant.cli.inputs._LIMIT", 30)
    monkeypatch.setattr("whichvariant.columns.requests._SKIP", 7)
    long = json.dumps({"id": "v" * 100})
    source = ProfileSource(io.BytesIO(f'{{"id": 1}}\n{long}\n{{"id": 3}}\n'.encode()), "text")
    first, second, third = source
    assert first.request().profile == {"id": 1}
    assert third.request().profile == {"id": 3}
    assert (second.number, third.number) == (2, 3)
    with pytest.raises(Exception, match="longer than 64 MiB"):
        second.request()


def test_one_value_beyond_the_limit_is_refused(monkeypatch):
    monkeypatch.setattr("whichvariant.cli.inputs._LIMIT", 30)
    text = json.dumps({"id": list(range(20))}, indent=1)
    with pytest.raises(DocumentError, match="more than 64 MiB"):
        ProfileSource(io.BytesIO(text.encode()), "text")


def test_events_beyond_the_limit_are_refused(monkeypatch, tmp_path):
    monkeypatch.setattr("whichvariant.cli.inputs._LIMIT", 30)
    path = tmp_path / "events"
    path.write_text(json.dumps([{"type": "page"}] * 10))
    with pytest.raises(EventError, match="more than 64 MiB"):
        read_events(str(path))


# ---- printing -----------------------------------------------------------------------------------


def test_columns_count_wide_and_combining_characters():
    assert columns_of("abc") == 3
    assert columns_of("東京") == 4
    assert columns_of("e\u0301") == 1
    assert pad("東", 4) == "東  "


def test_printable_escapes_what_cannot_be_seen():
    assert printable("zoë → 東京") == "zoë → 東京"
    assert printable("a\x1b[2J\n\u202e\u00a0") == "a\\x1b[2J\\n\\u202e\\xa0"


def test_clip_keeps_within_columns():
    screen = Screen(80, False)
    assert screen.clip("abcdef", 6) == "abcdef"
    assert screen.clip("abcdefg", 6) == "abcde…"
    assert screen.clip("東京東京", 5) == "東京…"
    assert screen.clip("abcdef", None) == "abcdef"
    assert screen.clip("abc", 0) == "…"


def test_listing_breaks_between_items():
    screen = Screen(20, False)
    assert screen.listing("  in  ", ["alpha", "beta", "gamma delta", "x"]) == [
        "  in  alpha · beta ·",
        "      gamma delta ·",
        "      x",
    ]
    assert screen.listing("  in  ", []) == ["  in  "]


def test_wrapped_keeps_paths_whole():
    screen = Screen(30, False)
    assert screen.wrapped("see entries[12].fields.nt_rules.any[0] there", indent=2) == [
        "  see",
        "  entries[12].fields.nt_rules.any[0]",
        "  there",
    ]


def test_screen_of_a_pipe(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    assert Screen.of(stream) == Screen(None, False)
    monkeypatch.setenv("COLUMNS", "66")
    assert Screen.of(stream) == Screen(66, False)
    plain = Screen.of(io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    assert (plain.arrow, plain.dot, plain.ellipsis) == ("->", "-", "...")


def test_plural():
    assert plural(1, "error") == "1 error"
    assert plural(0, "error") == "0 errors"
    assert plural(1234, "entry", "entries") == "1,234 entries"


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_for_terminals(monkeypatch):
    log, terminal = io.StringIO(), Terminal()
    monkeypatch.setattr("sys.stderr", log)
    with Progress("selecting") as progress:
        progress.update("1")
    assert log.getvalue() == ""
    monkeypatch.setattr("sys.stderr", terminal)
    with Progress("selecting", wanted=False) as progress:
        progress.update("1")
    assert terminal.getvalue() == ""
    with Progress("selecting") as progress:
        progress.update("1 of 2")
        progress.update("2 of 2")  # too soon after the first to be shown
    assert terminal.getvalue() == "\r\x1b[Kselecting 1 of 2\r\x1b[K"


def test_standard_output_without_a_file_can_be_discarded(monkeypatch):
    monkeypatch.setattr("sys.stdout", io.StringIO())
    main_module._discard_output()
    assert os.path.exists(os.devnull)
