"""Text comparisons through real engines: equality, search, patterns, presence (docs/rules.md).

Python's own operators on texts are the judge: for UTF-8 they agree with comparing bytes.
"""

from __future__ import annotations

import itertools
import operator
from collections.abc import Callable
from random import Random

import pytest

from core.small import Asked, Json, leaf

SEARCHES: dict[str, Callable[[str, str], bool]] = {
    "contains": operator.contains,
    "startsWith": str.startswith,
    "endsWith": str.endswith,
}


def words(alphabet: str, longest: int) -> list[str]:
    """All texts over an alphabet, up to a length."""
    return [
        "".join(letters)
        for length in range(longest + 1)
        for letters in itertools.product(alphabet, repeat=length)
    ]


def searches_for(needles: list[str]) -> list[Json]:
    return [leaf(name, needle) for name in SEARCHES for needle in needles]


def expected_of(text: str, needles: list[str]) -> list[bool]:
    return [found(text, needle) for found in SEARCHES.values() for needle in needles]


# --- contains, startsWith, endsWith ---------------------------------------------------------------


def test_all_short_texts_and_needles() -> None:
    needles = words("ab", 4)
    asked = Asked(searches_for(needles))
    for text in words("ab", 6):
        assert asked(text) == expected_of(text, needles), text


@pytest.mark.parametrize("length", [*range(1, 40), 63, 64, 65, 127, 128, 129, 1000])
def test_needles_at_the_ends_of_texts_of_any_length(length: int) -> None:
    """Whole texts, their first and last characters, and needles one character too long."""
    text = "".join(chr(0x30 + number % 40) for number in range(length))
    needles = [text, text[:1], text[-1:], text[:-1], text[1:], text[-5:], text[:5], "~" + text]
    needles += [text + "~", text[-5:] + "~", "~" + text[:5], text + text[:1], text[-1:] + text]
    needles = [needle for needle in needles if needle]
    assert Asked(searches_for(needles))(text) == expected_of(text, needles)


@pytest.mark.parametrize("before", range(25))
def test_a_needle_after_any_number_of_false_starts(before: int) -> None:
    """Its first letters come again and again before it does, or before the text ends."""
    needles = ["ab", "aab", "abc", "a" * 9 + "b"]
    asked = Asked(searches_for(needles))
    for start in ("a", "a.", "aa.", "a" * 8 + "."):
        for end in ("ab", "aab", "abc", "a" * 9 + "b", "a", "", "ac"):
            text = start * before + end
            assert asked(text) == expected_of(text, needles), text


BEYOND = ['ab"', 'ab",', "ab\0", "ab}", 'ab"}', '"ab', ':"ab', ": ab", "b\0", '"', "\0", "}", " "]


def test_what_lies_around_a_text_is_no_part_of_it() -> None:
    """Neither the JSON before and behind it nor the end of a buffer."""
    asked = Asked(searches_for(BEYOND))
    for text in ("ab", "b", "a", "b" * 20, "ab" * 20, "a" * 19 + "b"):
        assert not any(asked(text)), text
        assert not any(asked.traits({"a": text, "k": text, "z": text})), text


@pytest.mark.parametrize(
    "text", ["a\0b", "\0", "\0\0a", "a\0", 'say "ab"', "tab\tnew\nline\\", "\x7f"]
)
def test_any_character_is_a_character(text: str) -> None:
    needles = [
        "a\0b",
        "a\0c",
        "\0",
        "\0\0",
        "a",
        "b",
        '"',
        '"ab"',
        "\t",
        "\n",
        "\\",
        "\\n",
        "n",
        "\x7f",
    ]
    assert Asked(searches_for(needles))(text) == expected_of(text, needles)


def test_texts_beyond_ascii() -> None:
    """By code point: no part of a character is found, and nothing is normalised or folded."""
    needles = ["é", "e\u0301", "\u0301", "É", "ł", "🦊", "\U0001f98b", "🦊é", "é🦊", "e"]
    asked = Asked(searches_for(needles))
    for text in ("é", "e\u0301", "É", "łódź", "🦊", "🦊é🦊", "e", "Ã©", "\u0142"):
        assert asked(text) == expected_of(text, needles), text


def test_random_texts_and_needles() -> None:
    source = Random(1)
    for _ in range(20):
        alphabet = source.choice(["ab", "abc", "xyz ", "aé🦊"])
        needles = sorted(
            {"".join(source.choices(alphabet, k=source.randint(1, 8))) for _ in range(20)}
        )
        asked = Asked(searches_for(needles))
        for _ in range(50):
            text = "".join(source.choices(alphabet, k=source.randint(0, 60)))
            assert asked(text) == expected_of(text, needles), (text, needles)


@pytest.mark.parametrize("size", [1_000, 100_000])
def test_very_long_literals(size: int) -> None:
    """Equal to the last character, or not."""
    text = "".join(chr(0x61 + number * number % 26) for number in range(size))
    others = [text[:-1] + "!", "!" + text[1:], text[: size // 2] + "!" + text[size // 2 + 1 :]]
    needles = [text, *others, text[:-1], text[1:], text + "x"]
    rules = searches_for(needles) + [leaf("equal", needle) for needle in needles]
    asked = Asked(rules)
    for value in (text, others[0], text[:-1], text + "x"):
        equal = [value == needle for needle in needles]
        assert asked(value) == expected_of(value, needles) + equal


def test_a_search_that_nearly_matches_everywhere() -> None:
    """A text and a needle made for quadratic searches."""
    text = "a" * 200_000
    needles = ["a" * 50_000 + "b", "b" + "a" * 50_000, "a" * 25_000 + "b" + "a" * 25_000]
    asked = Asked(searches_for(needles))
    assert not any(asked(text))
    assert asked(text + needles[2])[:3] == [True, False, True]


# --- equal, in -----------------------------------------------------------------------------------


def lookups(texts: list[str]) -> list[Json]:
    return [leaf("equal", text) for text in texts]


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 7, 8, 9, 100, 1000])
def test_any_number_of_texts(count: int) -> None:
    """Texts of all lengths, and neighbours that differ in one character or in length."""
    source = Random(count)
    texts: set[str] = set()
    while len(texts) < count:
        texts.add("".join(source.choices("abcdefgh", k=source.randint(1, 20))))
    ordered = sorted(texts)
    asked = Asked(lookups(ordered))
    for text in ordered[:: max(1, count // 50)]:
        near = [
            text,
            text[:-1],
            text + "a",
            text[1:],
            text[:-1] + "z",
            "z" + text[1:],
            text.upper(),
        ]
        for value in near:
            assert asked(value) == [value == other for other in ordered], value


@pytest.mark.parametrize("length", range(1, 20))
def test_texts_of_one_length(length: int) -> None:
    """Equal in all but one character, at every place."""
    texts = ["a" * place + "b" + "a" * (length - place - 1) for place in range(length)]
    asked = Asked(lookups(texts))
    for text in [*texts, "a" * length, "b" * (length + 1), "b" + "a" * length]:
        assert asked(text) == [text == other for other in texts], text


@pytest.mark.parametrize("longest", [4, 5])
def test_all_short_texts_are_told_apart(longest: int) -> None:
    texts = words("abc", longest)[1:]
    asked = Asked(lookups(texts[::2]))
    for text in texts[:: longest * 2 - 7]:
        assert asked(text) == [text == other for other in texts[::2]], text


@pytest.mark.parametrize(
    ("text", "other"),
    [("faul", "smqt"), ("00151828", "00275766"), ("city-332035x", "city-378587x")],
)
def test_texts_with_one_hash_are_told_apart(text: str, other: str) -> None:
    """These pairs have one 32-bit value under the hash of the lookup tables (`wv_hash_text`)."""
    assert Asked(lookups([text]))(other) == [False]
    assert Asked(lookups([text, other]))(other) == [False, True]
    assert Asked(lookups([text, other]))(text) == [True, False]


def test_one_text_in_many_lists() -> None:
    """Each text sets the comparisons that name it, and no others."""
    source = Random(2)
    pool = [f"t{number}" for number in range(12)] + [5, 2.5, "5", "2.50", 0]
    lists = [source.sample(pool, source.randint(1, 8)) for _ in range(60)]
    asked = Asked([leaf("in", members) for members in lists])
    for value in [f"t{number}" for number in range(14)]:
        assert asked(value) == [value in members for members in lists], value
    # A number equals numbers and numeric texts; a text equals itself and numbers.
    for number, names in ((5, ("5",)), (2.5, ("2.50",)), (0, ()), (7, ())):
        assert asked(number) == [bool({number, *names} & set(members)) for members in lists], number
    for text, number in (("5", 5), ("5.0", 5), ("2.5", 2.5), ("2.50", 2.5), ("0", 0), ("x", None)):
        assert asked(text) == [bool({text, number} & set(members)) for members in lists], text


def test_an_empty_list_and_its_negation() -> None:
    asked = Asked([leaf("in", []), leaf("notIn", [])])
    for value in ("", "x", 5, None):
        assert asked(value) == [False, True]
    assert asked.traits({}) == [False, True]


# --- matches -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pattern", "found", "not_found"),
    [
        ("b", ["b", "abc", "\nb"], ["", "a", "B"]),
        ("^b", ["b", "bc"], ["ab", "a\nb"]),
        ("b$", ["b", "ab"], ["ba", "b\n"]),
        ("^$", [""], [" ", "\n"]),
        ("", ["", "x", 5, None], []),
        ("a.c", ["abc", "aéc", "a🦊c", "xabcx"], ["ac", "a\nc"]),
        ("(?i)straße", ["STRAßE", "die Straße"], ["STRASSE"]),
        (r"^\d+$", ["5", 5, 12345, 1e20], ["5.0", 5.5, -5, 1e21, "\u0665"]),
        (r"\be", ["1 e", "e"], ["1e", 1e21]),
        (r"\x00", ["\0", "a\0b"], ["", "a"]),
        (r"^(true|null)$", [True, "true", None, "null"], [False, "True", {}]),
        (r"^\[object Object\]$", [{}, {"a": 1}], [[], None]),
        ("^1,2$", [[1, 2], "1,2"], [[1, 2, None]]),
    ],
)
def test_patterns(pattern: str, found: list[Json], not_found: list[Json]) -> None:
    asked = Asked([leaf("matches", pattern), {"not": leaf("matches", pattern)}])
    for value in found:
        assert asked(value) == [True, False], value
    for value in not_found:
        assert asked(value) == [False, True], value
    assert asked.traits({}) == [False, True]


def test_several_patterns_on_one_attribute() -> None:
    """Beside other comparisons, so that every kind of leaf shares one slot."""
    rules = [leaf("matches", pattern) for pattern in ("^a", "b", "c$", "^abc$")]
    rules += [leaf("equal", "abc"), leaf("exists"), leaf("contains", "b"), leaf("lessThan", 5)]
    asked = Asked(rules)
    assert asked("abc") == [True, True, True, True, True, True, True, False]
    assert asked("b") == [False, True, False, False, False, True, True, False]
    assert asked(4) == [False, False, False, False, False, True, False, True]
    assert asked.traits({}) == [False] * 8


# --- presence, and values that are neither text nor number ---------------------------------------

FIXED = [
    (True, "true"),
    (False, "false"),
    (None, "null"),
    ({}, "[object Object]"),
    ({"k": "x"}, "[object Object]"),
    ([], ""),
    ([None], ""),
    (["a", 1, None], "a,1,"),
    ([True, {}], "true,[object Object]"),
    (5, "5"),
    (-0.0, "0"),
    (1e21, "1e+21"),
    (0.1 + 0.2, "0.30000000000000004"),
    (1e-7, "1e-7"),
]


@pytest.mark.parametrize(("value", "text"), FIXED)
def test_every_value_has_a_text(value: Json, text: str) -> None:
    needles = sorted({*parts(text), *parts("truefalsenull[object Object],1e+21-7")})
    assert Asked(searches_for(needles))(value) == expected_of(text, needles)


def parts(text: str) -> list[str]:
    """Some parts of a text: single characters, both ends, and the whole."""
    return [part for part in [*text, text[:3], text[-3:], text, text + " "] if part]


@pytest.mark.parametrize(("value", "text"), FIXED)
def test_equality_of_other_values_is_that_of_their_texts(value: Json, text: str) -> None:
    texts = ["true", "false", "null", "[object Object]", "", "a,1,", "true,[object Object]", "5"]
    assert Asked(lookups(texts))(value) == [text == other for other in texts]


@pytest.mark.parametrize("value", [value for value, _ in FIXED] + ["", "x", 0])
def test_whatever_is_present_exists(value: Json) -> None:
    asked = Asked([leaf("exists"), leaf("notExists"), leaf("equal", "*"), leaf("notContains", "*")])
    assert asked(value) == [True, False, True, False]
    assert asked.traits({"other": value}) == [False, True, False, True]


def test_a_slot_inside_another() -> None:
    """``a`` and ``a.b`` are both read: the object as its text, its member as itself."""
    asked = Asked(
        [
            leaf("equal", "[object Object]", key="a"),
            leaf("equal", "x", key="a"),
            leaf("equal", "x", key="a.b"),
            leaf("exists", key="a.b"),
            leaf("exists", key="a.b.c"),
        ]
    )
    assert asked.traits({"a": {"b": "x"}}) == [True, False, True, True, False]
    assert asked.traits({"a": "x"}) == [False, True, False, False, False]
    assert asked.traits({"a": {"b": {"c": None}}}) == [True, False, False, True, True]
    assert asked.traits({"a": [{"b": "x"}]}) == [True, False, False, False, False]
    assert asked.traits({"a.b": "x"}) == [False] * 5
    assert asked.traits({}) == [False] * 5


def test_nothing_is_left_of_the_visitor_before() -> None:
    """One engine, one visitor after the other: with every kind of value, then without."""
    asked = Asked(
        [leaf("exists", key=key) for key in ("a", "b", "c.d")] + [leaf("lessThan", 9, key="a")]
    )
    empty = [False] * 4
    assert asked.traits({}) == empty
    for value in (5, "5", "long enough to be stored elsewhere" * 10, [1, 2], {"d": 1}, True, None):
        assert asked.traits({"a": value, "b": value, "c": {"d": value}})[:3] == [True] * 3
        assert asked.traits({}) == empty
        assert asked.traits({"c": value})[:2] == [False, False]
        assert asked.traits({"x": value}) == empty
