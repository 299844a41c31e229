"""Over a thousand broken configurations: refused with findings, or served, and never a crash.

A configuration that loads must also work: it selects, explains, saves itself and comes back equal.
"""

from __future__ import annotations

import copy
import io
import pickle
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import msgpack
import pytest

from loading.builders import audience_entry, experience_entry, export, link
from robustness.support import (
    DEEP,
    EVENTS,
    JUNK,
    NOT_JSON,
    NOW,
    PROFILE,
    RICH,
    as_json,
    document,
    mutate,
    mutate_bytes,
    nested,
    rounds,
)
from whichvariant import Engine
from whichvariant.errors import ConfigurationError, DocumentError, WhichVariantError

EXPORT: dict[str, Any] = export(
    *(
        audience_entry(f"x{number}", nt_audience_id=a["nt_audience_id"], nt_rules=a["nt_rules"])
        for number, a in enumerate(RICH["audiences"])
    ),
    *(
        experience_entry(
            f"y{number}",
            nt_experience_id=e["nt_experience_id"],
            nt_audience=link(f"x{number}"),
            nt_config=e["nt_config"],
        )
        for number, e in enumerate(RICH["experiences"])
    ),
)
BASES: list[dict[str, Any]] = [RICH, RICH, EXPORT, EXPORT["entries"][-1]]


def load(*sources: Any, strict: bool) -> Engine | WhichVariantError:
    """An engine, or the error of our own that says why there is none; any other error is raised."""
    try:
        if isinstance(sources[0], bytes):
            return Engine.from_bytes(*sources, strict=strict)
        return Engine.from_dict(*sources, strict=strict)
    except (ConfigurationError, DocumentError) as error:
        return error


def check(*sources: Any) -> str:
    """Load strictly and not, and use what loads. How it went, in one word."""
    strict, lenient = load(*sources, strict=True), load(*sources, strict=False)
    if isinstance(strict, ConfigurationError):
        assert any(finding.severity == "error" for finding in strict.findings)
        assert str(strict)
    if isinstance(strict, DocumentError):
        # What is not a configuration at all is refused either way, for the same reason.
        assert isinstance(lenient, DocumentError)
        assert str(lenient) == str(strict)
        return "refused"
    if isinstance(strict, Engine):
        assert isinstance(lenient, Engine)
        assert strict.digest == lenient.digest
        assert all(finding.severity == "warning" for finding in strict.findings)
    if isinstance(lenient, Engine):
        use(lenient)
        return "served" if isinstance(strict, Engine) else "withheld"
    assert isinstance(lenient, ConfigurationError)
    return "refused"


def use(engine: Engine) -> None:
    """An engine that came of a broken configuration decides, both ways, and survives saving."""
    asked: dict[str, Any] = {"device": "mobile", "events": EVENTS, "now": NOW}
    selection = engine.select(PROFILE, **asked)
    assert selection == engine.select(PROFILE, **asked, fresh=True)
    again = Engine.from_bytes(engine.to_bytes())
    assert again.digest == engine.digest
    assert again.select(PROFILE, **asked) == selection
    assert again.select_json(as_json(PROFILE), **asked) == engine.select_json(
        as_json(PROFILE), **asked
    )


def test_the_bases_are_sound() -> None:
    for base in BASES[:3]:
        assert check(base) == "served"


def test_mutated_objects() -> None:
    """Values of JSON in wrong places."""
    seen: Counter[str] = Counter()
    for rng in rounds(400):
        content = mutate(rng, rng.choice(BASES), JUNK)
        before = copy.deepcopy(content)
        seen[check(content)] += 1
        assert content == before
    assert min(seen["refused"], seen["withheld"], seen["served"]) > 20, seen


def test_mutated_objects_with_what_is_not_json() -> None:
    for rng in rounds(250, first=10_000):
        check(mutate(rng, rng.choice(BASES), NOT_JSON + DEEP))


def test_mutated_json() -> None:
    texts = [as_json(base) for base in BASES]
    seen: Counter[str] = Counter()
    for rng in rounds(500, first=20_000):
        seen[check(mutate_bytes(rng, rng.choice(texts)))] += 1
    assert seen["refused"] > 100
    assert seen["served"] > 10


def test_json_of_mutated_objects_is_decided_alike() -> None:
    for rng in rounds(150, first=30_000):
        content = mutate(rng, rng.choice(BASES), JUNK)
        by_object = load(content, strict=False)
        by_text = load(as_json(content), strict=False)
        by_msgpack = load(msgpack.packb(content), strict=False)
        assert type(by_object) is type(by_text) is type(by_msgpack)
        assert str(by_object) == str(by_text) == str(by_msgpack)


def test_mutated_msgpack() -> None:
    texts = [msgpack.packb(base) for base in BASES]
    for rng in rounds(300, first=40_000):
        data = mutate_bytes(rng, rng.choice(texts))
        if data:
            check(data)


def test_several_documents() -> None:
    for rng in rounds(100, first=50_000):
        check(mutate(rng, RICH, JUNK), mutate(rng, rng.choice(BASES), JUNK))


def test_mutated_files(tmp_path: Path) -> None:
    file = tmp_path / "space.json"
    for rng in rounds(50, first=60_000):
        file.write_bytes(mutate_bytes(rng, as_json(EXPORT)))
        for strict in (True, False):
            try:
                Engine.load(file, strict=strict)
            except (ConfigurationError, DocumentError) as error:
                assert "space.json" in str(error)


@pytest.mark.parametrize("key", ["nt_rules", "nt_config", "nt_name", "extra"])
def test_deep_nesting_is_an_error(key: str) -> None:
    """Deeper than Python's own recursion limit, as an object and as text."""
    for inner in (nested(100_000), nested(100_000, key="any"), nested(100_000, key="not")):
        content = document()
        content["experiences"][0][key] = inner
        assert check(content) == "refused"
        # A dict this deep is beyond what an encoder writes, so the text is put together by hand.
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}"), (b'{"any":[', b"]}")):
        deep = opening * 100_000 + b"1" + closing * 100_000
        assert check(b'{"experiences":[{"%s":%s}]}' % (key.encode(), deep)) == "refused"


def test_cycles_are_an_error() -> None:
    for content in (document(), RICH):
        ring: dict[str, Any] = copy.deepcopy(content)
        ring["experiences"].append(ring)
        assert check(ring) == "refused"
    loop: list[Any] = []
    loop += [loop, loop]
    assert check({"experiences": loop}) == "refused"


@pytest.mark.parametrize(
    "value",
    [10**400, -(10**400), 10**5000, float("nan"), float("inf"), "\ud800", {"\udfff": 1}, b"x"],
    ids=lambda value: type(value).__name__,
)
def test_what_json_cannot_hold_is_refused_with_its_path(value: Any) -> None:
    content = document()
    content["experiences"][0]["nt_config"]["traffic"] = value
    with pytest.raises(DocumentError, match=r"experiences\[0\].nt_config.traffic") as caught:
        Engine.from_dict(content)
    # A refusal can be shown and carried to another process.
    assert str(caught.value).encode()


def test_huge_numbers_in_text() -> None:
    for number in (b"1e400", b"-1e400", b"9" * 5000, b"1" + b"0" * 400, b"1e-99999999999999999999"):
        text = as_json(document()).replace(b'"traffic":1', b'"traffic":%s' % number)
        assert check(text) in {"refused", "withheld", "served"}


def test_ten_megabyte_texts() -> None:
    long = "x" * 10_000_000
    for key in ("nt_experience_id", "nt_name", "nt_description", "nt_audience", "nt_type", "extra"):
        content = document()
        content["experiences"][0][key] = long
        assert check(content) in {"withheld", "served"}
    for leaf in (
        {"type": long},
        {"type": "identify", "key": "k", "operator": long, "value": 1},
        {"type": "identify", "key": "k", "operator": "gt", "value": long},
    ):
        engine = load(document(leaf), strict=False)
        assert isinstance(engine, Engine)
        # A finding quotes what it is about, but not all of it.
        assert all(len(str(finding)) < 1000 for finding in engine.findings)
    for operator in ("equal", "contains", "in"):
        value = [long] if operator == "in" else long
        leaf = {"type": "identify", "key": "k", "operator": operator, "value": value}
        engine = Engine.from_dict(document(leaf))
        assert engine.select({"stableId": "s", "traits": {"k": long}}).audiences == ["a0"]
        assert engine.select({"stableId": "s", "traits": {"k": long[1:]}}).audiences == []


@pytest.mark.parametrize(
    "content",
    [
        msgpack.packb({"experiences": [float("nan")]}),
        as_json(document({"type": "nonsense"})),
    ],
    ids=["document", "configuration"],
)
def test_errors_survive_pickling(content: bytes) -> None:
    """A refusal in a worker process has to reach the one that asked, with all it says."""
    with pytest.raises(WhichVariantError) as caught:
        Engine.from_bytes(content)
    error = caught.value
    copied = pickle.loads(pickle.dumps(error))
    assert type(copied) is type(error)
    assert str(copied) == str(error)
    assert vars(copied) == vars(error)


def test_random_bytes() -> None:
    for rng in rounds(300, first=70_000):
        data = bytes(rng.randrange(256) for _ in range(rng.randrange(1, 80)))
        assert check(data) == "refused"


def test_not_bytes_and_not_mappings() -> None:
    for value in (None, 5, [], "text", [RICH], object()):
        with pytest.raises(DocumentError):
            Engine.from_dict(value)  # type: ignore[arg-type]
    for value in (None, 5, "text", io.BytesIO(b"{}")):
        with pytest.raises((TypeError, WhichVariantError)):
            Engine.from_bytes(value)  # type: ignore[arg-type]


def test_seeds_are_repeatable() -> None:
    """A failure above can be had again from its seed."""
    assert mutate(Random(5), RICH, JUNK) == mutate(Random(5), RICH, JUNK)
