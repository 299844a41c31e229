"""``whichvariant compile``: a configuration as one compiled program."""

from __future__ import annotations

import sys
from pathlib import Path
from time import perf_counter

import click

from whichvariant.atomic_write import is_same_file, write_atomically
from whichvariant.cli.json_output import print_json
from whichvariant.cli.options import (
    example,
    files_argument,
    json_option,
    lenient_option,
    load_engine,
    output_option,
)
from whichvariant.cli.terminal import Progress, plural


@click.command(
    "compile",
    epilog=example(
        "Example:  whichvariant compile space.json -o space.program",
        "Exit codes: 0 written, 2 usage, unreadable or refused.",
    ),
)
@files_argument
@output_option
@json_option
@lenient_option
def compile_(files: tuple[str, ...], output: str, as_json: bool, lenient: bool) -> None:
    """Compile a configuration into one file that loads faster.

    Keep the documents: a program is only read by versions that have the same program format. The
    file is replaced whole or not at all.
    """
    refuse_own_input(files, output)
    with Progress("compiling") as progress:
        progress.update(", ".join(files))
        started = perf_counter()
        engine = load_engine(files, lenient=lenient)
        loaded = perf_counter()
        program = engine.to_bytes()
        write_atomically(output, program)
        written = perf_counter()
    configuration = engine.configuration
    source_bytes = sum(Path(name).stat().st_size for name in files)
    if as_json:
        data = {
            "output": output,
            "digest": engine.digest,
            "scheme": engine.scheme,
            "experiences": len(configuration.experiences),
            "audiences": len(configuration.audiences),
            "merge_tags": len(configuration.merge_tags),
            "source_bytes": source_bytes,
            "program_bytes": len(program),
            "compile_ms": round((loaded - started) * 1000, 3),
            "write_ms": round((written - loaded) * 1000, 3),
        }
        print_json(data)
        return
    sys.stdout.write(
        f"{output}\n"
        f"  digest    {engine.digest}\n"
        f"  scheme    {engine.scheme}\n"
        f"  holds     {plural(len(configuration.experiences), 'experience')},"
        f" {plural(len(configuration.audiences), 'audience')},"
        f" {plural(len(configuration.merge_tags), 'merge tag')}\n"
        f"  size      {len(program):,} bytes, from {source_bytes:,} in"
        f" {plural(len(files), 'file')}\n"
        f"  time      {(loaded - started) * 1000:,.1f} ms to load and compile,"
        f" {(written - loaded) * 1000:,.1f} ms to write\n"
    )


def refuse_own_input(files: tuple[str, ...], output: str) -> None:
    """Refuse to write over one of the documents that are read: they are what the people edit."""
    for name in files:
        if is_same_file(name, output):
            raise click.UsageError(f"{output} is one of the files that are read")
