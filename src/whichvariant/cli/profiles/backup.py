"""``whichvariant profiles backup``: a copy of a store that is in use."""

from __future__ import annotations

import os
import sys

import click

from whichvariant.cli.json_output import print_json
from whichvariant.cli.options import example, json_option
from whichvariant.cli.profiles.opening import store_option, with_store
from whichvariant.cli.terminal import Progress


@click.command(
    epilog=example(
        "Example:  whichvariant profiles backup profiles-copy.db --store profiles.db",
        "Exit codes: 0 copied, 2 usage, unreadable, or there is such a file already.",
    )
)
@click.argument("path", metavar="PATH", type=click.Path(dir_okay=False))
@store_option
@json_option
def backup(path: str, store_path: str, as_json: bool) -> None:
    """Copy a store while it is in use.

    The copy has the state of one moment. It is a store itself: checked, complete, and under its
    name only when it is. To restore, stop the servers, move the store's file and those beside it
    away, and put the copy there.
    """
    with Progress("copying") as progress:
        progress.update(path)
        with_store(store_path, lambda store: store.backup(path))
    size = os.stat(path).st_size
    if as_json:
        print_json({"output": path, "bytes": size})
    else:
        sys.stdout.write(f"{path}: {size:,} bytes\n")
