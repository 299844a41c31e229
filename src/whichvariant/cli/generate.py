"""``whichvariant generate``: made-up visitors for a configuration, any number of them."""

from __future__ import annotations

import gzip
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import chain
from pathlib import PurePath
from typing import IO, Any

import click

from whichvariant.atomic_write import atomic_file
from whichvariant.cli.options import config_option, example, instant, lenient_option, load_engine
from whichvariant.cli.replay import with_extra
from whichvariant.cli.terminal import Progress, plural
from whichvariant.cli.visitor_mix import Block, VisitorMix

_NOW_MS = 1_767_225_600_000  # 2026-01-01T00:00:00Z
_STDOUT = "-"
_FORMATS = {
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".json": "json",
    ".msgpack": "msgpack",
    ".mpk": "msgpack",
    ".parquet": "parquet",
    ".arrow": "arrow",
    ".arrows": "arrow-stream",
}
_COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}

_BLOCKS_A_GROUP = 16


@click.command(
    epilog=example(
        "Example:  whichvariant generate --config space.json --count 1000000 -o profiles.parquet",
        "Exit codes: 0 written, 2 usage, unreadable or refused.",
    )
)
@config_option
@click.option(
    "--count", type=click.IntRange(0), default=1000, show_default=True, help="How many visitors."
)
@click.option("--seed", type=click.IntRange(0), default=1, show_default=True, help="The seed.")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    default=_STDOUT,
    type=click.Path(dir_okay=False, allow_dash=True),
    help="By its name .ndjson, .json, .msgpack, .parquet, .arrow or .arrows, perhaps with .gz or"
    " .zst behind.  [default: NDJSON on standard output]",
)
@click.option(
    "--now",
    type=instant,
    metavar="TIME",
    default=_NOW_MS,
    help="The time that events lead up to.  [default: 2026-01-01]",
)
@click.option("--no-events", is_flag=True, help="Make no events, even where rules count them.")
@lenient_option
def generate(
    *,
    configs: tuple[str, ...],
    count: int,
    seed: int,
    output: str,
    now: int,
    no_events: bool,
    lenient: bool,
) -> None:
    """Make up visitors for what the rules of a configuration read.

    Every attribute that a rule reads gets, more often than not, a value some rule mentions, or one
    beside it. The same configuration, seed and time give the same visitors in every format; a
    smaller count gives the first of them.
    """
    form, compression = _form_of(output)
    engine = load_engine(configs, lenient=lenient)
    mix = VisitorMix([engine.configuration], seed=seed, now_ms=now, events=not no_events)
    if form in ("parquet", "arrow", "arrow-stream") or compression == "zstd":
        with_extra()
    with ExitStack() as stack:
        progress = stack.enter_context(Progress("generating", wanted=output != _STDOUT))
        stream: Any = sys.stdout.buffer
        if output != _STDOUT:
            stream = stack.enter_context(atomic_file(output))
        if compression == "gzip":
            # No time and no name inside: the same visitors are the same bytes. And the lowest
            # level: profiles are made faster than a thorough one could follow.
            stream = stack.enter_context(
                gzip.GzipFile("", "wb", compresslevel=1, fileobj=stream, mtime=0)
            )
        elif compression == "zstd":
            import pyarrow as pa

            sink = pa.PythonFile(_Open(stream), "w")
            stream = stack.enter_context(pa.CompressedOutputStream(sink, "zstd"))
        _WRITERS[form](mix, _counted(mix.blocks(count), progress), stream)
    if output != _STDOUT:
        click.echo(f"{output}\n  visitors  {count:,}\n  size      {_size(output):,} bytes")


def _size(path: str) -> int:
    return os.stat(path).st_size


class _Open:
    """A stream that whoever closes it leaves open: it is not theirs."""

    closed = False

    def __init__(self, stream: IO[bytes]) -> None:
        self.write = stream.write
        self.flush = stream.flush

    def close(self) -> None:
        """Nothing."""


def _counted(blocks: Iterator[Block], progress: Progress) -> Iterator[Block]:
    done = 0
    for block in blocks:
        yield block
        done += len(block)
        progress.update(plural(done, "visitor"))


def _form_of(output: str) -> tuple[str, str | None]:
    if output == _STDOUT:
        return "ndjson", None
    path = PurePath(output.lower())
    compression = _COMPRESSIONS.get(path.suffix)
    suffix = PurePath(path.stem).suffix if compression else path.suffix
    if suffix not in _FORMATS:
        names = ", ".join(_FORMATS)
        raise click.UsageError(f"{output}: the name must end in one of {names}; .gz or .zst behind")
    return _FORMATS[suffix], compression


def _write_ndjson(mix: VisitorMix, blocks: Iterator[Block], stream: IO[bytes]) -> None:
    for block in blocks:
        stream.write(b"\n".join(mix.json(block)) + b"\n")


def _write_json(mix: VisitorMix, blocks: Iterator[Block], stream: IO[bytes]) -> None:
    before = b"["
    for block in blocks:
        stream.write(before + b",\n".join(mix.json(block)))
        before = b",\n"
    stream.write(b"]\n" if before != b"[" else b"[]\n")


def _write_msgpack(mix: VisitorMix, blocks: Iterator[Block], stream: IO[bytes]) -> None:
    for block in blocks:
        stream.write(b"".join(mix.msgpack(block)))


def _write_arrow(mix: VisitorMix, blocks: Iterator[Block], stream: Any, *, form: str) -> None:
    import pyarrow as pa

    first, rest = _first_and_all(mix, blocks)
    make = pa.ipc.new_file if form == "arrow" else pa.ipc.new_stream
    with make(_sink(stream), first.schema) as writer:
        for batch in rest:
            writer.write_batch(batch)


def _write_parquet(mix: VisitorMix, blocks: Iterator[Block], stream: Any) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    first, rest = _first_and_all(mix, blocks)
    with pq.ParquetWriter(_sink(stream), first.schema, compression="zstd") as writer:
        group: list[Any] = []
        for batch in rest:
            group.append(batch)
            if len(group) == _BLOCKS_A_GROUP:
                writer.write_table(pa.Table.from_batches(group))
                group.clear()
        if group:
            writer.write_table(pa.Table.from_batches(group))


def _first_and_all(mix: VisitorMix, blocks: Iterator[Block]) -> tuple[Any, Iterator[Any]]:
    """The first batch, for its schema, and all of them."""
    first = next(blocks, None)
    if first is None:
        return mix.arrow(next(mix.blocks(1))), iter(())
    batch = mix.arrow(first)
    return batch, chain([batch], (mix.arrow(block) for block in blocks))


def _sink(stream: Any) -> Any:
    import pyarrow as pa

    return stream if isinstance(stream, pa.NativeFile) else pa.PythonFile(stream, "w")


_WRITERS: dict[str, Callable[[VisitorMix, Iterator[Block], Any], None]] = {
    "ndjson": _write_ndjson,
    "json": _write_json,
    "msgpack": _write_msgpack,
    "parquet": _write_parquet,
    "arrow": lambda mix, blocks, stream: _write_arrow(mix, blocks, stream, form="arrow"),
    "arrow-stream": lambda mix, blocks, stream: _write_arrow(mix, blocks, stream, form="stream"),
}
