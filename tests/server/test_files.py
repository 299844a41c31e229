"""Configurations from files and folders: what is served is always something that was whole."""

from __future__ import annotations

import asyncio
import json
import os
import pathlib
import shutil
import time
from typing import Any

import pytest
from tests.server.conftest import SHOP, client_of
from tests.server.events import page
from tests.server.running import STOREFRONT, free_port, served

from whichvariant import Engine, Namespace
from whichvariant.errors import SettingsError
from whichvariant.server import App, ServerSettings, create_app
from whichvariant.server.sources import all_sources, parse_place
from whichvariant.sources.catalog import Catalog, Entry
from whichvariant.sources.files import FileSource
from whichvariant.store import MemoryStore

PLAIN = Namespace("default", "main")


def document(*names: str, **more: Any) -> bytes:
    """A native configuration with an audience for everybody of each name."""
    audiences = [
        {"nt_audience_id": name, "nt_name": name, "nt_rules": {"all": []}} for name in names
    ]
    return json.dumps({"format": "whichvariant/1", "audiences": audiences, **more}).encode()


BROKEN = document("a")[:-20]
WRONG = json.dumps({"audiences": [{"nt_audience_id": "x", "nt_rules": {"any": [{}]}}]}).encode()


def audiences(catalog: Catalog, namespace: Namespace) -> list[str]:
    engine = catalog.engine(namespace)
    assert engine is not None
    return [audience.id for audience in engine.configuration.audiences]


def entry_of(catalog: Catalog, namespace: Namespace) -> Entry:
    entry = catalog.find(namespace)
    assert entry is not None
    return entry


class Looking:
    """A source and its catalog; `look` is one look of its loop."""

    def __init__(self, *config: str | pathlib.Path, **settings: Any) -> None:
        self.catalog = Catalog()
        (source,) = all_sources(ServerSettings(config=tuple(map(str, config)), **settings))
        assert isinstance(source, FileSource)
        self.source = source

    async def load(self) -> Catalog:
        await self.source.load(self.catalog)
        return self.catalog

    async def look(self, times: int = 1) -> None:
        for _ in range(times):
            await self.source.refresh(self.catalog, None)


def age(*paths: pathlib.Path, seconds: float = 60) -> None:
    """Let files look as if they had been written a while ago."""
    for path in paths:
        at = time.time() - seconds
        os.utime(path, (at, at))


# ---- forms of the setting -----------------------------------------------------------------------


def test_places(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert parse_place("space.json") == (None, "space.json")
    assert parse_place("shop/main=space.json") == (Namespace("shop", "main"), "space.json")
    assert parse_place("shop/main=a=b.json") == (Namespace("shop", "main"), "a=b.json")
    assert parse_place("a/b/c=d.json") == (None, "a/b/c=d.json")
    assert parse_place("./main=space.json") == (None, "./main=space.json")
    with pytest.raises(SettingsError, match=r"config: 'shop/main=' names no file"):
        parse_place("shop/main=")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b=c.json").write_bytes(document())
    assert parse_place("a/b=c.json") == (None, "a/b=c.json")


async def test_documents_of_one_environment_are_merged(tmp_path: pathlib.Path) -> None:
    one, two, three = (tmp_path / f"{name}.json" for name in "123")
    for path, name in ((one, "one"), (two, "two"), (three, "three")):
        path.write_bytes(document(name))
    catalog = await Looking(f"shop/main={one}", three, f"shop/main={two}").load()
    assert audiences(catalog, SHOP) == ["one", "two"]
    assert audiences(catalog, PLAIN) == ["three"]
    assert entry_of(catalog, SHOP).source == f"{one}, {two}"


async def test_a_folder(tmp_path: pathlib.Path) -> None:
    for name, content in {
        "shop/main/b.json": document("b"),
        "shop/main/a.json": document("a"),
        "shop/main/.hidden.json": BROKEN,
        "shop/main/notes.txt": BROKEN,
        "shop/staging.json": document("s"),
        "shop/none/readme.md": b"",
        "news/main/x.json": document("x"),
        "readme.md": b"",
    }.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (tmp_path / "news" / "main" / "saved.program").write_bytes(b"")
    os.remove(tmp_path / "news" / "main" / "saved.program")
    catalog = await Looking(tmp_path).load()
    assert [entry.namespace for entry in catalog.entries()] == [
        ("news", "main"),
        ("shop", "main"),
        ("shop", "staging"),
    ]
    assert audiences(catalog, SHOP) == ["a", "b"]
    assert catalog.ready


async def test_an_empty_folder_is_legal_and_environments_come_and_go(
    tmp_path: pathlib.Path,
) -> None:
    looking = Looking(tmp_path)
    catalog = await looking.load()
    assert catalog.ready
    assert catalog.engine(SHOP) is None
    folder = tmp_path / "shop" / "main"
    folder.mkdir(parents=True)
    await looking.look()
    assert catalog.find(SHOP) is None
    (folder / "a.json").write_bytes(document("a"))
    await looking.look()
    assert audiences(catalog, SHOP) == ["a"]
    # Documents may be gone for a moment; as long as the folder is there, so is the environment.
    (folder / "a.json").unlink()
    await looking.look(3)
    assert audiences(catalog, SHOP) == ["a"]
    assert entry_of(catalog, SHOP).trouble == "its folder holds no documents"
    folder.rmdir()
    await looking.look()
    assert audiences(catalog, SHOP) == ["a"]
    await looking.look()
    assert catalog.find(SHOP) is None


async def test_a_folder_that_is_replaced_is_never_gone(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "shop" / "main"
    folder.mkdir(parents=True)
    (folder / "a.json").write_bytes(document("a"))
    looking = Looking(tmp_path)
    catalog = await looking.load()
    for name in ("b", "c", "d"):
        shutil.rmtree(folder)
        await looking.look()
        assert catalog.find(SHOP) is not None
        folder.mkdir()
        (folder / "a.json").write_bytes(document(name))
        await looking.look()
        assert audiences(catalog, SHOP) == [name]


# ---- changes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [BROKEN, WRONG, b"", b"\xc1"])
async def test_what_cannot_be_used_changes_nothing(tmp_path: pathlib.Path, content: bytes) -> None:
    path = tmp_path / "space.json"
    path.write_bytes(document("a"))
    looking = Looking(path, strict=True)
    catalog = await looking.load()
    before = entry_of(catalog, PLAIN)
    assert not before.trouble
    path.write_bytes(content)
    await looking.look(2)
    after = entry_of(catalog, PLAIN)
    assert after.engine is before.engine
    assert after.trouble.startswith((str(path), "the configuration has 1 error"))
    path.write_bytes(document("b"))
    await looking.look()
    assert audiences(catalog, PLAIN) == ["b"]
    assert not entry_of(catalog, PLAIN).trouble


async def test_a_change_that_leaves_size_and_time_alone_is_seen(tmp_path: pathlib.Path) -> None:
    # A disk may count time in steps, and one step have two changes.
    path = tmp_path / "space.json"
    path.write_bytes(document("a"))
    status = path.stat()
    looking = Looking(path)
    catalog = await looking.load()
    with path.open("r+b") as file:
        file.write(document("b"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    await looking.look()
    assert audiences(catalog, PLAIN) == ["b"]


async def test_what_did_not_change_is_not_compiled_again(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "space.json"
    path.write_bytes(document("a"))
    looking = Looking(path)
    catalog = await looking.load()
    engine = catalog.engine(PLAIN)
    checked = entry_of(catalog, PLAIN).checked_ms
    await asyncio.sleep(0.002)
    for _ in range(2):
        path.write_bytes(document("a"))
        await looking.look()
    assert catalog.engine(PLAIN) is engine
    assert entry_of(catalog, PLAIN).checked_ms > checked


async def test_a_file_that_vanishes_keeps_serving(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "space.json"
    path.write_bytes(document("a"))
    age(path)
    looking = Looking(path)
    catalog = await looking.load()
    path.unlink()
    await looking.look(3)
    assert audiences(catalog, PLAIN) == ["a"]
    assert entry_of(catalog, PLAIN).trouble == f"{path}: cannot be read: No such file or directory"
    path.write_bytes(document("a"))
    await looking.look()
    assert not entry_of(catalog, PLAIN).trouble


async def test_what_passes_by_itself_is_tried_again_though_nothing_changed(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "space.json"
    path.write_bytes(document("a"))
    looking = Looking(path)
    catalog = await looking.load()
    path.write_bytes(document("b"))
    age(path)
    whole = Engine.load

    def short(*paths: str, **options: Any) -> Engine:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(Engine, "load", short)
    await looking.look(2)
    assert audiences(catalog, PLAIN) == ["a"]
    assert "Too many open files" in entry_of(catalog, PLAIN).trouble
    monkeypatch.setattr(Engine, "load", whole)
    await looking.look()
    assert audiences(catalog, PLAIN) == ["b"]


async def test_documents_that_change_while_they_are_read_are_read_again(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two = tmp_path / "1.json", tmp_path / "2.json"
    one.write_bytes(document("a1"))
    two.write_bytes(document("a2"))
    looking = Looking(one, two)
    catalog = await looking.load()
    whole = Engine.load
    seen: list[list[str]] = []

    def meanwhile(*paths: str, **options: Any) -> Engine:
        engine = whole(*paths, **options)
        seen.append([audience.id for audience in engine.configuration.audiences])
        if len(seen) < 3:
            two.write_bytes(document("b2" if len(seen) == 2 else "x"))
        return engine

    monkeypatch.setattr(Engine, "load", meanwhile)
    one.write_bytes(document("b1"))
    await looking.look()
    assert seen == [["a2", "b1"], ["b1", "x"], ["b1", "b2"]]
    assert audiences(catalog, PLAIN) == ["b1", "b2"]


async def test_files_that_never_rest_are_left_alone(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "space.json"
    path.write_bytes(document("0"))
    looking = Looking(path)
    catalog = await looking.load()
    whole = Engine.load
    numbers = iter(range(1, 100))

    def restless(*paths: str, **options: Any) -> Engine:
        engine = whole(*paths, **options)
        path.write_bytes(document(str(next(numbers))))
        return engine

    monkeypatch.setattr(Engine, "load", restless)
    path.write_bytes(document("changed"))
    await looking.look()
    assert audiences(catalog, PLAIN) == ["0"]
    assert entry_of(catalog, PLAIN).trouble == "its files keep changing"
    monkeypatch.setattr(Engine, "load", whole)
    await looking.look()
    assert audiences(catalog, PLAIN) == ["5"]


async def test_links_are_swapped_as_kubernetes_does(tmp_path: pathlib.Path) -> None:
    folder = tmp_path / "shop" / "main"
    for version in ("v1", "v2"):
        (folder / f"..{version}").mkdir(parents=True)
        (folder / f"..{version}" / "space.json").write_bytes(document(version))
        age(folder / f"..{version}" / "space.json")
    (folder / "..data").symlink_to("..v1")
    (folder / "space.json").symlink_to("..data/space.json")
    looking = Looking(tmp_path)
    catalog = await looking.load()
    assert audiences(catalog, SHOP) == ["v1"]
    for version in ("v2", "v1"):
        (folder / "..new").symlink_to(f"..{version}")
        os.replace(folder / "..new", folder / "..data")
        await looking.look()
        assert audiences(catalog, SHOP) == [version]


async def test_a_folder_that_cannot_be_read_removes_nothing(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("shop/main", "shop/staging", "news/main"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "a.json").write_bytes(document("a"))
    looking = Looking(tmp_path)
    catalog = await looking.load()
    whole = pathlib.Path.iterdir
    barred = {tmp_path / "shop"}

    def listed(path: pathlib.Path) -> Any:
        if path in barred:
            raise PermissionError(13, "Permission denied", str(path))
        return whole(path)

    monkeypatch.setattr(pathlib.Path, "iterdir", listed)
    shutil.rmtree(tmp_path / "news")
    await looking.look(3)
    assert [entry.namespace for entry in catalog.entries()] == [SHOP, ("shop", "staging")]
    assert audiences(catalog, SHOP) == ["a"]
    assert entry_of(catalog, SHOP).trouble == f"{tmp_path / 'shop'}: Permission denied"
    barred.clear()
    await looking.look()
    assert not any(entry.trouble for entry in catalog.entries())
    barred.add(tmp_path)
    await looking.look(3)
    assert len(catalog.entries()) == 2
    # At the start nobody knows what is in there, and serving without it would be wrong.
    with pytest.raises(SettingsError) as caught:
        await Looking(tmp_path).load()
    assert str(caught.value) == f"config: {tmp_path}: Permission denied"


# ---- the first time -----------------------------------------------------------------------------


def app_of(*config: str | pathlib.Path, **settings: Any) -> App:
    return create_app(
        ServerSettings(config=tuple(map(str, config)), **settings), store=MemoryStore()
    )


async def test_nothing_that_could_be_loaded_is_no_start(tmp_path: pathlib.Path) -> None:
    with pytest.raises(SettingsError) as caught:
        await app_of(tmp_path / "missing.json").load()
    assert str(caught.value) == (
        f"config: nothing could be loaded: default/main: {tmp_path}/missing.json: cannot be read:"
        " No such file or directory"
    )
    (tmp_path / "wrong.json").write_bytes(WRONG)
    with pytest.raises(SettingsError) as caught:
        await app_of(tmp_path / "wrong.json", f"a/b={tmp_path}/x.json", strict=True).load()
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith("(and 1 more)")


async def test_what_loads_is_served_and_the_rest_is_awaited(tmp_path: pathlib.Path) -> None:
    path = tmp_path / "space.json"
    app = app_of(f"shop/main={STOREFRONT}", f"shop/staging={path}", reload_s=0.02)
    async with client_of(app) as client:
        assert (await client.post("/profiles", json={"events": [page()]})).status_code == 200
        there = "/v2/organizations/shop/environments/staging/profiles"
        url = client.base_url.copy_with(path=there)
        answer = await client.post(url, json={"events": [page()]})
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert "x-whichvariant-configuration" not in answer.headers
        ready = client.base_url.copy_with(path="/readyz")
        assert (await client.get(ready)).status_code == 503
        path.write_bytes(document("a"))
        until = time.monotonic() + 10
        while (await client.get(ready)).status_code != 200:
            assert time.monotonic() < until
            await asyncio.sleep(0.01)
        answer = await client.post(url, json={"events": [page()]})
        assert answer.status_code == 200
        assert answer.json()["data"]["profile"]["audiences"] == ["a"]


def test_an_environment_has_one_kind_of_source(engine: Engine, tmp_path: pathlib.Path) -> None:
    with pytest.raises(SettingsError, match=r"config: shop/main has an engine given"):
        create_app(ServerSettings(config=(f"shop/main={STOREFRONT}",)), engines={SHOP: engine})
    (tmp_path / "shop" / "main").mkdir(parents=True)
    (tmp_path / "shop" / "main" / "a.json").write_bytes(document("a"))
    app = create_app(ServerSettings(config=(str(tmp_path),)), engines={SHOP: engine})
    assert app.catalog.engine(SHOP) is engine


def test_a_process_that_has_nothing_to_serve_ends(tmp_path: pathlib.Path) -> None:
    missing = tmp_path / "missing.json"
    with (
        pytest.raises(AssertionError) as caught,
        served(tmp_path, config=missing, port=free_port()),
    ):
        pass
    lines = [line for line in str(caught.value).splitlines() if "nothing could be loaded" in line]
    assert len(lines) == 1
    assert lines[0].endswith(f"default/main: {missing}: cannot be read: No such file or directory")
    assert "Traceback" not in str(caught.value)
