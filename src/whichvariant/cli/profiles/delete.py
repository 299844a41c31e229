"""``whichvariant profiles delete``: erase the profiles that are named."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from whichvariant import NamespaceMismatch, ProfileNotFound, clock
from whichvariant.cli.json_output import print_json
from whichvariant.cli.messages import complain
from whichvariant.cli.options import example, json_option
from whichvariant.cli.profiles.opening import (
    chosen_namespace,
    confirm,
    namespace_options,
    spelled,
    store_option,
    with_store,
    yes_option,
)
from whichvariant.cli.terminal import plural, printable

if TYPE_CHECKING:
    from whichvariant.store import ProfileStore


@click.command(
    epilog=example(
        "Example:  whichvariant profiles delete 39b18bf3e2b9 --store profiles.db --yes",
        "Exit codes: 0 deleted, 1 some were not there, 2 usage, unreadable or refused.",
    )
)
@click.argument("keys", metavar="ID...", nargs=-1, required=True)
@store_option
@namespace_options
@yes_option
@json_option
def delete(
    *,
    keys: tuple[str, ...],
    store_path: str,
    organization: str | None,
    environment: str | None,
    yes: bool,
    as_json: bool,
) -> None:
    """Erase profiles, with all that belongs to them.

    State and history go, user ids, and the ids that were merged into them. An ID may also be a user
    id. What remains is a mark that keeps the ids from coming back. Backups and exports are not
    touched.
    """

    async def work(store: ProfileStore) -> tuple[list[str], list[str]]:
        from whichvariant.service.transfer import erase

        namespace = await chosen_namespace(store, organization, environment)
        confirm(f"Delete {plural(len(keys), 'profile')} of {spelled(namespace)}?", yes=yes)
        deleted, missing = [], []
        for key in dict.fromkeys(keys):
            try:
                deleted.append(await erase(store, namespace, key, clock.now_ms()))
            except (ProfileNotFound, NamespaceMismatch) as error:
                complain(f"{key}: {error}")
                missing.append(key)
        return deleted, missing

    deleted, missing = with_store(store_path, work)
    if as_json:
        print_json({"deleted": deleted, "missing": missing})
    else:
        sys.stdout.write("".join(f"deleted {printable(one)}\n" for one in deleted))
    if missing:
        raise click.exceptions.Exit(1)
