"""Inputs that matter to a scanner, one a file: the fuzzers start from them, and each is tried here.

An input that a fuzzer finds belongs into ``corpus/`` once it is understood.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from columns import test_records
from columns.profiles_of import storefront
from robustness import test_scanner

CORPUS = Path(__file__).parent / "corpus"
JSON = sorted((CORPUS / "json").iterdir())
MSGPACK = sorted((CORPUS / "msgpack").iterdir())


def name_of(path: Path) -> str:
    return path.stem


def test_there_is_a_corpus() -> None:
    assert len(JSON) > 60
    assert len(MSGPACK) > 20


@pytest.mark.parametrize("path", JSON, ids=name_of)
def test_one_profile(path: Path) -> None:
    for engine in test_scanner.ENGINES:
        test_scanner.compare(engine, path.read_bytes(), audiences="rules")
        test_scanner.compare(engine, path.read_bytes(), audiences="given")


@pytest.mark.parametrize("path", JSON, ids=name_of)
def test_one_line(path: Path) -> None:
    line = path.read_bytes().replace(b"\n", b" ")
    test_records.compare_line(storefront()[0], line)
    test_records.compare_cuts(storefront()[0], b"[" + line + b"]", "json", Random(1))


@pytest.mark.parametrize("path", MSGPACK, ids=name_of)
def test_one_record_in_msgpack(path: Path) -> None:
    data = path.read_bytes()
    test_records.compare_msgpack(storefront()[0], data)
    test_records.compare_cuts(storefront()[0], data, "msgpack", Random(1))
