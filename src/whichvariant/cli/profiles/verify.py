"""``whichvariant profiles verify``: is every byte of a store what was written?"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from whichvariant.cli.json_output import print_json
from whichvariant.cli.options import example, json_option
from whichvariant.cli.profiles.opening import shown_store, store_option, with_store
from whichvariant.cli.terminal import Progress, plural, printable
from whichvariant.errors import StoreDamaged

if TYPE_CHECKING:
    from whichvariant.store import Damage, ProfileStore


@click.command(
    epilog=example(
        "Example:  whichvariant profiles verify --store profiles.db",
        "Exit codes: 0 sound, 1 damaged, 2 usage or unreadable.",
    )
)
@store_option
@json_option
def verify(store_path: str, as_json: bool) -> None:
    """Read all of a store and name what is damaged. Nothing is repaired."""

    async def work(store: ProfileStore) -> list[Damage]:
        with Progress("verifying") as progress:
            return await store.verify(
                lambda done, total: progress.update(f"{100 * done // max(total, 1)} %")
            )

    try:
        found = [(one.place, one.message) for one in with_store(store_path, work)]
    except StoreDamaged as error:
        # It cannot even be opened, which is the answer to the question.
        found = [("store", str(error))]
    if as_json:
        print_json({"damage": [{"place": place, "message": text} for place, text in found]})
    else:
        for place, text in found:
            sys.stdout.write(f"{printable(place)}: {printable(text)}\n")
        verdict = f"{plural(len(found), 'place')} damaged" if found else "sound"
        sys.stdout.write(f"{shown_store(store_path)}: {verdict}\n")
    if found:
        raise click.exceptions.Exit(1)
