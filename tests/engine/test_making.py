"""Making an engine: from files, bytes and objects; strict or not; saved, pickled, copied."""

from __future__ import annotations

import copy
import json
import os
import pathlib
import pickle
from collections.abc import Callable
from types import MappingProxyType
from typing import Any

import msgpack
import pytest

from core.small import audience, document, experience, leaf
from engine.storefront import DOCUMENT, NATIVE, NOW, SPACE, VISITORS, engine_of
from whichvariant import (
    ConfigurationError,
    DocumentError,
    Engine,
    ProgramError,
    WhichVariantError,
)

SMALL = document([experience("e", "a")], [audience("a", leaf("equal", "x"))])
FAULTY = document(
    [experience("good"), experience("bad", traffic=2), experience("orphan", "broken")],
    [audience("broken", {"all": [{"type": "horoscope"}]}), audience("unused", {"all": []})],
)


def saved(folder: pathlib.Path, name: str, content: bytes) -> pathlib.Path:
    path = folder / name
    path.write_bytes(content)
    return path


def ids(engine: Engine) -> list[str]:
    return [entry.id for entry in engine.configuration.experiences]


# --- from files ----------------------------------------------------------------------------------


@pytest.mark.parametrize("convert", [str, pathlib.Path])
def test_load_takes_texts_and_paths(convert: Callable[[pathlib.Path], Any]) -> None:
    assert Engine.load(convert(NATIVE)).digest == Engine.load(convert(SPACE)).digest


class Somewhere:
    """A path that is neither text nor pathlib's."""

    def __fspath__(self) -> str:
        return os.fspath(NATIVE)


def test_load_takes_anything_with_a_path() -> None:
    assert Engine.load(Somewhere()).digest == engine_of().digest


def test_load_merges_files(tmp_path: pathlib.Path) -> None:
    one = saved(tmp_path, "one.json", json.dumps(document([experience("e1", "a")])).encode())
    two = saved(tmp_path, "two.msgpack", msgpack.packb(document([], [audience("a", {"all": []})])))
    assert ids(Engine.load(one, two)) == ids(Engine.load(two, one)) == ["e1"]


@pytest.mark.parametrize("name", ["shop.program", "shop.json", "shop"])
def test_load_recognises_a_program_by_its_content(tmp_path: pathlib.Path, name: str) -> None:
    path = saved(tmp_path, name, engine_of().to_bytes())
    engine = Engine.load(str(path))
    assert engine.digest == engine_of().digest
    assert Engine.load(path).to_bytes() == path.read_bytes()


def test_a_program_does_not_merge(tmp_path: pathlib.Path) -> None:
    path = saved(tmp_path, "shop.program", engine_of().to_bytes())
    with pytest.raises(DocumentError, match=r"shop\.program"):
        Engine.load(path, NATIVE)
    with pytest.raises(DocumentError):
        Engine.from_bytes(path.read_bytes(), json.dumps(SMALL).encode())


def test_a_damaged_program_names_its_file(tmp_path: pathlib.Path) -> None:
    path = saved(tmp_path, "shop.program", engine_of().to_bytes()[:-1])
    with pytest.raises(ProgramError, match=r"shop\.program: .*damaged"):
        Engine.load(path)


def test_a_file_that_is_not_there(tmp_path: pathlib.Path) -> None:
    with pytest.raises(DocumentError, match=r"absent\.json"):
        Engine.load(tmp_path / "absent.json")
    with pytest.raises(DocumentError):
        Engine.load(tmp_path)


@pytest.mark.skipif(not os.path.exists("/proc/self/mem"), reason="no file here that fails to read")
def test_a_file_that_cannot_be_read() -> None:
    """Reading the first bytes of this one fails, for everybody and whoever they are."""
    with pytest.raises(DocumentError, match="/proc/self/mem"):
        Engine.load(NATIVE, "/proc/self/mem")
    with pytest.raises(DocumentError, match="/proc/self/mem"):
        Engine.load("/proc/self/mem")


def test_nothing_to_load() -> None:
    for make in (Engine.load, Engine.from_bytes, Engine.from_dict):
        with pytest.raises(DocumentError, match="no documents"):
            make()


# --- from bytes and objects ----------------------------------------------------------------------


@pytest.mark.parametrize("convert", [bytes, bytearray, memoryview])
@pytest.mark.parametrize(
    "content",
    [json.dumps(SMALL).encode(), msgpack.packb(SMALL), Engine.from_dict(SMALL).to_bytes()],
    ids=["json", "msgpack", "program"],
)
def test_from_bytes(convert: Callable[[bytes], Any], content: bytes) -> None:
    assert Engine.from_bytes(convert(content)).digest == Engine.from_dict(SMALL).digest


def test_documents_in_memory_are_numbered() -> None:
    wrong = document([experience("e", traffic=2)])
    for make, documents in (
        (Engine.from_dict, [SMALL, wrong]),
        (Engine.from_bytes, [json.dumps(SMALL).encode(), json.dumps(wrong).encode()]),
    ):
        with pytest.raises(ConfigurationError) as caught:
            make(*documents)
        assert "document 2" in {finding.source for finding in caught.value.findings}


def test_from_dict_takes_mappings_and_copies() -> None:
    given = copy.deepcopy(SMALL)
    engine = Engine.from_dict(MappingProxyType(given))
    given["experiences"].clear()
    given["audiences"][0]["nt_rules"]["value"] = "y"
    assert engine.digest == Engine.from_dict(SMALL).digest
    assert engine.select({"stableId": "v", "traits": {"k": "x"}}).audiences == ["a"]


def test_an_engine_from_a_configuration() -> None:
    whole = engine_of()
    engine = Engine(whole.configuration)
    assert (engine.digest, engine.findings) == (whole.digest, ())
    assert engine.to_bytes() == whole.to_bytes()


# --- strict and not ------------------------------------------------------------------------------


def test_strict_refuses_all_errors_at_once() -> None:
    with pytest.raises(ConfigurationError) as caught:
        Engine.from_dict(FAULTY)
    codes = [finding.code for finding in caught.value.findings if finding.severity == "error"]
    assert sorted(codes) == ["audience-withheld", "out-of-range", "unknown-rule-type"]
    assert isinstance(caught.value, WhichVariantError)


@pytest.mark.parametrize("source", ["load", "from_bytes", "from_dict"])
def test_lenient_withholds_what_is_at_fault(tmp_path: pathlib.Path, source: str) -> None:
    content = json.dumps(FAULTY).encode()
    engine = {
        "load": lambda: Engine.load(saved(tmp_path, "f.json", content), strict=False),
        "from_bytes": lambda: Engine.from_bytes(content, strict=False),
        "from_dict": lambda: Engine.from_dict(FAULTY, strict=False),
    }[source]()
    assert ids(engine) == ["good"]
    assert [entry.id for entry in engine.configuration.audiences] == ["unused"]
    assert {finding.code for finding in engine.findings} >= {"out-of-range", "unused-audience"}
    chosen = engine.select({"stableId": "v"}).experiences
    assert [record["experienceId"] for record in chosen] == ["good"]


def test_warnings_stop_nothing() -> None:
    engine = Engine.from_dict(document(audiences=[audience("a", {"any": []})]))
    assert {finding.severity for finding in engine.findings} == {"warning"}


def test_what_is_no_configuration_is_refused_leniently_too() -> None:
    for wrong in ({}, {"format": "whichvariant/2"}):
        with pytest.raises(DocumentError):
            Engine.from_dict(wrong, strict=False)
    with pytest.raises(DocumentError):
        Engine.from_bytes(b"{", strict=False)


# --- saved, pickled, copied ----------------------------------------------------------------------

COPIES: dict[str, Callable[[Engine], Engine]] = {
    "bytes": lambda engine: Engine.from_bytes(engine.to_bytes()),
    "pickle": lambda engine: pickle.loads(pickle.dumps(engine)),
    "old pickle": lambda engine: pickle.loads(pickle.dumps(engine, protocol=0)),
    "copy": copy.copy,
    "deepcopy": copy.deepcopy,
}


@pytest.mark.parametrize("copied", COPIES.values(), ids=COPIES)
@pytest.mark.parametrize("scheme", ["murmur3", "xxh64"])
def test_a_copy_is_the_same_engine(copied: Callable[[Engine], Engine], scheme: str) -> None:
    engine = engine_of(scheme)
    other = copied(engine)
    assert other is not engine
    assert (other.digest, other.scheme, repr(other)) == (engine.digest, scheme, repr(engine))
    assert other.configuration == engine.configuration
    assert other.to_bytes() == engine.to_bytes()
    for visitor in VISITORS:
        answer = engine.select(visitor.profile, **visitor.situation)
        assert other.select(visitor.profile, **visitor.situation) == answer
        explained = engine.explain(visitor.profile, **visitor.situation).to_dict()
        assert other.explain(visitor.profile, **visitor.situation).to_dict() == explained


def test_a_copy_keeps_no_findings() -> None:
    engine = Engine.from_dict(FAULTY, strict=False)
    assert engine.findings
    assert pickle.loads(pickle.dumps(engine)).findings == ()


class Shop(Engine):
    """An engine of somebody's own."""


def test_a_subclass_stays_itself() -> None:
    shop = Shop.from_dict(SMALL)
    assert type(shop) is type(pickle.loads(pickle.dumps(shop))) is Shop
    assert type(Shop.from_bytes(shop.to_bytes())) is Shop


# --- what it tells of itself ---------------------------------------------------------------------


def test_the_digest_is_the_configurations() -> None:
    engine = engine_of()
    assert engine.digest == engine.configuration.digest
    assert len(engine.digest) == 32
    assert int(engine.digest, 16) >= 0
    assert engine.explain({"stableId": "v"}, now=NOW).to_dict()["digest"] == engine.digest


def test_the_scheme_is_part_of_the_digest() -> None:
    assert engine_of("xxh64").scheme == "xxh64"
    assert engine_of("xxh64").digest != engine_of().digest


def test_repr() -> None:
    assert repr(Engine.from_dict(SMALL)) == (
        f"<Engine {Engine.from_dict(SMALL).digest[:12]}: 1 experiences, 1 audiences, murmur3>"
    )


@pytest.mark.parametrize("name", ["configuration", "findings", "digest", "scheme", "program"])
def test_properties_are_read_only(name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(Engine.from_dict(SMALL), name, None)


def test_a_second_init_changes_nothing() -> None:
    engine = Engine.from_dict(SMALL)
    before = engine.digest, engine.to_bytes()
    with pytest.raises(TypeError, match="immutable"):
        engine.__init__(engine_of().configuration)  # type: ignore[misc]
    assert (engine.digest, engine.to_bytes()) == before


def test_the_storefront_is_what_these_tests_take_it_for() -> None:
    assert len(DOCUMENT["experiences"]) == len(engine_of().configuration.experiences) > 5
    assert any(visitor.situation.get("events") for visitor in VISITORS)
