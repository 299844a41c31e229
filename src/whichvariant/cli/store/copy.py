"""``whichvariant store copy``: a whole store from one place to another."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from whichvariant.cli.json_output import print_json
from whichvariant.cli.options import example, json_option
from whichvariant.cli.profiles.opening import (
    StoreName,
    run,
    shown_store,
)
from whichvariant.cli.terminal import Progress, plural

if TYPE_CHECKING:
    from whichvariant.store.copying import Copied


@click.command(
    epilog=example(
        "Example:  whichvariant store copy profiles.db postgresql://app@db/profiles",
        "Exit codes: 0 copied and verified, 2 usage, unreadable, refused, or not the same.",
    )
)
@click.argument("source", metavar="SRC", type=StoreName())
@click.argument("target", metavar="DST", type=StoreName())
@json_option
def copy(source: str, target: str, as_json: bool) -> None:
    """Copy everything from one store into another, new one, and verify it.

    Either may be a file or a PostgreSQL database. Everything is copied: profiles with versions and
    histories, user ids, merged and deleted ids, the inbox, what was rejected, and the store's
    secret, so that ids stay valid. Stop the servers first: nobody may write to the source.

    What is interrupted goes on where it was when the same command is run again. Until it is whole,
    no server takes the new store.
    """
    from whichvariant.store.opening import MEMORY

    if MEMORY in (source, target):
        raise click.UsageError("a store in memory is a server's own: name a file or a database")
    if source == target:
        raise click.UsageError("source and target are the same store")

    async def work() -> Copied:
        from whichvariant.store.copying import copy_store, row_store
        from whichvariant.store.opening import open_store

        one = open_store(source, create=False)
        other = open_store(target, unfinished=True)
        async with await one as source_store, await other as target_store:
            with Progress("") as progress:
                return await copy_store(
                    row_store(source_store, shown_store(source)),
                    row_store(target_store, shown_store(target)),
                    shown_store(target),
                    lambda what, done, total: progress.update(_bar(what, done, total)),
                )

    copied = run(work())
    found = copied.digest
    if as_json:
        print_json({**found._asdict(), "resumed": copied.resumed})
        return
    facts = [plural(found.profiles, "profile"), plural(found.history, "row") + " of history"]
    facts += [plural(found.names, "other id")]
    facts += [plural(found.inbox, "batch", "batches") + " waiting", f"{found.rejected} rejected"]
    sys.stdout.write(f"{shown_store(target)}: {', '.join(facts)}\n")
    sys.stdout.write(f"both are {found.digest}\n")


def _bar(what: str, done: int, total: int) -> str:
    share = done / total if total else 1.0
    filled = round(20 * share)
    return f"{what} [{'#' * filled}{'.' * (20 - filled)}] {share:4.0%}  {done:,} of {total:,}"
