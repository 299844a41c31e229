"""Where records begin and end in a source, whatever it is cut into, and what is refused."""

from __future__ import annotations

import json
from random import Random
from typing import Any

import msgpack
import orjson
import pytest

from columns.profiles_of import decisions_of, ndjson, plain_profiles, storefront
from robustness.support import TOKENS, mutate_bytes
from whichvariant._core.coercion import MAX_DEPTH
from whichvariant.columns import Intake
from whichvariant.errors import EventError, InputError, ProfileError

GOOD = b'{"stableId":"a","traits":{"plan":"pro"}}'


def pieces(intake: Intake, data: bytes, sizes: list[int]) -> None:
    """Feed ``data`` in pieces, handing what was not read over again."""
    waiting = b""
    at = 0
    for size in [*sizes, len(data)]:
        waiting += data[at : at + size]
        at += size
        final = at >= len(data)
        used = intake.feed(waiting, final=final)
        waiting = waiting[used:]
        if final:
            break
    assert waiting == b""


def ids(intake: Intake) -> list[str]:
    return intake.evaluate()[0].stable_ids()


def test_lines_cut_anywhere() -> None:
    engine, _ = storefront()
    data = b"\xef\xbb\xbf" + GOOD + b"\r\n\n  \n\t" + GOOD.replace(b"a", b"b", 1) + b"\n{}\n" + GOOD
    for cut in range(1, len(data)):
        intake = Intake(engine)
        pieces(intake, data, [cut])
        assert intake.evaluate()[0].n_rows == 2
        (first, second) = intake.take_rejected()
        assert (first.record, first.line) == (1, 4)
        assert (second.record, second.line, str(second.error)) == (2, 5, "stableId: missing")
        assert data[second.offset : second.offset + second.length] == b"{}"
        assert intake.records == 4
        assert intake.offset == len(data)


def test_arrays_cut_anywhere() -> None:
    engine, _ = storefront()
    odd = b'{"stableId":"]},[{\\"","traits":{"plan":"p\\\\"}}'
    data = b" [ " + GOOD + b" ,\n" + odd + b", 5 ,{}," + GOOD + b" ]\n"
    for cut in range(1, len(data)):
        intake = Intake(engine)
        intake.begin("json")
        pieces(intake, data, [cut])
        assert ids(intake) == ["a", ']},[{"', "a"], cut
        rejected = intake.take_rejected()
        assert [one.record for one in rejected] == [2, 3]
        assert [data[one.offset :][: one.length] for one in rejected] == [b"5", b"{}"]
        assert rejected[0].line is None
        assert "expected" in str(rejected[0].error)


def test_msgpack_cut_anywhere() -> None:
    engine, _ = storefront()
    values: list[Any] = [
        {"stableId": "a", "traits": {"plan": "pro"}}, {"x": [1, b"", 2.5]}, {"stableId": "b" * 40},
    ]  # fmt: skip
    data = b"".join(msgpack.packb(value) for value in values)
    for cut in range(1, len(data)):
        intake = Intake(engine)
        intake.begin("msgpack")
        pieces(intake, data, [cut])
        assert ids(intake) == ["a", "b" * 40]
        (rejected,) = intake.take_rejected()
        assert str(rejected.error) == "stableId: missing"


@pytest.mark.parametrize(
    ("data", "taken", "refused"),
    [
        (b"", 0, 0), (b"[]", 0, 0), (b" \n", 0, 0), (GOOD, 1, 0), (b"[" + GOOD + b"]", 1, 0),
        (b"[" + GOOD + b",]", 1, 1), (b"[" + GOOD, 1, 0), (b"[" + GOOD + b",{", 1, 1),
        (b"[," + GOOD + b"]", 1, 1), (b"[" + GOOD + b"]x", 1, 1), (b"[" + GOOD + b"] ", 1, 0),
        (b"[" + GOOD + GOOD + b"]", 0, 1), (b"5", 0, 1), (GOOD + b"x", 0, 1), (b"[[]]", 0, 1),
        (b'["' + b"x", 0, 1), (b'["\\', 0, 1), (b"[}" + GOOD + b"]", 0, 1),
    ],
)  # fmt: skip
def test_odd_arrays(data: bytes, taken: int, refused: int) -> None:
    engine, _ = storefront()
    intake = Intake(engine)
    intake.begin("json")
    assert intake.feed(data) == len(data)
    if data == b"[" + GOOD:
        # The array is not closed; its elements are whole all the same.
        assert intake.n_rows + len(intake.take_rejected()) == 1
        return
    assert intake.n_rows == taken
    assert len(intake.take_rejected()) == refused


@pytest.mark.parametrize(
    ("record", "error", "path"),
    [
        (b"{", ProfileError, ""), (b'{"stableId":5}', ProfileError, "stableId"),
        (b'{"stableId":"x","traits":[]}', ProfileError, "traits"),
        (b'{"stableId":"x","traits":{"age":1e999}}', ProfileError, "traits.age"),
        (b'{"stableId":"x","stickyVariants":{"e0":"1"}}', ProfileError, "stickyVariants.e0"),
        (b'{"profile":{"stableId":"x"},"divice":"mobile"}', InputError, "divice"),
        (b'{"profile":{"stableId":"x"},"device":"phone"}', ProfileError, "device"),
        (b'{"profile":{"stableId":"x"},"device":5}', InputError, "device"),
        (b'{"profile":{"stableId":"x"},"events":{}}', EventError, "events"),
        (b'{"profile":{"stableId":"x"},"events":[{"type":"x"}]}', EventError, "events[0].type"),
        (b'{"profile":5}', ProfileError, "profile"),
        (b'{"data":{}}', ProfileError, "data"), (b'{"data":{"profile":[]}}', ProfileError,
                                                 "data.profile"),
        (b"[]", ProfileError, ""), (b'{"stableId":"\xff"}', ProfileError, ""),
        (b'{"stableId":"' + b"x" * 65_537 + b'"}', ProfileError, "stableId"),
        (b"[" * 300 + b"]" * 300, ProfileError, ""),
    ],
)  # fmt: skip
def test_reasons(record: bytes, error: type[InputError], path: str) -> None:
    """The error names what is wrong; the records around it are read."""
    engine, _ = storefront()
    intake = Intake(engine)
    intake.feed(GOOD + b"\n" + record + b"\n" + GOOD)
    assert ids(intake) == ["a", "a"]
    (rejected,) = intake.take_rejected()
    assert type(rejected.error) is error
    assert rejected.error.path == path
    assert "not accepted" not in str(rejected.error)
    assert intake.take_rejected() == []


@pytest.mark.parametrize(
    "record",
    [
        b'{"profile":{"stableId":"no"},"stableId":"a"}',
        b'{"profile":{"stableId":"no"},"id":5,"stableId":"a"}',
        b'{"data":5,"stableId":"a"}', b'{"data":{"profile":{}},"id":1,"stableId":"a"}',
        b'{"data":{"profile":{"stableId":"a"},"x":[]},"traits":5}',
        b'{"data":{"profile":5,"profile":{"stableId":"a"}}}',
        b'{"profile":5,"profile":{"stableId":"a"},"device":null,"events":null}',
        b'{"profile":{"stableId":"a"},"device":"mob\\u0069le","experiences":1,"changes":{}}',
        b'{"stableId":"a","device":5,"events":7}',
        b'{"stableId":"b","stable\\u0049d":"a"}',
    ],
)  # fmt: skip
def test_shapes(record: bytes) -> None:
    engine, _ = storefront()
    intake = Intake(engine)
    intake.feed(record)
    assert intake.take_rejected() == []
    assert ids(intake) == ["a"]


def test_a_batch_holds_so_many_rows() -> None:
    engine, _ = storefront()
    profiles = plain_profiles(100)
    data = ndjson(profiles)
    for form in ("ndjson", "json", "msgpack"):
        if form == "json":
            data = json.dumps(profiles).encode()
        elif form == "msgpack":
            data = b"".join(msgpack.packb(profile) for profile in profiles)
        intake = Intake(engine, rows=7)
        intake.begin(form)  # type: ignore[arg-type]
        found: list[str] = []
        rest = data
        while rest:
            used = intake.feed(rest)
            assert used
            rest = rest[used:]
            assert intake.full == (intake.n_rows == 7)
            found += ids(intake)
        assert found == [profile["stableId"] for profile in profiles]


def test_a_line_that_is_too_long_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    engine, _ = storefront()
    intake = Intake(engine)
    long = b'{"stableId":"' + b"x" * (64 * 1024 * 1024) + b'"}'
    assert intake.feed(long[:1000], final=False) == 0
    assert intake.feed(long, final=False) == len(long)
    assert intake.feed(b"still the same line", final=False) > 0
    assert intake.feed(b"\n" + GOOD, final=True) == len(GOOD) + 1
    assert ids(intake) == ["a"]
    (rejected,) = intake.take_rejected()
    assert "longer than 67108864 bytes" in str(rejected.error)


def test_broken_msgpack_ends_a_source() -> None:
    engine, _ = storefront()
    for rest, reason in ((b"\xc1", "not msgpack"), (b"\x81\xa1", "cut off")):
        intake = Intake(engine)
        intake.begin("msgpack")
        data = msgpack.packb({"stableId": "a"}) + rest
        assert intake.feed(data) == len(data)
        assert ids(intake) == ["a"]
        (rejected,) = intake.take_rejected()
        assert str(rejected.error) == reason
        assert intake.feed(b"more") == 4


# ---- against other readers ----------------------------------------------------------------------


def wanted_of(engine: Any, value: Any) -> Any:
    """What `select` makes of a record that another reader has read."""
    from whichvariant.columns.requests import request_of

    try:
        request = request_of(value)
        selection = engine.select(
            request.profile, device=request.device, events=request.events, now=0
        )
    except InputError:
        return None
    return selection.audiences, [
        (one["experienceId"], one["variantIndex"]) for one in selection.experiences
    ]


def test_mutated_msgpack_is_read_as_by_the_msgpack_library() -> None:
    engine, _ = storefront()
    profiles = [*plain_profiles(40), {"profile": plain_profiles(1)[0], "device": "mobile"}]
    seeds = [msgpack.packb(profile, use_single_float=n % 2 == 0) for n, profile in
             enumerate(profiles)]  # fmt: skip
    seen = {"read": 0, "refused": 0}
    for seed in range(4000):
        rng = Random(seed)
        data = mutate_bytes(rng, rng.choice(seeds))
        seen[compare_msgpack(engine, data)] += 1
    assert min(seen.values()) > 100, seen


def compare_msgpack(engine: Any, data: bytes) -> str:
    """Let both read ``data``, one record, and find them to agree."""
    intake = Intake(engine, now=0)
    intake.begin("msgpack")
    intake.feed(data)
    unpacker = msgpack.Unpacker(strict_map_key=False, raw=False)
    unpacker.feed(data)
    try:
        value = unpacker.unpack()
    except msgpack.OutOfData:
        assert intake.n_rows == 0
        return "refused"
    except (ValueError, TypeError, msgpack.UnpackException):
        # A key that cannot be hashed is no error to us: it names nothing.
        return "refused"
    wanted = wanted_of(engine, value)
    found = decisions_of(intake)[0][0]
    if wanted is None:
        assert isinstance(found, str), data
        assert found != "not accepted", data
        return "refused"
    assert found == wanted, data
    return "read"


def test_mutated_lines_are_read_as_by_orjson() -> None:
    engine, _ = storefront()
    seeds = ndjson(plain_profiles(60)).splitlines()
    seeds += [b'{"profile":' + line + b',"device":"mobile","events":[]}' for line in seeds[:10]]
    seeds += [b'{"data":{"profile":' + line + b"}}" for line in seeds[:10]]
    seen = {"read": 0, "refused": 0}
    for seed in range(4000):
        rng = Random(seed)
        line = mutate_bytes(rng, rng.choice(seeds))
        if rng.random() < 0.2:
            line = line.replace(b"}", rng.choice(TOKENS) + b"}", 1)
        seen[compare_line(engine, line.replace(b"\n", b" "))] += 1
    assert min(seen.values()) > 100, seen


@pytest.mark.parametrize("line", [b"", b" ", b"\xef\xbb\xbf", b"\xef\xbb\xbf \t\r"])
def test_a_line_without_anything_is_no_record(line: bytes) -> None:
    assert compare_line(storefront()[0], line) == "refused"


def depth_of(value: Any) -> int:
    """How deeply objects and arrays are nested."""
    depth = 0
    level = [value]
    while level := [one for one in level if isinstance(one, (dict, list))]:
        depth += 1
        level = [
            inner for one in level for inner in (one.values() if isinstance(one, dict) else one)
        ]
    return depth


@pytest.mark.parametrize("key", ["traits", "unread"])
@pytest.mark.parametrize("depth", [MAX_DEPTH - 1, MAX_DEPTH, MAX_DEPTH + 1])
def test_the_deepest_line(key: str, depth: int) -> None:
    inner = depth - 2
    line = b'{"stableId":"a","%s":{"unread":' % key.encode() + b"[" * inner + b"]" * inner + b"}}"
    expected = "read" if depth <= MAX_DEPTH else "refused"
    assert compare_line(storefront()[0], line) == expected


def compare_line(engine: Any, line: bytes) -> str:
    """Let both read one line, and find them to agree."""
    intake = Intake(engine, now=0)
    assert intake.feed(line) == len(line)
    if not line.removeprefix(b"\xef\xbb\xbf").strip():
        assert intake.records == 0
        return "refused"
    found = decisions_of(intake)[0][0]
    try:
        value = orjson.loads(line.removeprefix(b"\xef\xbb\xbf"))
    except orjson.JSONDecodeError:
        # Numbers too large for a double are no error where no rule reads them.
        assert isinstance(found, str) or b"e" in line or b"E" in line or len(line) > 300, line
        return "refused"
    if depth_of(value) > MAX_DEPTH:
        # Whoever reads JSON sees it; `select` looks at no attribute that no rule reads.
        assert isinstance(found, str), line
        assert "nested too deeply" in found, line
        return "refused"
    wanted = wanted_of(engine, value)
    if wanted is None:
        assert isinstance(found, str), line
        assert found != "not accepted", line
        return "refused"
    assert found == wanted, line
    return "read"


def compare_cuts(engine: Any, data: bytes, form: Any, rng: Random) -> str:
    """Let a source be read in one piece and in several, and find the same records."""
    found = []
    for cuts in ([], [rng.randrange(1, 2 + len(data) // 2) for _ in range(rng.randrange(1, 9))]):
        intake = Intake(engine, now=0)
        intake.begin(form)
        pieces(intake, data, cuts)
        records = intake.records
        rejected = [(one.record, one.offset, one.length) for one in intake.take_rejected()]
        (result,) = intake.evaluate()
        found.append((records, rejected, result.digest()))
        assert result.n_rows + len(rejected) == records
    assert found[0] == found[1], data
    return "read" if found[0][0] > len(found[0][1]) else "refused"


@pytest.mark.parametrize("form", ["ndjson", "json", "msgpack"])
def test_broken_sources_are_the_same_however_they_are_cut(form: str) -> None:
    engine, _ = storefront()
    profiles = plain_profiles(30)
    lines = ndjson(profiles)
    for seed in range(400):
        rng = Random(seed)
        some = rng.sample(profiles, rng.randrange(5))
        if form == "msgpack":
            data = b"".join(msgpack.packb(one) for one in some)
        elif form == "json":
            data = json.dumps(some).encode()
        else:
            start = rng.randrange(len(lines))
            data = lines[start : start + rng.randrange(800)]
        compare_cuts(engine, mutate_bytes(rng, data), form, rng)
