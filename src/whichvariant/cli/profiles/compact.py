"""``whichvariant profiles compact``: give back the space of what was deleted."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from whichvariant.cli.json_output import print_json
from whichvariant.cli.options import example, json_option
from whichvariant.cli.profiles.opening import shown_store, store_option, with_store
from whichvariant.cli.terminal import Progress

if TYPE_CHECKING:
    from whichvariant.store import ProfileStore


@click.command(
    epilog=example(
        "Example:  whichvariant profiles compact --store profiles.db",
        "Exit codes: 0 done, 2 usage, unreadable or refused.",
    )
)
@store_option
@click.option(
    "--rebuild",
    is_flag=True,
    help="Write the whole file anew: nothing of what was erased remains anywhere in it. "
    "Writers wait meanwhile, and it takes as much room again.",
)
@json_option
def compact(store_path: str, rebuild: bool, as_json: bool) -> None:
    """Give the space of what was deleted back to the file system.

    Also what the write-ahead log still has of it. It goes in small steps: servers go on meanwhile.
    """

    async def work(store: ProfileStore) -> tuple[int, int]:
        before = sum((await store.stats()).files.values())
        with Progress("compacting") as progress:
            progress.update(shown_store(store_path))
            await store.compact(rebuild=rebuild)
        return before, sum((await store.stats()).files.values())

    before, after = with_store(store_path, work)
    if as_json:
        print_json({"bytes_before": before, "bytes_after": after})
    else:
        sys.stdout.write(f"{shown_store(store_path)}: {before:,} bytes before, {after:,} after\n")
