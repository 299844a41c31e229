"""``whichvariant profiles``: each command, and what they share."""

from __future__ import annotations

import asyncio
import json
import os
import pathlib
import signal
import stat
import subprocess
import time
from typing import Any

import click
import pytest
from cli_cases import NOW, ndjson, profile

from whichvariant import Engine, Namespace, clock
from whichvariant.cli.main import cli
from whichvariant.cli.profiles import opening
from whichvariant.cli.profiles.opening import long_ago
from whichvariant.service import ProfileService
from whichvariant.service.inbox import Inbox
from whichvariant.store import EmbeddedStore

SHOP = Namespace("shop", "main")
COMMANDS = [
    "get",
    "export",
    "import",
    "delete",
    "purge",
    "inbox",
    "stats",
    "verify",
    "backup",
    "compact",
]
HOUR = 3_600_000
START = 1_793_534_400_000  # 2026-11-01T12:00Z
IN_SHOP = ("--organization", "shop", "--environment", "main")


def event(kind: str, message: str, **more: Any) -> dict[str, Any]:
    page = {"path": "/blog/a", "query": {}, "referrer": "", "search": "", "url": "http://x/blog/a"}
    return {
        "type": kind,
        "channel": "web",
        "messageId": message,
        "context": {"library": {"name": "test", "version": "3.14.0"}, "page": page},
        **({"properties": page} if kind == "page" else {}),
        **more,
    }


async def fill(path: pathlib.Path, config: pathlib.Path) -> None:
    """A visitor who came twice, is known as ada, and one who was deleted; a rejected batch."""
    now_ms = START
    async with EmbeddedStore.open(path) as store:
        deciders = {SHOP: Engine.load(config)}
        service = ProfileService(store, deciders, now_ms=lambda: now_ms)
        named = event("identify", "i", traits={"name": "Ada\x1b[31m"}, userId="ada")
        seen = event("component", "c", componentId="x", experienceId="hero", variantIndex=1)
        for at_ms, events in (
            (START, [event("page", "p1")]),
            (START + HOUR, [event("page", "p2"), named, seen]),
        ):
            now_ms = at_ms
            await service.upsert(SHOP, [{**one, "anonymousId": "v-1"} for one in events])
        await service.upsert(SHOP, [event("page", "p3", anonymousId="v-2")])
        await service.delete(SHOP, "v-2")
        inbox = Inbox(service, now_ms=lambda: now_ms)
        for environment in ("nowhere", "gone"):
            batch = [event("page", environment, anonymousId="v-3")]
            await inbox.accept(Namespace("shop", environment), batch)
        await inbox.process()


@pytest.fixture
def store(tmp_path: pathlib.Path, space: pathlib.Path) -> pathlib.Path:
    path = tmp_path / "shop.db"
    asyncio.run(fill(path, space))
    return path


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody is there to be asked."""
    monkeypatch.setattr(opening, "is_terminal", lambda stream: True)


# ---- what they share ----------------------------------------------------------------------------


def test_help_lists_the_commands_whole(run):
    result = run("profiles", "--help")
    assert result.exit_code == 0
    listing = result.stdout.split("Commands:\n")[1].splitlines()[: len(COMMANDS)]
    assert [line.split()[0] for line in listing] == COMMANDS
    assert not any(line.endswith("...") for line in listing)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example_that_is_real(run, command):
    result = run("profiles", command, "--help")
    assert result.exit_code == 0
    example = next(line for line in result.stdout.splitlines() if "Example:" in line)
    assert f"  Example:  whichvariant profiles {command} " in example
    assert "  Exit codes: 0 " in result.stdout
    assert "2 usage" in result.stdout
    group = cli.commands["profiles"]
    assert isinstance(group, click.Group)
    known = {name for option in group.commands[command].params for name in option.opts}
    assert {word for word in example.split() if word.startswith("-")} <= known


ARGUMENTS = {
    "get": ["v-1"],
    "delete": ["v-1", "--yes"],
    "purge": ["--older-than", "1d"],
    "backup": ["copy.db"],
}


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "import"])
def test_a_store_that_is_none_is_one_line(run, tmp_path, command):
    missing, foreign = tmp_path / "missing.db", tmp_path / "foreign.db"
    foreign.write_text("something else " * 100)
    arguments = ARGUMENTS.get(command, [])
    for path, message in ((missing, "no such file"), (foreign, "no store of profiles")):
        result = run("profiles", command, *arguments, "--store", path)
        assert result.exit_code == 2
        assert result.stdout == ""
        assert message in result.stderr
        assert result.stderr.count("\n") == 1
    assert not missing.exists()
    assert run("profiles", command, *arguments).exit_code == 2


def test_the_store_may_come_from_the_environment(run, store):
    result = run("profiles", "get", "ada", WHICHVARIANT_STORE=str(store))
    assert result.exit_code == 0
    assert result.stdout.startswith("v-1")


def test_a_namespace_has_to_be_chosen_where_there_are_several(run, store, tmp_path):
    more = tmp_path / "more.ndjson"
    more.write_text(ndjson(profile("v-9")))
    place = ["--organization", "shop", "--environment", "staging"]
    assert run("profiles", "import", more, "--store", store, *place).exit_code == 0
    several = run("profiles", "export", "--store", store)
    assert several.exit_code == 2
    assert "the store holds shop/main, shop/staging" in several.stderr
    one = run("profiles", "export", "--store", store, "--environment", "staging")
    assert [json.loads(line)["profile"]["id"] for line in one.stdout.splitlines()] == ["v-9"]
    every = run("profiles", "export", "--store", store, "--all")
    assert len(every.stdout.splitlines()) == 2
    assert run("profiles", "export", "--store", store, "--all", *place).exit_code == 2
    elsewhere = run("profiles", "get", "v-9", "--store", store, "--environment", "main")
    assert elsewhere.exit_code == 2
    assert "another organization or environment" in elsewhere.stderr
    empty = tmp_path / "empty.db"
    asyncio.run(EmbeddedStore.open(empty).close())
    assert "holds nothing yet" in run("profiles", "export", "--store", empty).stderr


def test_ages():
    day = 24 * HOUR
    for text, age in (("400d", 400 * day), ("2w", 14 * day), ("3h", 3 * HOUR), ("0d", 0)):
        assert abs(clock.now_ms() - age - long_ago(text)) < 10_000
    assert long_ago("2026-11-01T12:00Z") == START
    for text in ("", "d", "-1d", "1.5d", "1y", "9999999999999d", "²d"):
        with pytest.raises(click.BadParameter):
            long_ago(text)


# ---- one profile --------------------------------------------------------------------------------


def test_get_prints_a_profile(run, store):
    result = run("profiles", "get", "v-1", "--store", store)
    assert result.exit_code == 0
    assert result.stdout == (
        "v-1  visit 2\n"
        "  stored     shop/main, version 2\n"
        "  user id    ada\n"
        '  trait      name = "Ada\\u001b[31m"\n'
        "  sticky     hero = 1\n"
        "  visits     2 sessions, last event 2026-11-01T13:00:00.000Z\n"
        "  history    4 events\n"
        "  updated    2026-11-01T13:00:00.000Z\n"
    )
    data = json.loads(run("profiles", "get", "ada", "--store", store, "--json").stdout)
    assert data["profile"]["id"] == "v-1"
    assert data["stored"]["aliases"] == ["ada"]


def test_get_decides(run, store, space):
    result = run("profiles", "get", "ada", "--store", store, "--config", space)
    assert result.exit_code == 0
    assert "variant 1 of 1  heroDefault" not in result.stdout
    assert "Footer" in result.stdout
    arguments = ["--store", store, "--config", space, "--json"]
    data = json.loads(run("profiles", "get", "ada", *arguments).stdout)
    assert list(data) == ["profile", "experiences", "changes"]
    asked = json.loads(run("profiles", "get", "ada", "--at", NOW, *arguments).stdout)
    assert asked["profile"]["session"]["count"] == 1
    assert asked["profile"]["traits"] == {}
    later = json.loads(run("profiles", "get", "ada", "--at", START + HOUR, *arguments).stdout)
    assert later["profile"]["audiences"] == ["readers"]
    assert asked["profile"]["audiences"] == []


def test_get_goes_back_in_time(run, store):
    result = run("profiles", "get", "ada", "--at", "2026-11-01T12:30Z", "--store", store)
    assert result.exit_code == 0
    assert result.stdout == (
        "v-1  visit 1\n"
        "  stored     shop/main, version 2\n"
        "  user id    ada\n"
        "  visits     1 session, last event 2026-11-01T12:00:00.000Z\n"
        "  as of      2026-11-01T12:30:00.000Z\n"
    )


@pytest.mark.parametrize(
    ("key", "options", "message"),
    [
        ("v-9", [], "v-9: there is no such profile"),
        ("v-2", [], "v-2: the profile was deleted"),
        ("v-1", ["--at", "2026-10-01T00:00Z"], "v-1: the profile did not exist yet"),
    ],
)
def test_a_profile_that_is_not_there_is_code_one(run, store, key, options, message):
    result = run("profiles", "get", key, *options, "--store", store, "--json")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == f"whichvariant: {message}\n"


def test_delete_needs_a_yes(run, store, asked):
    nobody = run("profiles", "delete", "ada", "--store", store, stdin="n\n")
    assert nobody.exit_code == 1
    assert "Delete 1 profile of shop/main?" in nobody.stderr
    assert run("profiles", "get", "ada", "--store", store).exit_code == 0
    somebody = run("profiles", "delete", "ada", "--store", store, stdin="y\n")
    assert somebody.exit_code == 0
    assert somebody.stdout == "deleted v-1\n"
    assert run("profiles", "get", "ada", "--store", store).exit_code == 1


def test_delete_says_what_was_not_there(run, store):
    refused = run("profiles", "delete", "v-1", "--store", store)
    assert refused.exit_code == 2
    assert "Say --yes where nobody can be asked" in refused.stderr
    arguments = ["--store", store, "--yes", "--json"]
    result = run("profiles", "delete", "v-9", "v-1", "v-1", "v-2", *arguments)
    assert result.exit_code == 1
    assert json.loads(result.stdout) == {"deleted": ["v-1"], "missing": ["v-9", "v-2"]}
    assert result.stderr.count("\n") == 2


# ---- out and in ---------------------------------------------------------------------------------


def test_an_export_is_selected_for_and_imported(run, store, space, tmp_path):
    result = run("profiles", "export", "--store", store)
    assert result.exit_code == 0
    (line,) = result.stdout.splitlines()
    assert [one["messageId"] for one in json.loads(line)["events"]] == ["p1", "p2", "i", "c"]
    arguments = ["--config", space, "--now", START + HOUR, "--json"]
    selected = json.loads(run("select", *arguments, stdin=result.stdout).stdout)
    assert selected["profile"]["audiences"] == ["readers"]
    again = run("select", *arguments, stdin=json.dumps(selected))
    assert again.exit_code == 0
    copy = tmp_path / "copy.db"
    imported = run("profiles", "import", "--store", copy, stdin=result.stdout)
    assert imported.exit_code == 0
    assert imported.stdout == f"{copy}: 1 profile new, 1 user id\n"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    assert run("profiles", "export", "--store", copy).stdout == result.stdout
    bare = json.loads(run("profiles", "export", "--store", store, "--no-events").stdout)
    assert "events" not in bare


def test_a_full_export_is_a_private_file_and_comes_back(run, store, tmp_path):
    output, copy = tmp_path / "all.wvp", tmp_path / "copy.db"
    result = run("profiles", "export", "--full", "-o", output, "--store", store)
    assert result.exit_code == 0
    assert result.stdout == f"{output}: 1 profile\n"
    assert stat.S_IMODE(output.stat().st_mode) == 0o600
    assert run("profiles", "import", output, "--store", copy).exit_code == 0
    for options in ([], ["--at", "2026-11-01T12:30Z"]):
        arguments = ["profiles", "get", "ada", *options, "--json", "--store"]
        assert run(*arguments, copy).stdout == run(*arguments, store).stdout
    twice = run("profiles", "import", output, "--store", copy)
    assert twice.stdout == f"{copy}: 0 profiles new, 2 there already\n"
    data = output.read_bytes()
    output.write_bytes(data[:-20])
    cut = run("profiles", "import", output, "--store", tmp_path / "third.db")
    assert cut.exit_code == 2
    assert cut.stderr == f"whichvariant: {output}: the export is cut off after 2 entries\n"


def test_an_export_mentions_what_waits(run, store, tmp_path):
    assert run("profiles", "inbox", "--requeue", "--store", store).exit_code == 0
    result = run("profiles", "export", "--full", "-o", tmp_path / "x", "--store", store)
    assert result.exit_code == 0
    assert "2 batches of the inbox not in the export" in result.stderr


def test_an_export_does_not_overwrite_by_half(run, store, tmp_path):
    output = tmp_path / "out.ndjson"
    output.write_text("old")
    assert run("profiles", "export", "-o", store, "--store", store).exit_code == 2
    assert run("profiles", "export", "--full", "--no-events", "--store", store).exit_code == 2
    data = store.read_bytes()
    assert b"Ada" in data
    store.write_bytes(data.replace(b"Ada", b"Eve"))
    result = run("profiles", "export", "-o", output, "--store", store, *IN_SHOP)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "the checksum of a page is wrong" in result.stderr
    assert output.read_text() == "old"
    assert sorted(path.name for path in tmp_path.glob("*out*")) == ["out.ndjson"]
    found = run("profiles", "verify", "--store", store)
    assert found.exit_code == 1
    assert "damaged" in found.stdout


def test_an_import_reports_lines_and_goes_on(run, tmp_path):
    store, source = tmp_path / "shop.db", tmp_path / "in.ndjson"
    source.write_text(ndjson(profile("v-1"), {"id": 3}, profile("v-3")))
    arguments = ["profiles", "import", source, "--store", store, *IN_SHOP]
    result = run(*arguments)
    assert result.exit_code == 1
    assert result.stdout == f"{store}: 2 profiles new\n"
    first, last = result.stderr.splitlines()
    assert first.startswith(f"whichvariant: {source}:2: ")
    assert last == "whichvariant: 1 entry of 3 not wholly imported"
    strict = run(*arguments, "--strict")
    assert strict.exit_code == 2
    assert strict.stderr.startswith(f"whichvariant: {source}:2: ")
    again = json.loads(run(*arguments, "--json").stdout)
    assert (again["profiles"], again["existing"], again["bad"]) == (0, 2, 1)
    replaced = run(*arguments, "--replace")
    assert replaced.stdout == f"{store}: 0 profiles new, 2 replaced\n"
    # Now there is one namespace, which is the default.
    more = run("profiles", "import", "--store", store, stdin=ndjson(profile("v-4")))
    assert more.exit_code == 0


def test_an_import_that_cannot_begin_makes_no_store(run, tmp_path):
    store = tmp_path / "shop.db"
    missing = run("profiles", "import", tmp_path / "none", "--store", store)
    assert missing.exit_code == 2
    assert missing.stderr.count("\n") == 1
    half = run("profiles", "import", "--store", store, "--organization", "shop", stdin="")
    assert half.exit_code == 2
    assert not store.exists()
    lost = run("profiles", "import", "--store", store, stdin=ndjson(profile("v-1")))
    assert lost.exit_code == 1
    assert "nothing says to which organization and environment it belongs" in lost.stderr


def test_progress_is_for_terminals_and_reports_are_whole_lines(run, store, monkeypatch):
    monkeypatch.setattr("whichvariant.cli.terminal.is_terminal", lambda stream: True)
    lines = ndjson(*(profile(f"n-{number}") for number in range(100)), {"id": 3})
    result = run("profiles", "import", "--store", store, stdin=lines)
    assert "\r\x1b[Kimporting 64 entries\r\x1b[Kwhichvariant: <stdin>:101: " in result.stderr


# ---- care ---------------------------------------------------------------------------------------


def test_purge_counts_first(run, store, asked):
    arguments = ["profiles", "purge", "--older-than", "2026-11-02", "--store", store]
    dry = run(*arguments, "--dry-run")
    assert dry.stdout == "1 of 1 profile would be deleted\n"
    assert run(*arguments, stdin="n\n").exit_code == 1
    question = run(*arguments, stdin="y\n")
    assert "Delete 1 of 1 profile of shop/main?" in question.stderr
    assert question.stdout == "1 of 1 profile deleted\n"
    data = json.loads(run(*arguments, "--json", "--yes").stdout)
    assert data == {
        "seen": 0,
        "erased": 0,
        "changed": 0,
        "before_ms": START + 12 * HOUR,
        "dry_run": False,
    }
    assert run(*arguments).stdout == "0 of 0 profiles deleted\n"


def test_purge_of_everything_asks_for_everything(run, store):
    arguments = ["profiles", "purge", "--older-than", "2026-11-02", "--store", store, "--all"]
    refused = run(*arguments)
    assert refused.exit_code == 2
    assert "of all namespaces?" in refused.stderr
    assert run(*arguments, "--yes").stdout == "1 of 1 profile deleted\n"


def test_stats(run, store, tmp_path):
    result = run("profiles", "stats", "--store", store)
    assert result.exit_code == 0
    head, gone, main, nowhere = result.stdout.splitlines()[:4]
    assert head.split() == ["profiles", "user", "ids", "merged", "deleted", "inbox", "rejected"]
    assert main.split() == ["shop/main", "1", "1", "0", "1", "0", "0"]
    assert gone.split() == ["shop/gone", "0", "0", "0", "0", "0", "1"]
    assert len({len(line) for line in (head, gone, main, nowhere)}) == 1
    data = json.loads(run("profiles", "stats", "--store", store, "--json").stdout)
    assert data["namespaces"][1]["profiles"] == 1
    assert str(store) in data["files"]
    empty = tmp_path / "empty.db"
    asyncio.run(EmbeddedStore.open(empty).close())
    assert run("profiles", "stats", "--store", empty).stdout.startswith("nothing is stored\n")


def test_a_backup_is_a_store(run, store, tmp_path):
    copy = tmp_path / "copy.db"
    result = run("profiles", "backup", copy, "--store", store, "--json")
    assert result.exit_code == 0
    assert json.loads(result.stdout) == {"output": str(copy), "bytes": copy.stat().st_size}
    export = ["profiles", "export", "--store"]
    assert run(*export, copy).stdout == run(*export, store).stdout
    again = run("profiles", "backup", copy, "--store", store)
    assert again.exit_code == 2
    assert "there is such a file already" in again.stderr


def test_compact_and_verify(run, store):
    result = run("profiles", "compact", "--store", store, "--json")
    assert result.exit_code == 0
    assert set(json.loads(result.stdout)) == {"bytes_before", "bytes_after"}
    assert " bytes before, " in run("profiles", "compact", "--store", store).stdout
    assert run("profiles", "verify", "--store", store).stdout == f"{store}: sound\n"
    sound = run("profiles", "verify", "--store", store, "--json")
    assert json.loads(sound.stdout) == {"damage": []}


def test_a_store_that_cannot_be_opened_for_damage_is_damaged(run, store):
    data = bytearray(store.read_bytes())
    data[20] = 0
    store.write_bytes(data)
    result = run("profiles", "verify", "--store", store, "--json")
    assert result.exit_code == 1
    assert "damaged" in json.loads(result.stdout)["damage"][0]["message"]


def test_the_inbox_is_listed_requeued_and_discarded(run, store, asked):
    listed = run("profiles", "inbox", "--store", store)
    assert listed.exit_code == 0
    first, reason, *_ = listed.stdout.splitlines()
    assert first == "1  shop/nowhere  received 2026-11-01T13:00:00.000Z, 1 attempt, 1 event"
    assert reason.startswith("  ConfigurationNotFound: no configuration for organization 'shop'")
    data = json.loads(run("profiles", "inbox", "2", "--store", store, "--json").stdout)
    assert [item["number"] for item in data["rejected"]] == [2]
    assert data["rejected"][0]["events"][0]["messageId"] == "gone"
    arguments = ["profiles", "inbox", "--store", store]
    assert run(*arguments, "--requeue", "--discard").exit_code == 2
    assert run(*arguments, "--requeue", "1").stdout == "1 batch requeued\n"
    missing = run(*arguments, "--requeue", "1", "--json")
    assert missing.exit_code == 1
    assert json.loads(missing.stdout) == {"requeued": 0}
    assert run(*arguments, "--discard", stdin="n\n").exit_code == 1
    assert run(*arguments, "--discard", stdin="y\n").stdout == "1 batch discarded\n"
    assert run(*arguments).stdout == "nothing was rejected\n"


# ---- processes ----------------------------------------------------------------------------------


def test_other_commands_load_no_store():
    program = (
        "import sys; from whichvariant.cli.main import cli; "
        "print([name for name in ('apsw', 'asyncio', 'whichvariant.store') if name in sys.modules])"
    )
    done = subprocess.run(
        [os.sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == "[]\n"


def test_an_interrupt_ends_an_import_that_waits(shell, tmp_path):
    store = tmp_path / "shop.db"
    process = shell("profiles", "import", "--store", store, *IN_SHOP, interruptible=True)
    process.stdin.write(ndjson(*(profile(f"v-{number}") for number in range(100))).encode())
    process.stdin.flush()
    for _ in range(600):
        if store.exists():
            break
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    try:
        assert process.wait(timeout=30) == 130
    finally:
        process.kill()
        out, err = process.communicate()
    assert out == b""
    assert b"Traceback" not in err


def test_a_pipe_that_closes_is_one_line(shell, run, tmp_path):
    store = tmp_path / "shop.db"
    lines = ndjson(*(profile(f"v-{number:05}", traits={"a": "b" * 500}) for number in range(2000)))
    assert run("profiles", "import", "--store", store, *IN_SHOP, stdin=lines).exit_code == 0
    process = shell("profiles", "export", "--store", store)
    process.stdout.readline()
    process.stdout.close()
    err = process.stderr.read().decode()
    process.stderr.close()
    process.stdin.close()
    assert process.wait(timeout=60) == 2
    assert err == "whichvariant: the output was closed before all of it was written\n"
