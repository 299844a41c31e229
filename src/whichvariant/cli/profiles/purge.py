"""``whichvariant profiles purge``: erase what nobody has written for long."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from whichvariant import clock
from whichvariant.cli.json_output import print_json
from whichvariant.cli.options import example, json_option
from whichvariant.cli.profiles.opening import (
    confirm,
    everywhere_option,
    long_ago,
    namespace_options,
    namespace_or_all,
    spelled,
    store_option,
    with_store,
    yes_option,
)
from whichvariant.cli.terminal import Progress, plural

if TYPE_CHECKING:
    from whichvariant.service.transfer import Purged
    from whichvariant.store import ProfileStore


@click.command(
    epilog=example(
        "Example:  whichvariant profiles purge --older-than 400d --store profiles.db",
        "Exit codes: 0 purged, 1 not confirmed, 2 usage, unreadable or refused.",
    )
)
@click.option(
    "--older-than",
    "before_ms",
    metavar="AGE",
    required=True,
    type=long_ago,
    help="Profiles that were last written before: 400d (or w, h) ago, or a time in ISO 8601.",
)
@store_option
@namespace_options
@everywhere_option
@click.option("--dry-run", is_flag=True, help="Only say how many there are.")
@yes_option
@json_option
def purge(
    *,
    before_ms: int,
    store_path: str,
    organization: str | None,
    environment: str | None,
    everywhere: bool,
    dry_run: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Erase what nobody has written for long.

    Profiles go as with 'delete'. An event is a write, a question for a profile is not. What is
    written meanwhile stays. An interrupted purge has erased what it has erased; the next one goes
    on.
    """

    async def work(store: ProfileStore) -> Purged:
        from whichvariant.service.transfer import purge as purge_profiles

        namespace = await namespace_or_all(store, organization, environment, everywhere)

        async def run(label: str, dry: bool) -> Purged:
            with Progress(label) as progress:
                return await purge_profiles(
                    store,
                    namespace,
                    before_ms,
                    clock.now_ms(),
                    dry_run=dry,
                    progress=lambda count: progress.update(plural(count, "profile")),
                )

        if dry_run or not yes:
            due = await run("counting", True)
            if dry_run or not due.erased:
                return due
            where = "all namespaces" if namespace is None else spelled(namespace)
            confirm(
                f"Delete {due.erased:,} of {plural(due.seen, 'profile')} of {where}?", yes=False
            )
        return await run("purging", False)

    done = with_store(store_path, work)
    if as_json:
        counts = {"seen": done.seen, "erased": done.erased, "changed": done.changed}
        print_json({**counts, "before_ms": before_ms, "dry_run": dry_run})
        return
    verb = "would be deleted" if dry_run else "deleted"
    note = f", {done.changed:,} were written meanwhile" if done.changed else ""
    sys.stdout.write(f"{done.erased:,} of {plural(done.seen, 'profile')} {verb}{note}\n")
