"""``whichvariant digest``: the name of what a configuration says."""

from __future__ import annotations

import sys

import click

from whichvariant.cli.json_output import print_json
from whichvariant.cli.options import (
    example,
    files_argument,
    json_option,
    lenient_option,
    load_engine,
)


@click.command(
    epilog=example(
        "Example:  whichvariant digest space.json",
        "Exit codes: 0 printed, 2 usage, unreadable or refused.",
    )
)
@files_argument
@json_option
@lenient_option
def digest(files: tuple[str, ...], as_json: bool, lenient: bool) -> None:
    """Print a configuration's digest.

    It is 32 hexadecimal digits over all that the configuration says: equal digests decide equally.
    Source format, key order and the order of entries do not count.
    """
    engine = load_engine(files, lenient=lenient)
    if as_json:
        print_json({"digest": engine.digest, "scheme": engine.scheme})
    else:
        sys.stdout.write(engine.digest + "\n")
