"""A fuzzer of the scanners and of compiled programs, guided by coverage where the build records it.

::

    python tests/robustness/fuzz_scanner.py --seconds 600                # random mutations
    python tests/robustness/fuzz_scanner.py --target programs --seconds 600
    python tests/robustness/fuzz_scanner.py --target records --seconds 600   # lines, against orjson
    python tests/robustness/fuzz_scanner.py --target arrays --seconds 600    # broken JSON arrays
    python tests/robustness/fuzz_scanner.py --target msgpack --seconds 600   # against msgpack

Run it with a sanitizer build (``WHICHVARIANT_BUILD=sanitize``), else it only finds crashes and
disagreements. Guided by coverage::

    python tests/robustness/fuzz_scanner.py --write-hook hook.so
    CFLAGS=-fsanitize-coverage=trace-pc LDFLAGS=$PWD/hook.so WHICHVARIANT_BUILD=sanitize \\
        python setup.py build_ext --inplace --force
    LD_PRELOAD="$(gcc -print-file-name=libasan.so) hook.so" ASAN_OPTIONS=detect_leaks=0 \\
        python tests/robustness/fuzz_scanner.py --hook hook.so --seconds 600

The hook notes which places of the core ran; an input that reaches a new one is kept and mutated
further. The first inputs are those of ``corpus/``, ordinary profiles, and the pieces that matter to
a scanner.
"""

from __future__ import annotations

import argparse
import copy
import ctypes
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parents[1]))

import msgpack

from columns import test_records
from columns.profiles_of import plain_profiles, storefront
from oracle.strategies import odd_json, seeded_case
from robustness import test_corpus, test_damaged_programs, test_scanner
from robustness.support import PROFILE, TOKENS, as_json, mutate_bytes, packed_program

HOOK = r"""
#include <stdint.h>
#define SIZE (1u << 16)
unsigned char wv_seen[SIZE];
uint32_t wv_new;
static __thread uintptr_t last;
/* GCC calls this at every branch of code built with -fsanitize-coverage=trace-pc. */
void __sanitizer_cov_trace_pc(void)
{
    uintptr_t here = (uintptr_t)__builtin_return_address(0);
    uint32_t edge = (uint32_t)((here * 0x9e3779b97f4a7c15ull) >> 40) ^ (uint32_t)last;
    last = (here * 0xff51afd7ed558ccdull) >> 41;
    edge &= SIZE - 1;
    if (!wv_seen[edge]) {
        wv_seen[edge] = 1;
        wv_new++;
    }
}
"""


def write_hook(path: Path) -> None:
    """Compile the hook that counts new places."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "hook.c")
        source.write_text(HOOK)
        subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-o", str(path), str(source)], check=True)


def seeds() -> list[bytes]:
    """Profiles in ordinary and in odd spellings."""
    corpus = [as_json(PROFILE), b'{"stableId":"s"}', b'{"stableId":"s","traits":null}']
    corpus += [path.read_bytes() for path in test_corpus.JSON]
    for seed in range(20):
        corpus += [odd_json(seed, visit.profile) for visit in seeded_case(seed, visits=3).visits]
    return corpus


def splice(rng: Random, first: bytes, second: bytes) -> bytes:
    """The start of one input and the end of another."""
    return first[: rng.randrange(len(first) + 1)] + second[rng.randrange(len(second) + 1) :]


def fuzz_scanner(rng: Random, corpus: list[bytes]) -> tuple[bytes, str]:
    """One input, compared with orjson and with the engine's other way in."""
    data = rng.choice(corpus)
    if rng.random() < 0.15:
        data = splice(rng, data, rng.choice(corpus))
    if rng.random() < 0.05:
        data = data + rng.choice(TOKENS) * rng.randrange(300)
    data = mutate_bytes(rng, data)[:20_000]
    engine = rng.choice(test_scanner.ENGINES)
    return data, test_scanner.compare(engine, data, audiences=rng.choice(["rules", "given"]))


def fuzz_programs(rng: Random, corpus: list[bytes]) -> tuple[bytes, str]:
    """One compiled program with damaged tables and a right digest."""
    parts = rng.choice([test_damaged_programs.PARTS, test_damaged_programs.SMALL,
                        test_damaged_programs.XXH64])  # fmt: skip
    tables = copy.deepcopy(parts[0])
    for _ in range(rng.randint(1, 4)):
        test_damaged_programs.damage(rng, tables, parts)
    data = packed_program(tables, parts[1], parts[2])
    engine = test_damaged_programs.load(data)
    if isinstance(engine, test_damaged_programs.Engine):
        test_damaged_programs.use(engine)
    return data, type(engine).__name__


def record_seeds() -> list[bytes]:
    """Lines in every shape that a record has."""
    corpus = seeds()
    for profile in plain_profiles(30):
        line = as_json(profile)
        corpus += [line, b'{"profile":' + line + b',"device":"mobile","events":[]}']
        corpus.append(b'{"data":{"profile":' + line + b'},"error":null}')
    return [line.replace(b"\n", b" ") for line in corpus]


def fuzz_records(rng: Random, corpus: list[bytes]) -> tuple[bytes, str]:
    """One line, compared with orjson and `select`."""
    data = rng.choice(corpus)
    if rng.random() < 0.15:
        data = splice(rng, data, rng.choice(corpus))
    data = mutate_bytes(rng, data)[:20_000].replace(b"\n", b" ")
    return data, test_records.compare_line(storefront()[0], data)


def fuzz_arrays(rng: Random, corpus: list[bytes]) -> tuple[bytes, str]:
    """A broken array, which has to come out the same however it is cut into pieces."""
    data = b"[" + b",".join(rng.choice(corpus)[:2000] for _ in range(rng.randrange(5))) + b"]"
    data = mutate_bytes(rng, data)
    return data, test_records.compare_cuts(storefront()[0], data, "json", rng)


def msgpack_seeds() -> list[bytes]:
    """Records in msgpack, with every type that it has."""
    values: list[object] = [*plain_profiles(30)]
    for seed in range(20):
        values += [visit.profile for visit in seeded_case(seed, visits=3).visits]
    odd: list[object] = [b"x", msgpack.ExtType(5, b"abc"), msgpack.Timestamp(5, 6), -5, 2**64 - 1]
    values += [{"stableId": "a", "traits": {"plan": one, "age": [one]}, "x": one} for one in odd]
    values += [{"profile": plain_profiles(1)[0], "device": "mobile", "events": []}]
    values += [{"data": {"profile": plain_profiles(1)[0]}}, {1: 2, "stableId": "a", (1, 2): 3}]
    # Not the deep ones: the library goes down further than the 256 levels that we do.
    packed = [path.read_bytes() for path in test_corpus.MSGPACK if "deep" not in path.stem]
    for value in values:
        try:
            packed += [msgpack.packb(value), msgpack.packb(value, use_single_float=True)]
        except OverflowError:  # msgpack has no integers of more than 64 bits
            continue
    return packed


def fuzz_msgpack(rng: Random, corpus: list[bytes]) -> tuple[bytes, str]:
    """One record in msgpack, compared with the msgpack library and `select`."""
    data = rng.choice(corpus)
    if rng.random() < 0.15:
        data = splice(rng, data, rng.choice(corpus))
    data = mutate_bytes(rng, data)[:20_000]
    test_records.compare_cuts(storefront()[0], data, "msgpack", rng)
    return data, test_records.compare_msgpack(storefront()[0], data)


TARGETS = {
    "scanner": (fuzz_scanner, seeds),
    "programs": (fuzz_programs, seeds),
    "records": (fuzz_records, record_seeds),
    "arrays": (fuzz_arrays, record_seeds),
    "msgpack": (fuzz_msgpack, msgpack_seeds),
}


def report(seconds: float, seen: Counter[str], kept: int, places: int) -> None:
    """One line about how it goes."""
    line = (
        f"{seconds:5.0f} s: {seen.total():,} inputs, {kept} kept, {places:,} places, {dict(seen)}"
    )
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    """Fuzz for a while; the input at fault is written to ``--keep`` before the error is shown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", choices=sorted(TARGETS), default="scanner")
    parser.add_argument("--hook", type=Path, help="the preloaded hook, to be guided by coverage")
    parser.add_argument("--write-hook", type=Path, help="compile the hook to this file, and end")
    parser.add_argument("--keep", type=Path, default=Path("fuzz-failure"))
    options = parser.parse_args()
    if options.write_hook:
        write_hook(options.write_hook)
        return
    hook = ctypes.CDLL(str(options.hook.resolve())) if options.hook else None
    places = ctypes.c_uint32.in_dll(hook, "wv_new") if hook else ctypes.c_uint32()
    target, first_inputs = TARGETS[options.target]
    rng = Random(options.seed)
    corpus = first_inputs()
    seen: Counter[str] = Counter()
    start = shown = time.monotonic()
    known = 0
    while time.monotonic() < start + options.seconds:
        state = rng.getstate()
        try:
            data, kind = target(rng, corpus)
        except BaseException:
            options.keep.write_text(repr(state))
            raise
        seen[kind] += 1
        if places.value > known:
            known = places.value
            corpus.append(data)
        if time.monotonic() > shown + 30:
            shown = time.monotonic()
            report(shown - start, seen, len(corpus), known)
    report(time.monotonic() - start, seen, len(corpus), known)


if __name__ == "__main__":
    main()
