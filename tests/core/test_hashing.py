"""Hashes and draws: published vectors, other packages, and every vector level (SEMANTICS 1)."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from random import Random

import mmh3
import pytest
import xxhash

from core.small import document, experience
from whichvariant import Engine
from whichvariant._core import hashing

WORD = 0xFFFFFFFF
LONG = 0xFFFFFFFFFFFFFFFF


def murmur3_of(text: str) -> int:
    """The vendor's hash by another package, on bytes that Python's own codec cut."""
    units = text.encode("utf-16-le", "surrogatepass")
    return mmh3.hash(units[::2], 0, signed=False)


# --- murmur3_x86_32 ------------------------------------------------------------------------------


def test_smhasher_verification_value() -> None:
    """Hash {}, {0}, {0, 1}, … with seeds 256, 255, …, and then all those hashes."""
    digests = b"".join(
        hashing.murmur3_bytes(bytes(range(n)), 256 - n).to_bytes(4, "little") for n in range(256)
    )
    assert hashing.murmur3_bytes(digests, 0) == 0xB0F57EE3


@pytest.mark.parametrize(
    ("data", "seed", "expected"),
    [
        (b"", 0, 0),
        (b"", 1, 0x514E28B7),
        (b"", 0xFFFFFFFF, 0x81F16F39),
        (b"\xff\xff\xff\xff", 0, 0x76293B50),
        (b"\x21\x43\x65\x87", 0, 0xF55B516B),
        (b"\x21\x43\x65\x87", 0x5082EDEE, 0x2362F9DE),
        (b"\x21\x43\x65", 0, 0x7E4A8634),
        (b"\x21\x43", 0, 0xA0F7B07A),
        (b"\x21", 0, 0x72661CF4),
        (b"\0\0\0\0", 0, 0x2362F9DE),
        (b"\0\0\0", 0, 0x85F0B427),
        (b"\0\0", 0, 0x30F4C306),
        (b"\0", 0, 0x514E28B7),
        (b"a", 0x9747B28C, 0x7FA09EA6),
        (b"aa", 0x9747B28C, 0x5D211726),
        (b"aaa", 0x9747B28C, 0x283E0130),
        (b"aaaa", 0x9747B28C, 0x5A97808A),
        (b"ab", 0x9747B28C, 0x74875592),
        (b"abc", 0x9747B28C, 0xC84A62DD),
        (b"abcd", 0x9747B28C, 0xF0478627),
        (b"abc", 0, 0xB3DD93FA),
        (b"Hello, world!", 0x9747B28C, 0x24884CBA),
        (b"\xcf\x80" * 8, 0x9747B28C, 0xD58063C1),
        (b"a" * 256, 0x9747B28C, 0x37405BDC),
        (b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 0, 0xEE925B90),
        (b"The quick brown fox jumps over the lazy dog", 0x9747B28C, 0x2FA826CD),
        (b"The quick brown fox jumps over the lazy dog", 0, 0x2E4FF723),
    ],
)
def test_published_murmur3_vectors(data: bytes, seed: int, expected: int) -> None:
    assert hashing.murmur3_bytes(data, seed) == expected


def test_murmur3_bytes_as_the_mmh3_package() -> None:
    source = Random(1)
    for length in range(201):
        data = source.randbytes(length)
        for seed in (0, 1, WORD, source.getrandbits(32)):
            assert hashing.murmur3_bytes(data, seed) == mmh3.hash(data, seed, signed=False), (
                length,
                seed,
            )


def test_any_buffer_of_bytes_will_do() -> None:
    assert (
        hashing.murmur3_bytes(bytearray(b"abc"))
        == hashing.murmur3_bytes(memoryview(b"abc"))
        == 0xB3DD93FA
    )
    assert (
        hashing.xxh64(bytearray(b"abc")) == hashing.xxh64(memoryview(b"abc")) == 0x44BC2CF5AD770999
    )


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_a_murmur3_seed_is_32_bits(seed: int) -> None:
    with pytest.raises(OverflowError):
        hashing.murmur3_bytes(b"", seed)


@pytest.mark.parametrize(
    ("stable_id", "expected"), [("123", 0.1082723711403721), ("456", 0.6206237130380756)]
)
def test_published_check_values(stable_id: str, expected: float) -> None:
    assert hashing.murmur3(f"distribution-experience1-{stable_id}") / 4294967295 == expected


# --- XXH64 ---------------------------------------------------------------------------------------

PRIME = 0x9E3779B1


def sanity_buffer(length: int) -> bytes:
    """The bytes over which the xxHash project publishes its values."""
    state = PRIME
    out = bytearray()
    for _ in range(length):
        out.append(state >> 56)
        state = state * 0x9E3779B185EBCA8D & LONG
    return bytes(out)


@pytest.mark.parametrize(
    ("length", "seed", "expected"),
    [
        (0, 0, 0xEF46DB3751D8E999),
        (0, PRIME, 0xAC75FDA2929B17EF),
        (1, 0, 0xE934A84ADB052768),
        (1, PRIME, 0x5014607643A9B4C3),
        (4, 0, 0x9136A0DCA57457EE),
        (4, PRIME, 0xCAAB286BD8E9FDB5),
        (14, 0, 0x8282DCC4994E35C8),
        (14, PRIME, 0xC3BD6BF63DEB6DF0),
        (222, 0, 0xB641AE8CB691C174),
        (222, PRIME, 0x20CB8AB7AE10C14A),
    ],
)
def test_published_xxh64_vectors(length: int, seed: int, expected: int) -> None:
    assert hashing.xxh64(sanity_buffer(length), seed) == expected


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"a", 0xD24EC4F1A98C6E5B),
        (b"abc", 0x44BC2CF5AD770999),
        (b"Nobody inspects the spammish repetition", 0xFBCEA83C8A378BF1),
    ],
)
def test_published_xxh64_texts(data: bytes, expected: int) -> None:
    assert hashing.xxh64(data) == expected


def test_xxh64_as_the_xxhash_package() -> None:
    source = Random(2)
    for length in range(201):
        data = source.randbytes(length)
        for seed in (0, 1, LONG, source.getrandbits(64)):
            assert hashing.xxh64(data, seed) == xxhash.xxh64_intdigest(data, seed), (length, seed)


# --- fmix64 --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (1, 0xB456BCFC34C2CB2C),
        (2, 0x3ABF2A20650683E7),
        (3, 0x0B5181C509F8D8CE),
        (9, 0x91209A1FF7F4F1D5),
        (0xDEADBEEF, 0xD24BD59F862A1DAC),
        (0xCBF29CE484222325, 0xEFD01F60BA992926),
        (0x8000000000000000, 0x8F780810AF31A493),
        (LONG, 0x64B5720B4B825F21),
    ],
)
def test_published_fmix64_vectors(value: int, expected: int) -> None:
    assert hashing.fmix64(value) == expected


def test_fmix64_as_inside_the_mmh3_package() -> None:
    """murmur3_x64_128 of no bytes is nothing but two finalisers, which can be solved for."""
    source = Random(3)
    for seed in [1, 2, WORD, *(source.getrandbits(32) for _ in range(500))]:
        first, second = mmh3.hash64(b"", seed, x64arch=True, signed=False)
        assert hashing.fmix64(2 * seed) == (2 * first - second) & LONG
        assert hashing.fmix64(3 * seed) == (second - first) & LONG


# --- what is hashed ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", b""),
        ("abc", b"abc"),
        ("\0\x7f\x80\xff", b"\0\x7f\x80\xff"),
        ("zo\xeb", b"zo\xeb"),
        ("\u0141\u0100\uffff", b"\x41\x00\xff"),
        ("\U00010000\U0010ffff", b"\x00\x00\xff\xff"),
        ("\U0001f98a", b"\x3e\x8a"),
        ("\ud83e", b"\x3e"),
        ("\udd8a\ud83e", b"\x8a\x3e"),
    ],
)
def test_low_bytes(text: str, expected: bytes) -> None:
    assert hashing.low_bytes(text) == expected


def test_low_bytes_are_every_second_byte_of_utf_16() -> None:
    source = Random(4)
    tops = (0x7F, 0xFF, 0xFFFF, 0x10FFFF)
    for _ in range(2_000):
        top = source.choice(tops)
        text = "".join(chr(source.randint(0, top)) for _ in range(source.randint(0, 20)))
        assert hashing.low_bytes(text) == text.encode("utf-16-le", "surrogatepass")[::2]


def test_murmur3_hashes_the_low_bytes() -> None:
    for text in ("", "abc", "zo\xeb", "\u0141\xf3d\u017a", "fox \U0001f98a", "\ud800"):
        assert hashing.murmur3(text) == murmur3_of(text)


# --- the shared stream, on every level -----------------------------------------------------------


@pytest.fixture(params=hashing.supported_simd_levels())
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each level that this processor runs, and the former one again afterwards."""
    before = hashing.simd_level()
    hashing.set_simd_level(request.param)
    yield request.param
    hashing.set_simd_level(before)


def texts(source: Random, lengths: Iterator[int] | range, top: int = 0x7F) -> list[str]:
    return ["".join(chr(source.randint(1, top)) for _ in range(length)) for length in lengths]


@pytest.mark.parametrize(
    ("prefix", "words", "tail"),
    [
        ("", "", ""),
        ("a", "", "a"),
        ("abc", "", "abc"),
        ("abcd", "abcd", ""),
        ("abcdefg", "abcd", "efg"),
    ],
)
def test_prefix_state_keeps_what_is_left(prefix: str, words: str, tail: str) -> None:
    state, left, length = hashing.prefix_state(prefix)
    assert state == hashing.prefix_state(words)[0]
    assert left == int.from_bytes(tail.encode(), "little")
    assert length == len(prefix)


def test_a_prefix_is_as_long_as_its_code_units() -> None:
    assert hashing.prefix_state("fox \U0001f98a")[1:] == (0x8A3E, 6)


def test_hash_many_for_all_lengths_of_ids(level: str) -> None:
    """100 prefixes of all lengths modulo 4, with ids of 0 to 70 code units."""
    source = Random(5)
    prefixes = texts(source, range(100))
    for stable_id in texts(source, range(71)):
        expected = [murmur3_of(prefix + stable_id) for prefix in prefixes]
        assert hashing.hash_many(prefixes, stable_id) == expected, (level, len(stable_id))


def test_hash_many_for_all_numbers_of_prefixes(level: str) -> None:
    """1 to 100 prefixes of one alignment: the lanes that only fill up disturb nothing."""
    source = Random(6)
    for alignment in range(4):
        prefixes = texts(source, (alignment + 4 * source.randint(0, 9) for _ in range(100)))
        for stable_id in texts(source, (0, 1, 3, 4, 36)):
            expected = [murmur3_of(prefix + stable_id) for prefix in prefixes]
            for count in range(1, 101):
                assert hashing.hash_many(prefixes[:count], stable_id) == expected[:count], (
                    level,
                    count,
                )


@pytest.mark.parametrize("top", [0xFF, 0xFFFF, 0x10FFFF])
def test_hash_many_of_other_texts(level: str, top: int) -> None:
    source = Random(top)
    prefixes = texts(source, range(40), top)
    for stable_id in texts(source, range(40), top):
        expected = [murmur3_of(prefix + stable_id) for prefix in prefixes]
        assert hashing.hash_many(prefixes, stable_id) == expected, level


def test_hash_many_of_nothing() -> None:
    assert hashing.hash_many([], "id") == []
    assert hashing.hash_many(["", ""], "") == [0, 0]


def few_lines(experience_id: str, stable_id: str) -> tuple[int, int]:
    """The xxh64 scheme as its definition reads, with nothing of this package."""
    h = xxhash.xxh64_intdigest(stable_id.encode())
    h ^= xxhash.xxh64_intdigest(experience_id.encode())
    h ^= h >> 33
    h = h * 0xFF51AFD7ED558CCD & LONG
    h ^= h >> 33
    h = h * 0xC4CEB9FE1A85EC53 & LONG
    h ^= h >> 33
    return h >> 32, h & WORD


STABLE_IDS = ("", "1", "abc", "visitor", "zo\xeb", "\u0141\xf3d\u017a", "fox \U0001f98a" * 7)


@pytest.mark.parametrize("count", [1, 31, 32, 33, 64, 100])
def test_an_engine_draws_as_defined(level: str, count: int) -> None:
    """Both schemes, for 1 to 100 experiences whose ids have all lengths modulo 4."""
    ids = sorted(f"{'x' * (number % 7)}{number:03d}" for number in range(count))
    rows = [experience(experience_id) for experience_id in ids]
    murmur = Engine.from_dict(document(rows))
    other = Engine.from_dict(document(rows, scheme="xxh64"))
    for stable_id in STABLE_IDS:
        seen = murmur.trace({"stableId": stable_id})
        assert seen["traffic"] == [murmur3_of(f"traffic-{i}-{stable_id}") for i in ids], level
        assert seen["distribution"] == [murmur3_of(f"distribution-{i}-{stable_id}") for i in ids]
        seen = other.trace({"stableId": stable_id})
        drawn = [few_lines(experience_id, stable_id) for experience_id in ids]
        assert list(zip(seen["traffic"], seen["distribution"], strict=True)) == drawn, level


def test_an_unknown_level_is_refused() -> None:
    before = hashing.simd_level()
    with pytest.raises(ValueError, match=r"SIMD level 'mmx': expected one of baseline"):
        hashing.set_simd_level("mmx")
    assert hashing.simd_level() == before


def test_levels_start_with_the_baseline() -> None:
    assert hashing.supported_simd_levels()[0] == "baseline"
    assert hashing.LEVELS[: len(hashing.supported_simd_levels())] == hashing.supported_simd_levels()


def imported_with(level: str) -> subprocess.CompletedProcess[str]:
    script = "from whichvariant._core import hashing; print(hashing.simd_level())"
    return subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "WHICHVARIANT_SIMD": level},
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_environment_chooses_the_level() -> None:
    assert imported_with("baseline").stdout == "baseline\n"
    assert imported_with("").stdout == f"{hashing.supported_simd_levels()[-1]}\n"


def test_a_wrong_level_in_the_environment_stops_the_import() -> None:
    finished = imported_with("fast")
    assert finished.returncode != 0
    assert "SIMD level 'fast': expected one of" in finished.stderr
