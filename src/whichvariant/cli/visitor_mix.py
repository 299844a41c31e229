"""Any number of made-up visitors, fast: parts of a pool of them, put together anew for each.

The pool is made by `synthetic_profiles`, slowly and with care for what rules read. Each visitor
then has an id of their own, the traits of one of the pool, the location of another, and so on.
Blocks are seeded by their number: the same configuration and seed give the same visitors, of which
a smaller count gives the first, in every format.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random
from typing import Any

import msgpack
import numpy as np
import orjson

from whichvariant.cli.synthetic_profiles import SyntheticVisitor, synthetic_visitors
from whichvariant.contracts import Configuration, JsonValue

BLOCK = 8192

_POOL_BITS = 11
_POOL = 1 << _POOL_BITS
_STICKY_SHARE = 0.3
_PARTS = ("traits", "location", "session", "stickyVariants", "device", "events")
_WORDS_A_ROW = 4


@dataclass(frozen=True, slots=True)
class Block:
    """Visitors in columns: ids, `profile.random`, and for each part its place in the pool."""

    ids: list[str]
    random: Any
    places: dict[str, Any]

    def __len__(self) -> int:
        return len(self.ids)


class VisitorMix:
    """Visitors for the rules of ``configurations`` together; ``now_ms`` dates their events."""

    def __init__(
        self,
        configurations: Sequence[Configuration],
        *,
        seed: int,
        now_ms: int,
        events: bool = True,
    ) -> None:
        self._seed = seed
        visitors = synthetic_visitors(configurations, _POOL, seed=seed, now_ms=now_ms)
        random = Random(f"sticky {seed}")
        sticky = {
            experience.id: experience.highest_index
            for configuration in configurations
            for experience in configuration.experiences
            if experience.sticky
        }
        self._pool: dict[str, list[JsonValue]] = {
            "traits": [visitor.profile["traits"] for visitor in visitors],
            "location": [visitor.profile["location"] for visitor in visitors],
            "session": [visitor.profile["session"] for visitor in visitors],
            "stickyVariants": [_choices(sticky, random) for _ in visitors],
            "device": [visitor.device for visitor in visitors],
            "events": [_events(visitor) if events else None for visitor in visitors],
        }
        self._shown = [part for part in _PARTS if any(self._pool[part])]

    def blocks(self, count: int) -> Iterator[Block]:
        """``count`` visitors."""
        for number in range((count + BLOCK - 1) // BLOCK):
            yield self._block(number, min(BLOCK, count - number * BLOCK))

    def _block(self, number: int, n: int) -> Block:
        # The generator's raw words are the same on every machine and in every release.
        source = np.random.Philox(key=[self._seed & (1 << 64) - 1, number])
        words = source.random_raw(BLOCK * _WORDS_A_ROW).reshape(BLOCK, _WORDS_A_ROW)[:n]
        text = np.ascontiguousarray(words[:, :2]).astype(">u8").tobytes().hex()
        ids = [
            f"{text[at : at + 8]}-{text[at + 8 : at + 12]}-4{text[at + 13 : at + 16]}"
            f"-8{text[at + 17 : at + 20]}-{text[at + 20 : at + 32]}"
            for at in range(0, 32 * n, 32)
        ]
        mask = np.uint64(_POOL - 1)
        places = {
            part: (
                words[:, 2 + position // 5] >> np.uint64(_POOL_BITS * (position % 5)) & mask
            ).astype(np.int64)
            for position, part in enumerate(_PARTS)
        }
        random = (words[:, 3] >> np.uint64(32)) / 4294967295
        return Block(ids, random, places)

    # ---- records --------------------------------------------------------------------------------

    @cached_property
    def _json(self) -> dict[str, list[bytes]]:
        inside = ("traits", "location", "session", "stickyVariants")
        return {
            part: [
                b'"%s":%s' % (part.encode(), orjson.dumps(value)) if value is not None else b""
                for value in self._pool[part]
            ]
            for part in (*inside, "device", "events")
        }

    def json(self, block: Block) -> list[bytes]:
        """Each visitor as a request in JSON."""
        pool = self._json
        columns = [[pool[part][place] for place in block.places[part].tolist()] for part in _PARTS]
        records = []
        for identifier, random, traits, location, session, sticky, device, events in zip(
            block.ids, block.random.tolist(), *columns, strict=True
        ):
            name = identifier.encode()
            records.append(
                b'{"profile":{"id":"%s","stableId":"%s","random":%r,"audiences":[],'
                b"%s,%s,%s%s},%s%s}"
                % (
                    name,
                    name,
                    random,
                    traits,
                    location,
                    session,
                    b"," + sticky if sticky else b"",
                    device,
                    b"," + events if events else b"",
                )
            )
        return records

    @cached_property
    def _packed(self) -> dict[str, list[bytes]]:
        return {
            part: [
                b"" if value is None else msgpack.packb(part) + msgpack.packb(value)
                for value in self._pool[part]
            ]
            for part in _PARTS
        }

    def msgpack(self, block: Block) -> list[bytes]:
        """Each visitor as a request in msgpack."""
        pool = self._packed
        columns = [[pool[part][place] for place in block.places[part].tolist()] for part in _PARTS]
        profile, identity = msgpack.packb("profile"), msgpack.packb("id")
        stable, drawn = msgpack.packb("stableId"), msgpack.packb("random")
        audiences = msgpack.packb("audiences") + msgpack.packb([])
        pack = msgpack.packb
        records = []
        for identifier, random, traits, location, session, sticky, device, events in zip(
            block.ids, block.random.tolist(), *columns, strict=True
        ):
            name = pack(identifier)
            records.append(
                b"".join(
                    (
                        bytes([0x80 | (3 if events else 2)]),
                        profile,
                        bytes([0x80 | (8 if sticky else 7)]),
                        identity, name, stable, name, drawn, pack(random), audiences,
                        traits, location, session, sticky, device, events,
                    )
                )
            )  # fmt: skip
        return records

    # ---- Arrow ----------------------------------------------------------------------------------

    @cached_property
    def _arrays(self) -> dict[str, Any]:
        import pyarrow as pa

        arrays = {}
        for part in self._shown:
            values = self._pool[part]
            if part == "events":
                # Events have too many shapes for columns; rules read them as JSON.
                values = [None if v is None else orjson.dumps(v).decode() for v in values]
                arrays[part] = pa.array(values, pa.string())
            elif part == "device":
                arrays[part] = pa.array(values, pa.string())
            else:
                arrays[part] = pa.array(_of_one_type(values))
        return arrays

    def arrow(self, block: Block) -> Any:
        """A block as a record batch."""
        import pyarrow as pa

        columns = {
            "id": pa.array(block.ids),
            "stableId": pa.array(block.ids),
            "random": pa.array(block.random),
        }
        for part, pool in self._arrays.items():
            columns[part] = pool.take(pa.array(block.places[part]))
        return pa.RecordBatch.from_pydict(columns)


def _choices(sticky: dict[str, int], random: Random) -> dict[str, int] | None:
    chosen = {
        identifier: random.randint(0, highest)
        for identifier, highest in sticky.items()
        if random.random() < _STICKY_SHARE
    }
    return chosen or None


def _events(visitor: SyntheticVisitor) -> list[JsonValue] | None:
    return visitor.events or None


def _of_one_type(values: Sequence[Any]) -> list[Any]:
    """Structs whose fields have one type each: where they have several, all become texts.

    That changes no decision: rules compare a value as the text that it has in JavaScript, and a
    numeric text as its number (docs/rules.md, "Values").
    """
    kinds: dict[tuple[str, ...], set[str]] = {}

    def look(path: tuple[str, ...], value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                look((*path, key), inner)
        elif value is not None:
            kind = "number" if isinstance(value, (int, float)) else type(value).__name__
            kinds.setdefault(path, set()).add("bool" if isinstance(value, bool) else kind)

    for value in values:
        look((), value)
    mixed = {path for path, found in kinds.items() if len(found) > 1}
    structs = {path[:length] for path in kinds for length in range(1, len(path))}

    def plain(path: tuple[str, ...], value: Any) -> Any:
        if isinstance(value, dict):
            # A struct without fields cannot be stored; nothing in it can be read either.
            return {key: plain((*path, key), inner) for key, inner in value.items()} or None
        if value is None or path in structs:
            return None
        if path in mixed:
            return value if isinstance(value, str) else _text_of(value)
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        return float(value) if is_number else value

    return [plain((), value) for value in values]


def _text_of(value: float | bool) -> str:
    whole = isinstance(value, float) and value.is_integer()
    return orjson.dumps(int(value) if whole else value).decode()
