"""``whichvariant store digest``: do two stores hold the same?"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from whichvariant.cli.json_output import print_json
from whichvariant.cli.options import example, json_option
from whichvariant.cli.profiles.opening import store_option, with_store
from whichvariant.cli.terminal import Progress

if TYPE_CHECKING:
    from whichvariant.store import ProfileStore
    from whichvariant.store.copying import StoreDigest


@click.command(
    epilog=example(
        "Example:  whichvariant store digest --store profiles.db",
        "Exit codes: 0 done, 2 usage, unreadable or damaged.",
    )
)
@store_option
@json_option
def digest(store_path: str, as_json: bool) -> None:
    """Print a digest of everything that a store holds.

    It is the same for a file and a database that hold the same. Servers must not write meanwhile.
    """

    async def work(store: ProfileStore) -> StoreDigest:
        from whichvariant.cli.profiles.opening import shown_store
        from whichvariant.store.copying import row_store, store_digest

        with Progress("") as progress:
            return await store_digest(
                row_store(store, shown_store(store_path)),
                lambda what, done, total: progress.update(f"{what} {done:,} of {total:,}"),
            )

    found = with_store(store_path, work)
    if as_json:
        print_json(found._asdict())
    else:
        sys.stdout.write(f"{found.digest}\n")
