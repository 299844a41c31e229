"""``whichvariant convert``: a configuration from any source as one native document."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import PurePath

import click
import msgpack
import orjson

from whichvariant import Engine
from whichvariant.atomic_write import write_atomically
from whichvariant.cli.compile import refuse_own_input
from whichvariant.cli.json_output import print_json
from whichvariant.cli.options import (
    example,
    files_argument,
    json_option,
    lenient_option,
    load_engine,
    output_option,
)
from whichvariant.cli.terminal import plural
from whichvariant.contracts import JsonValue
from whichvariant.errors import WhichVariantError
from whichvariant.loading import to_native

_MSGPACK_SUFFIXES = frozenset({".msgpack", ".mpk"})


@click.command(
    epilog=example(
        "Example:  whichvariant convert export.json entries.json -o space.msgpack",
        "Exit codes: 0 written, 2 usage, unreadable or refused.",
    )
)
@files_argument
@output_option
@json_option
@lenient_option
def convert(files: tuple[str, ...], output: str, as_json: bool, lenient: bool) -> None:
    """Write a configuration as one native document.

    JSON (.json) or msgpack (.msgpack, .mpk), by the name of the output. The document says the
    same, so it has the same digest; that is checked before it is written.
    """
    encode = _encoder(output)
    refuse_own_input(files, output)
    engine = load_engine(files, lenient=lenient)
    document = encode(to_native(engine.configuration))
    again = Engine.from_bytes(document)
    if again.digest != engine.digest:
        raise WhichVariantError(
            f"not written: the native document would have the digest {again.digest},"
            f" not {engine.digest}"
        )
    write_atomically(output, document)
    configuration = engine.configuration
    if as_json:
        print_json(
            {
                "output": output,
                "digest": engine.digest,
                "bytes": len(document),
                "experiences": len(configuration.experiences),
                "audiences": len(configuration.audiences),
                "merge_tags": len(configuration.merge_tags),
            }
        )
        return
    sys.stdout.write(
        f"{output}\n"
        f"  digest    {engine.digest}\n"
        f"  holds     {plural(len(configuration.experiences), 'experience')},"
        f" {plural(len(configuration.audiences), 'audience')},"
        f" {plural(len(configuration.merge_tags), 'merge tag')}\n"
        f"  size      {len(document):,} bytes\n"
    )


def _encoder(output: str) -> Callable[[JsonValue], bytes]:
    """How to write a document into a file of this name."""
    suffix = PurePath(output).suffix.lower()
    if suffix == ".json":
        return _json
    if suffix in _MSGPACK_SUFFIXES:
        return _msgpack
    raise click.UsageError(f"{output}: the name must end in .json, .msgpack or .mpk")


def _json(document: JsonValue) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _msgpack(document: JsonValue) -> bytes:
    packed = msgpack.packb(document)
    if not isinstance(packed, bytes):  # None is for streaming packers
        raise TypeError("msgpack packed nothing")
    return packed
