"""Keys of visitors, and what they are shown."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import xxhash

from whichvariant._core.visitors import VisitorSet, count_shown, visitor_keys


def test_keys_are_xxh64_with_two_seeds():
    ids = ["", "a", "visitor-1", "zoë", "x" * 100]
    texts = [identifier.encode() for identifier in ids]
    starts = np.cumsum([0, *map(len, texts)]).astype(np.uint64)
    keys = visitor_keys(starts, np.frombuffer(b"".join(texts), np.uint8))
    for row, text in enumerate(texts):
        assert keys[0, row] == xxhash.xxh64_intdigest(text, 11)
        assert keys[1, row] == xxhash.xxh64_intdigest(text, 12)


def test_unsound_ids_are_refused():
    ids = np.zeros(4, np.uint8)
    for starts in ([0, 5], [0, 3, 2], []):
        with pytest.raises(ValueError, match=r"ids|start"):
            visitor_keys(np.array(starts, np.uint64), ids)


def test_a_set_of_keys():
    random = np.random.default_rng(1)
    keys = random.integers(0, 60, (2, 9000), np.uint64)
    # Keys that crowd one place of the table, and others far away.
    keys[0, ::3] += random.integers(0, 1 << 60, 3000, np.uint64) << np.uint64(3)
    found = VisitorSet()
    seen = set()
    for start in range(0, 9000, 700):
        part = keys[:, start : start + 700]
        first = found.add(part)
        for row, key in enumerate(part.T.tolist()):
            assert first[row] == (tuple(key) not in seen)
            seen.add(tuple(key))
    assert (0, 0) in seen
    assert len(found) == len(seen)
    assert {tuple(key) for key in found.keys().T.tolist()} == seen


@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_what_is_shown(kind):
    random = np.random.default_rng(2)
    absent = np.iinfo(kind).max
    before, after = (random.choice([0, 1, 2, 7, absent], 400).astype(kind) for _ in range(2))
    codes_before = np.array([0, 2, 1], np.uint16)
    codes_after = np.array([3, 1, 1, 0, 0, 0, 0, 2], np.uint16)
    counts = np.zeros((4, 4), np.int64)
    changed = np.zeros(400, np.uint8)
    count_shown(before, codes_before, after, codes_after, counts, changed)
    pairs = [
        (
            int(codes_before[b]) if b < 3 else 0,
            int(codes_after[a]) if a < 8 else 0,
        )
        for b, a in zip(before.tolist(), after.tolist(), strict=True)
    ]
    assert {p: counts[p] for p in np.ndindex(4, 4) if counts[p]} == Counter(pairs)
    assert changed.tolist() == [a != b for a, b in pairs]
    with pytest.raises(ValueError, match="codes"):
        count_shown(before, codes_before, after, codes_after, counts[:3, :3], changed)
