"""What somebody would send to make the engine slow: each takes seconds at most, in its own process.

The bounds are generous, a hundred times what is usual: they tell linear from quadratic.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from robustness.support import run_apart

TEN = 10_000_000


def timed(code: str, seconds: float = 5) -> None:
    """Run code apart; the time it spends between ``start()`` and its end counts."""
    body = "\n".join(f"    {line}" for line in code.strip().splitlines())
    run_apart(f"TEN = {TEN}\ndef body():\n{body}\nbegin = time.process_time()\nbody()\n"
              f"spent = time.process_time() - begin\nassert spent < {seconds} * SLOWNESS, spent\n",
              seconds=seconds * 4)  # fmt: skip


@pytest.mark.parametrize(
    ("operator", "value"),
    [
        ("equal", '"a" * TEN'),
        ("in", '["a" * (TEN - 1) + "b", "b"]'),
        ("contains", '"a" * 5000 + "b"'),
        ("contains", '"a" * (TEN // 2) + "b"'),
        ("contains", '"b" + "a" * 5000'),
        ("startsWith", '"a" * (TEN - 1) + "b"'),
        ("endsWith", '"b" + "a" * (TEN - 1)'),
        ("gt", "5"),
        ("matches", '"(a+)+$"'),
        ("matches", '"(a|aa)+b"'),
        ("matches", '"(.*)(.*)b"'),
        ("matches", '"(a?){50}a{50}b"'),
        ("matches", '"([a-z]+)*@([a-z]+)*x"'),
        ("matches", '"[ab][^c]{15}c"'),
    ],
)
def test_ten_megabytes_against_one_comparison(operator: str, value: str) -> None:
    timed(f"""
engine = Engine.from_dict(document(test("k", {operator!r}, {value})))
for text in ("a" * TEN, "ab" * (TEN // 2)):
    engine.select({{"stableId": "s", "traits": {{"k": text}}}})
    engine.select_json(b'{{"stableId":"s","traits":{{"k":"%s"}}}}' % text.encode())
""", seconds=30)  # fmt: skip


def test_numeric_texts_of_ten_megabytes() -> None:
    timed("""
engine = Engine.from_dict(document(test("k", "gt", 5), test("k", "in", [5, "7"])))
for text in ("9" * TEN, "0." + "0" * TEN + "1", "1e" + "9" * TEN, "-" * TEN, "0" * TEN):
    engine.select({"stableId": "s", "traits": {"k": text}})
    for spelt in (text, '"' + text + '"'):
        try:
            engine.select_json(b'{"stableId":"s","traits":{"k":%s}}' % spelt.encode())
        except ProfileError:
            pass
""")


def test_stable_ids() -> None:
    timed("""
for scheme in ("murmur3", "xxh64"):
    content = document(scheme=scheme)
    content["experiences"] = [experience(i, components=[]) for i in range(2000)]
    engine = Engine.from_dict(content)
    for text in ("x" * 65_536, "é" * 65_536, "日" * 65_536, "🎈" * 32_768):
        engine.select({"stableId": text})
        engine.select_json(as_json({"stableId": text}))
    for text in ("x" * TEN, "🎈" * TEN):
        for call in (lambda: engine.select({"stableId": text}),
                     lambda: engine.select_json(as_json({"stableId": text}))):
            try:
                call()
            except ProfileError as error:
                assert len(str(error)) < 1000
            else:
                raise AssertionError
""")


def test_many_events() -> None:
    timed("""
leaf = {"type": "track", "value": "a", "count": 1, "within": {"days": 1}, "conditions": [
    {"key": {"id": "property", "value": "a.b"}, "operator": "contains", "value": "x"}]}
engine = Engine.from_dict(document(leaf))
event = {"type": "track", "event": "a", "timestamp": "2025-10-09T08:00:00Z",
         "properties": {"a": {"b": "x"}}}
engine.select({"stableId": "s"}, events=[event] * 100_000, now=NOW)
for many in ([event] * 1_000_000, range(10**18)):
    try:
        engine.select({"stableId": "s"}, events=many)
    except EventError:
        continue
    raise AssertionError
""", seconds=10)  # fmt: skip


def test_broken_json_of_ten_megabytes() -> None:
    timed(r"""
engine = Engine.from_dict(document(test("k", "exists")))
start = b'{"stableId":"s","traits":{"k":'
for rest in (b"[" * TEN, b'{"a":' * (TEN // 5), b'"' + b"x" * TEN, b'"' + b"\\u00e9" * (TEN // 6),
             b" " * TEN, b"[" + b"1," * (TEN // 2), b'"' + b"\xc3\xa9" * (TEN // 2), b"\xff" * TEN,
             b"{" + b'"a":1,' * (TEN // 6), b"[" + b"[]," * (TEN // 3)):
    try:
        engine.select_json(start + rest)
    except ProfileError as error:
        assert len(str(error)) < 1000
    else:
        raise AssertionError
""")


def test_sound_json_of_ten_megabytes() -> None:
    timed(r"""
engine = Engine.from_dict(document(test("k", "contains", "x"), test("a.b", "exists")))
for rest in (b'"' + b"\\u00e9" * (TEN // 6) + b'"', b"[" + b"1.5e3," * (TEN // 6) + b"1]",
             b'["' + b"\\n" * (TEN // 2) + b'"]'):
    engine.select_json(b'{"stableId":"s","traits":{"k":%s}}' % rest)
many = b",".join(b'"k%d":{"b":1}' % i for i in range(TEN // 20))
engine.select_json(b'{"stableId":"s","traits":{%s},"stickyVariants":{%s}}' % (many, many))
repeated = b",".join([b'"traits":{"a":{"b":1},"k":[1,2]}'] * (TEN // 40))
engine.select_json(b'{"stableId":"s",%s}' % repeated)
engine.select_json(b'{"stableId":"s","stickyVariants":{%s}}' % b",".join([b'"e0":1'] * (TEN // 10)))
""", seconds=10)  # fmt: skip


def test_large_configurations() -> None:
    timed("""
def size(count):
    content = document(*(test(f"k{i % 50}", "in", [i, str(i), i + 0.5]) for i in range(count)))
    content["experiences"] = [experience(i, audience=f"a{i}") for i in range(count)]
    engine = Engine.from_dict(content)
    Engine.from_bytes(engine.to_bytes())
size(3000)
""", seconds=15)  # fmt: skip


def test_many_segments() -> None:
    timed("""
count = 8_000
segments = [{"index": i % 2, "start": i / count, "end": (i + 1) / count} for i in range(count)]
try:
    Engine.from_dict({"experiences": [experience(0, distribution=segments)]})
except ConfigurationError:
    pass
""", seconds=1)  # fmt: skip


def test_a_pattern_with_very_many_states() -> None:
    """30 µs a character, but twice the text takes twice the time (docs/rules.md, "Limits")."""
    run_apart("""
engine = Engine.from_dict(document(test("k", "matches", "(a?){500}a{500}b")))
def spent(length):
    profile = {"stableId": "s", "traits": {"k": "a" * length}}
    begin = time.process_time()
    engine.select(profile)
    return time.process_time() - begin
spent(1000)
assert spent(40_000) < 5 * spent(20_000)
""")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_many_records_of_many_components() -> None:
    run_apart("""
components = [{"baseline": {"id": f"b{i}"}, "variants": [{"id": "v"}] * (255 if i == 0 else 0)}
              for i in range(1000)]
content = {"experiences": [experience(i, components=components) for i in range(8)]}
try:
    Engine.from_dict(content)
except ConfigurationError:
    pass
status = open("/proc/self/status").read()
assert int(status.split("VmHWM:")[1].split()[0]) < 200_000 * SLOWNESS
""")


def test_claims_of_msgpack() -> None:
    timed(r"""
for head in (b"\x81\xa9audiences", b"\x94\xb4whichvariant/program"):
    for claim in (b"\xdd\x00\x0f\x42\x40", b"\xdd\xff\xff\xff\xff", b"\xdf\x00\x0f\x42\x40",
                  b"\xdc\xff\xff", b"\x91", b"\x81"):
        try:
            Engine.from_bytes(head + claim * 300_000)
        except (DocumentError, ProgramError):
            continue
        raise AssertionError
""")
