"""Tables that contradict themselves are refused when a program is built, not when it decides.

A saved program may be damaged or hostile: each test takes sound tables, breaks one thing, and
expects a ValueError, because what is not refused here is followed without a check later.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from core.small import Json, audience, document, experience, leaf
from whichvariant import Engine
from whichvariant.compiler import build_program, compile_tables
from whichvariant.compiler.templates import shared_objects

Tables = dict[str, Any]
Damage = Callable[[Tables], None]

VARIABLE = {
    "type": "InlineVariable",
    "key": "headline",
    "baseline": {"value": "Hello"},
    "variants": [{"value": "Hallo"}, {"value": "Salut"}],
}
CONDITIONS = [
    {"key": {"id": "context_page_path"}, "operator": "equal", "value": "/"},
    {"key": {"id": "property", "value": "plan"}, "operator": "contains", "value": "pro"},
]
ACTIVITY: Json = {
    "type": "track",
    "value": "bought",
    "conditions": CONDITIONS,
    "within": {"days": 1},
}
COMPARISONS = [
    leaf("greaterThan", 5, key="age"),
    leaf("greaterThan", 8, key="age"),
    leaf("lessThan", 5, key="age"),
    leaf("lessThan", 8, key="age"),
    leaf("in", ["a", 5], key="age"),
    leaf("contains", "x", key="age"),
    leaf("matches", "^x", key="age"),
    leaf("exists", key="age"),
    leaf("exists", key="name"),
]
AGE = {"ge": 2, "lt": 4, "in": 6, "contains": 7, "matches": 8, "exists": 9}
"""Where the comparisons of ``traits.age`` stand among the leaves; before them the two counters'."""


def configuration(scheme: str) -> Json:
    rules = {"any": [*COMPARISONS, ACTIVITY, {"type": "page"}]}
    rows = [
        experience("e0", "a", distribution=[0.2, 0.3, 0.5], components=[VARIABLE]),
        experience("e1", "b", distribution=[0.5, 0.5], sticky=True),
        experience("e2", sticky=True),
    ]
    return document(rows, [audience("a", rules), audience("b", leaf("exists", key="name"))], scheme)


def sound(scheme: str = "murmur3") -> Tables:
    return copy.deepcopy(compile_tables(Engine.from_dict(configuration(scheme)).configuration))


# --- ways to break one thing ---------------------------------------------------------------------


def put(path: str, value: Any) -> Damage:
    """Replace one value; ``path`` is dotted, numbers in it are indices."""

    def damage(tables: Tables) -> None:
        holder: Any = tables
        *outer, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        for part in outer:
            holder = holder[part]
        holder[last] = value(holder[last]) if callable(value) else value

    return damage


def element(path: str, dtype: str, index: int, value: float) -> Damage:
    """Replace one element of a buffer."""

    def changed(buffer: bytes) -> bytes:
        array = np.frombuffer(buffer, dtype).copy()
        array[index] = value
        return array.tobytes()

    return put(path, changed)


def both_of(*damages: Damage) -> Damage:
    def damage(tables: Tables) -> None:
        for one in damages:
            one(tables)

    return damage


def refused(damage: Damage, message: str, scheme: str = "murmur3") -> None:
    tables = sound(scheme)
    build_program(tables)
    damage(tables)
    with pytest.raises(ValueError, match=message):
        build_program(tables)


BUFFERS = [
    "leaves.slot",
    "leaves.op",
    "leaves.number",
    "event_leaves.slot",
    "event_leaves.op",
    "event_leaves.number",
    "graph.leaf",
    "graph.low",
    "graph.high",
    "graph.entry",
    "lanes.state",
    "lanes.tail",
    "lanes.length",
    "experiences.audience",
    "experiences.traffic_count",
    "experiences.sticky",
    "experiences.highest_index",
    "experiences.first_piece",
    "experiences.piece_limit",
    "experiences.piece_index",
    "records.first_change",
]


def test_every_buffer_is_named_here() -> None:
    found = {
        f"{table}.{name}"
        for table, content in sound().items()
        if isinstance(content, dict)
        for name, value in content.items()
        if isinstance(value, bytes)
    }
    assert found == set(BUFFERS)


@pytest.mark.parametrize("path", BUFFERS)
@pytest.mark.parametrize(
    "change",
    [
        lambda b: b[:-1],
        lambda b: b[:-8],
        lambda b: b + b"\0",
        lambda b: b + bytes(8),
        lambda b: b"",
    ],
    ids=["a byte short", "8 bytes short", "a byte long", "8 bytes long", "empty"],
)
def test_buffers_have_the_length_that_they_need(
    path: str, change: Callable[[bytes], bytes]
) -> None:
    refused(put(path, change), r"^table |^the graph lacks its ends$")


@pytest.mark.parametrize("size", [-8, -1, 1, 8])
def test_salts_have_the_length_that_they_need(size: int) -> None:
    def change(salts: bytes) -> bytes:
        return salts[:size] if size < 0 else salts + bytes(size)

    refused(put("lanes.salt", change), "table lanes.salt", scheme="xxh64")


@pytest.mark.parametrize("index", range(6))
@pytest.mark.parametrize("length", [0, 1, 10, 2**32 - 1])
def test_the_two_prefixes_of_an_experience_differ_by_five(index: int, length: int) -> None:
    """``distribution-`` is five longer than ``traffic-``; only one length is kept."""
    refused(element("lanes.length", "<u4", index, length), "bad prefix lengths")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (put("scheme", "md5"), "unknown bucketing scheme"),
        (put("scheme", ""), "unknown bucketing scheme"),
        (put("scheme", "xxh64"), "salt"),
    ],
)
def test_the_scheme(damage: Damage, message: str) -> None:
    tables = sound()
    damage(tables)
    with pytest.raises((ValueError, KeyError), match=message):
        build_program(tables)


# --- leaves --------------------------------------------------------------------------------------

OUT_OF_ORDER = r"leaf \d+ is out of order"
THRESHOLD = r"threshold of leaf \d+ is out of order"


def paths_of(*paths: list[Any]) -> Damage:
    return put("leaves.paths", [list(path) for path in paths])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (put("leaves.paths", lambda paths: paths[::-1]), "slots are not in ascending order"),
        (put("leaves.paths", lambda paths: [paths[0]] * 4), "slots are not in ascending order"),
        (put("leaves.paths", lambda paths: paths[:-1]), "no such slot or operation"),
        (put("leaves.paths.2", ["traits"]), "bad slot path"),
        (put("leaves.paths.3", ["traits", "name", 5]), "bad slot path"),
        (put("leaves.paths.3", ["traits", "name", *["x"] * 255]), "bad slot path"),
        (put("event_leaves.paths.0", ["context", 5]), "bad event path"),
        (put("leaves.paths.3", ["url", "path"]), "a slot outside the profile"),
        (put("leaves.paths.2", ["device", "name"]), "a slot outside the profile"),
        (put("leaves.paths.3", ["visits", "count"]), "a slot outside the profile"),
        (element("leaves.slot", "<u4", -1, 4), "no such slot or operation"),
        (element("leaves.slot", "<u4", 0, 2**32 - 1), "no such slot or operation"),
        (element("leaves.slot", "<u4", -1, 1), OUT_OF_ORDER),
        (element("leaves.op", "u1", AGE["ge"], 8), "no such slot or operation"),
        (element("leaves.op", "u1", AGE["ge"], 255), "no such slot or operation"),
        (element("leaves.op", "u1", AGE["lt"], 7), OUT_OF_ORDER),
        (element("leaves.op", "u1", AGE["exists"] - 1, 7), OUT_OF_ORDER),
        (element("leaves.number", "<f8", AGE["ge"], 9.5), THRESHOLD),
        (element("leaves.number", "<f8", AGE["lt"] + 1, 5), THRESHOLD),
        (element("leaves.number", "<f8", AGE["lt"] + 1, -5), THRESHOLD),
        (element("leaves.number", "<f8", AGE["lt"], np.nan), "is not a number|is out of order"),
        (element("leaves.number", "<f8", AGE["ge"], np.nan), "is not a number|is out of order"),
        (
            put("leaves.operands", lambda operands: operands[:-1]),
            "length differs from the operands",
        ),
        (put("leaves.operands", lambda operands: [*operands, None]), "length differs"),
        (put("leaves.operands", []), "length differs"),
    ],
)
def test_leaves(damage: Damage, message: str) -> None:
    def shifted(tables: Tables) -> None:
        # The first two slots are the activity counters', each with one leaf.
        assert [path[0] for path in tables["leaves"]["paths"]] == ["activity"] * 2 + ["traits"] * 2
        damage(tables)

    refused(shifted, message)


@pytest.mark.parametrize("table", ["leaves", "event_leaves"])
@pytest.mark.parametrize("member", [5, None, True, b"a", ["a"], float("inf"), float("nan")])
def test_members_are_texts_and_finite_numbers(table: str, member: Any) -> None:
    def damage(tables: Tables) -> None:
        operands = tables[table]["operands"]
        [place] = [i for i, operand in enumerate(operands) if isinstance(operand, list)]
        operands[place] = [member]

    refused(damage, "has a member that is neither text nor number")


@pytest.mark.parametrize("table", ["leaves", "event_leaves"])
@pytest.mark.parametrize("needle", [5, None, b"x", ["x"]])
def test_text_operations_have_a_text(table: str, needle: Any) -> None:
    def damage(tables: Tables) -> None:
        operands = tables[table]["operands"]
        place = next(i for i, operand in enumerate(operands) if operand in ("x", "pro"))
        operands[place] = needle

    refused(damage, "has no text")


# --- counters and graph --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (put("counters.0.0", "identify"), "unknown counter type"),
        (put("counters.0.0", ""), "unknown counter type"),
        (put("counters.0.1", 5), "bad counter name"),
        (put("counters.0.1", b"bought"), "bad counter name"),
        (put("counters.0.3", "day"), "bad counter window"),
        (put("counters.0.3", 1.5), "bad counter window"),
        (put("counters.0.2.0", [2, 1]), "a counter has no such leaf"),
        (put("counters.0.2.0", [-1, 1]), "a counter has no such leaf"),
        (put("counters.0.2.0", [2**64, 1]), "a counter has no such leaf"),
        (put("counters.0.2.0", [0, 2]), "a counter has no such leaf"),
        (put("counters.0.2.0", [0, -1]), "a counter has no such leaf"),
        (put("counters.0.2.0", [0]), "unpack"),
        (put("counters", lambda counters: counters[:1]), "an activity slot has no counter"),
        (put("counters", lambda counters: counters * 2), "a counter has no slot"),
        (put("leaves.paths.0", ["activity", "0"]), "a counter has no slot"),
    ],
)
def test_counters(damage: Damage, message: str) -> None:
    refused(damage, message)


LEAVES = 11  # nine of traits, one of each counter


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (element("graph.leaf", "<u4", 2, LEAVES), "a node has no such leaf"),
        (element("graph.leaf", "<u4", -1, 2**32 - 1), "a node has no such leaf"),
        (element("graph.low", "<u4", 2, 2), "a node leads nowhere"),
        (element("graph.high", "<u4", 2, 2), "a node leads nowhere"),
        (element("graph.low", "<u4", 3, 4), "a node leads nowhere"),
        (element("graph.high", "<u4", -1, 2**32 - 1), "a node leads nowhere"),
        (element("graph.entry", "<u4", 0, 2**32 - 1), "an audience has no such node"),
        (
            both_of(*(put(f"graph.{name}", bytes(4)) for name in ("leaf", "low", "high"))),
            "the graph lacks its ends",
        ),
    ],
)
def test_the_graph(damage: Damage, message: str) -> None:
    def checked(tables: Tables) -> None:
        assert len(tables["leaves"]["operands"]) == LEAVES
        damage(tables)

    refused(checked, message)


def test_an_entry_one_beyond_the_graph() -> None:
    nodes = len(sound()["graph"]["leaf"]) // 4
    refused(element("graph.entry", "<u4", 1, nodes), "an audience has no such node")


# --- experiences and records ---------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["murmur3", "xxh64"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (element("experiences.audience", "<i4", 0, 2), "no such audience"),
        (element("experiences.audience", "<i4", 2, -2), "no such audience"),
        (element("experiences.audience", "<i4", 1, 2**31 - 1), "no such audience"),
        (element("experiences.traffic_count", "<u8", 0, 2**32 + 1), "traffic out of range"),
        (element("experiences.traffic_count", "<u8", 2, 2**64 - 1), "traffic out of range"),
        (element("experiences.first_piece", "<u4", 0, 3), "an experience has no pieces"),
        (element("experiences.first_piece", "<u4", 1, 0), "an experience has no pieces"),
        (element("experiences.first_piece", "<u4", 2, 3), "an experience has no pieces"),
        (element("experiences.first_piece", "<u4", 1, 2**32 - 1), "an experience has no pieces"),
        (element("experiences.first_piece", "<u4", 3, 8), "table experiences.piece_limit"),
        (element("experiences.first_piece", "<u4", 3, 6), "table experiences.piece_limit"),
        (element("experiences.piece_index", "<u2", 0, 3), "no such variant"),
        (element("experiences.piece_index", "<u2", -1, 2), "no such variant"),
        (element("experiences.piece_limit", "<u4", 0, 2**32 - 1), "pieces are out of order"),
        (element("experiences.piece_limit", "<u4", 1, 0), "pieces are out of order"),
        (element("experiences.piece_limit", "<u4", 2, 2**32 - 2), "pieces end early"),
        (element("experiences.highest_index", "<u2", 0, 1), "no such variant"),
        (element("experiences.highest_index", "<u2", 0, 3), "records are missing"),
        (element("experiences.highest_index", "<u2", 2, 65_535), "records are missing"),
        (put("experience_ids", ["e0", "e0", "e2"]), "an id twice"),
        (put("experience_ids", ["e0", "e1"]), "table"),
        (put("experience_ids", ["e0", "e1", "e2", "e3"]), "table"),
        (put("experience_ids", ["e1", "e2", "e2"]), "an id twice"),
        (put("experience_ids.1", 5), "an id is not a text"),
        (put("audience_ids.0", None), "an id is not a text"),
        (put("audience_ids.0", b"a"), "an id is not a text"),
        (put("audience_ids", ["a", "a"]), "holds 'a' twice"),
        (put("audience_ids", ["a"]), "table graph.entry"),
        (put("audience_ids", ["a", "b", "c"]), "table graph.entry"),
        (put("audience_ids.0", "\ud800"), "surrogates not allowed"),
    ],
)
def test_experiences_and_audiences(damage: Damage, message: str, scheme: str) -> None:
    refused(damage, message, scheme)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (put("records.json", lambda texts: texts[:-1]), "records are missing"),
        (put("records.json", lambda texts: [*texts, b"{}"]), "records are missing"),
        (put("records.json.0", "{}"), "bad record"),
        (put("records.json.0", b"{"), "Expecting"),
        (put("records.change_json", lambda texts: texts[:-1]), "changes are missing"),
        (put("records.change_json", lambda texts: [*texts, b"{}"]), "changes are missing"),
        (element("records.first_change", "<u4", 0, 1), "changes do not start at 0"),
        (element("records.first_change", "<u4", -1, 2), "changes are missing"),
        (element("records.first_change", "<u4", 1, 3), "changes are out of order"),
        (element("records.first_change", "<u4", 4, 2**32 - 1), "changes are out of order"),
    ],
)
def test_records(damage: Damage, message: str) -> None:
    refused(damage, message)


@pytest.mark.parametrize(
    ("records", "changes", "message"),
    [
        (lambda r: r[:-1], lambda c: c, "records are missing"),
        (lambda r: [*r, {}], lambda c: c, "records are missing"),
        (lambda r: [[], *r[1:]], lambda c: c, "bad record"),
        (lambda r: [None, *r[1:]], lambda c: c, "bad record"),
        (lambda r: [{}, *r[1:]], lambda c: c, "bad record"),
        (lambda r: [{"variants": []}, *r[1:]], lambda c: c, "bad record"),
        (lambda r: r, lambda c: c[:-1], "changes are missing"),
        (lambda r: r, lambda c: [*c[:-1], []], "bad change"),
    ],
)
def test_shared_objects_fit_their_tables(records: Any, changes: Any, message: str) -> None:
    tables = sound()
    program = type(build_program(tables))
    objects = shared_objects(tables["records"]["json"])
    change_objects = shared_objects(tables["records"]["change_json"])
    program(tables, str, objects, change_objects)
    with pytest.raises(ValueError, match=message):
        program(tables, str, records(objects), changes(change_objects))


@pytest.mark.parametrize("key", list(sound()))
def test_no_table_may_be_absent(key: str) -> None:
    tables = sound()
    del tables[key]
    with pytest.raises(KeyError, match=key):
        build_program(tables)


@pytest.mark.parametrize("key", list(sound()))
@pytest.mark.parametrize("value", [None, 5, [5], {"x": 5}])
def test_no_table_may_be_something_else(key: str, value: Any) -> None:
    tables = sound()
    tables[key] = value
    with pytest.raises((ValueError, KeyError, TypeError)):
        build_program(tables)


def test_more_records_than_an_index_can_count() -> None:
    """2**15 experiences of 2**16 variants each, and one more: beyond 2**31 records."""
    count = 2**15 + 1
    tables = sound("xxh64")
    tables["experience_ids"] = [f"e{number}" for number in range(count)]
    tables["lanes"] = {"salt": bytes(8 * count)}
    tables["experiences"] = {
        "audience": np.full(count, -1, "<i4").tobytes(),
        "traffic_count": bytes(8 * count),
        "sticky": bytes(count),
        "highest_index": np.full(count, 2**16 - 1, "<u2").tobytes(),
        "first_piece": np.arange(count + 1, dtype="<u4").tobytes(),
        "piece_limit": np.full(count, 2**32 - 1, "<u4").tobytes(),
        "piece_index": bytes(2 * count),
    }
    with pytest.raises(ValueError, match="too many records"):
        build_program(tables)
