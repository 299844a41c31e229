"""One environment's engine, followed in the background."""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

import pytest
from tests.server.delivery_api import SPACE, TOKEN, DeliveryApi, listening
from tests.server.running import STOREFRONT

from whichvariant import Engine, Namespace
from whichvariant.errors import ConfigurationUnavailable, SettingsError
from whichvariant.sources import Catalog, Entry, Follower

EXPORT: dict[str, Any] = json.loads(STOREFRONT.read_bytes())
EMPTY = '{"format": "whichvariant/1", "audiences": [], "experiences": []}'


def until(reached: Callable[[], bool]) -> None:
    """Wait, but not for ever."""
    end = time.monotonic() + 20
    while not reached():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_files(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "space.json"
    shutil.copy(STOREFRONT, path)
    engine = Engine.load(STOREFRONT)
    with Follower.files(path, poll_s=0.05) as follower:
        assert follower.engine.digest == engine.digest
        path.write_text(EMPTY)
        until(lambda: follower.engine.digest != engine.digest)
        changed = follower.engine.digest
        # What is broken changes nothing, and is told.
        path.write_text("{")
        until(lambda: follower.entry is not None and follower.entry.trouble != "")
        assert follower.engine.digest == changed
    before = threading.active_count()
    assert follower.engine.digest == changed  # the last one stays
    shutil.copy(STOREFRONT, path)
    time.sleep(0.3)
    assert follower.engine.digest == changed
    assert threading.active_count() <= before


def test_several_files_are_one_configuration(tmp_path: pathlib.Path) -> None:
    experiences = dict(EXPORT, entries=EXPORT["entries"][::2])
    rest = dict(EXPORT, entries=EXPORT["entries"][1::2])
    for name, part in (("a.json", experiences), ("b.json", rest)):
        (tmp_path / name).write_text(json.dumps(part))
    with Follower.files(tmp_path / "a.json", str(tmp_path / "b.json"), poll_s=0) as follower:
        assert follower.engine.digest == Engine.load(STOREFRONT).digest


def test_a_folder_of_environments(tmp_path: pathlib.Path) -> None:
    (tmp_path / "shop").mkdir()
    shutil.copy(STOREFRONT, tmp_path / "shop" / "main.json")
    (tmp_path / "shop" / "staging.json").write_text(EMPTY)
    digests = set()
    for environment in ("main", "staging"):
        namespace = Namespace("shop", environment)
        with Follower.files(tmp_path, poll_s=0, namespace=namespace) as follower:
            digests.add(follower.engine.digest)
    assert len(digests) == 2
    with (
        Follower.files(tmp_path, poll_s=0) as elsewhere,
        pytest.raises(ConfigurationUnavailable, match="there is none"),
    ):
        assert elsewhere.engine


def test_nothing_to_load_yet(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "space.json"
    with Follower.files(path, poll_s=0) as follower:
        with pytest.raises(ConfigurationUnavailable, match="could be loaded yet"):
            assert follower.engine
        assert follower.age_s() is None
        shutil.copy(STOREFRONT, path)
        follower.refresh()
        assert follower.engine.digest == Engine.load(STOREFRONT).digest
        age_s = follower.age_s()
        assert age_s is not None
        assert age_s < 10


def test_strict_and_lenient(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "space.json"
    document = {
        "format": "whichvariant/1",
        "audiences": [
            {"nt_audience_id": "good", "nt_rules": {"any": []}},
            {"nt_audience_id": "bad", "nt_rules": {"any": [{"all": [{"type": "unheard-of"}]}]}},
        ],
        "experiences": [],
    }
    path.write_text(json.dumps(document))
    with Follower.files(path, poll_s=0) as lenient:
        assert lenient.engine.findings
    with Follower.files(path, poll_s=0, strict=True) as strict:
        assert strict.entry is not None
        assert "unheard-of" in strict.entry.trouble


def test_delivery(tmp_path: pathlib.Path) -> None:
    api = DeliveryApi(EXPORT)
    expected = Engine.from_dict(EXPORT, strict=False).digest
    settings: dict[str, Any] = {"poll_s": 0.05, "cache": tmp_path / "cache"}
    with listening(api) as url, Follower.delivery(SPACE, TOKEN, url=url, **settings) as follower:
        assert follower.engine.digest == expected
        experience = next(
            entry
            for entry in EXPORT["entries"]
            if entry["sys"]["contentType"]["sys"]["id"] == "nt_experience"
            and entry["sys"]["id"] in api.entries
        )
        api.delete(experience["sys"]["id"])
        until(lambda: follower.engine.digest != expected)
        changed = follower.engine.digest
    # Where it cannot be reached, what was read last decides; how old that is, nobody knows.
    with Follower.delivery(SPACE, TOKEN, url=url, **settings) as again:
        assert again.engine.digest == changed
        assert again.age_s() is None
    with (
        Follower.delivery(SPACE, "wrong", url=url, poll_s=0) as nothing,
        pytest.raises(ConfigurationUnavailable),
    ):
        assert nothing.engine


class Broken:
    """A source that fails as sources must not."""

    async def load(self, catalog: Catalog) -> None:
        raise SettingsError("config: nobody knows what there is to be")

    async def run(self, catalog: Catalog) -> None:
        raise AssertionError

    async def refresh(self, catalog: Catalog, namespaces: Iterable[Namespace] | None) -> None:
        raise AssertionError


def test_a_source_that_cannot_begin() -> None:
    follower = Follower(Broken())
    with pytest.raises(SettingsError, match="nobody knows"):
        follower.open()
    follower.close()


def test_opening_twice_and_closing_twice(tmp_path: pathlib.Path) -> None:
    follower = Follower.files(tmp_path / "space.json", poll_s=0)
    follower.close()
    with pytest.raises(RuntimeError, match="not open"):
        follower.refresh()
    follower.open()
    with pytest.raises(RuntimeError, match="open already"):
        follower.open()
    follower.close()
    follower.close()


def test_who_wants_to_know_is_told(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "space.json"
    shutil.copy(STOREFRONT, path)
    heard: list[Entry] = []
    follower = Follower.files(path, poll_s=0)

    def failing(entry: Entry) -> None:
        raise LookupError(entry.trouble)

    follower.subscribe(failing)  # which is nobody else's trouble
    follower.subscribe(heard.append)
    with follower:
        (entry,) = heard
        assert entry.engine is follower.engine
        follower.refresh()
        os.utime(path)
        follower.refresh()
        assert heard == [entry]
        path.write_text("{")
        follower.refresh()
        path.unlink()
        follower.refresh()
        follower.refresh()
        shutil.copy(STOREFRONT, path)
        follower.refresh()
    _, broken, gone, well = heard
    assert (bool(broken.trouble), broken.unread) == (True, False)
    assert (bool(gone.trouble), gone.unread) == (True, True)
    assert (well.trouble, well.unread) == ("", False)
    assert {one.engine for one in heard} == {entry.engine}


def test_it_can_be_opened_again(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "space.json"
    shutil.copy(STOREFRONT, path)
    follower = Follower.files(path, poll_s=0.05)
    with follower:
        first = follower.engine.digest
    path.write_text(EMPTY)
    with follower:
        assert follower.engine.digest != first
        shutil.copy(STOREFRONT, path)
        until(lambda: follower.engine.digest == first)


def test_a_listener_may_close_it(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "space.json"
    shutil.copy(STOREFRONT, path)
    follower = Follower.files(path, poll_s=0.02)
    closed = threading.Event()

    def close(entry: Entry) -> None:
        if entry.trouble:
            follower.close()
            closed.set()

    follower.subscribe(close)
    follower.open()
    path.write_text("{")
    assert closed.wait(20)
    with pytest.raises(RuntimeError, match="not open"):
        follower.refresh()


def test_a_folder_whose_environment_goes(tmp_path: pathlib.Path) -> None:
    environment = tmp_path / "shop" / "main"
    environment.mkdir(parents=True)
    shutil.copy(STOREFRONT, environment / "space.json")
    heard: list[Entry] = []
    follower = Follower.files(tmp_path, poll_s=0, namespace=Namespace("shop", "main"))
    follower.subscribe(heard.append)
    with follower:
        shutil.rmtree(environment)
        follower.refresh()
        follower.refresh()
        assert follower.entry is None
    assert [one.trouble for one in heard] == ["", "the configuration is gone"]
