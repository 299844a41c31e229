"""``whichvariant profiles export``: stored profiles as lines of JSON, or in full."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

from whichvariant import clock
from whichvariant.atomic_write import atomic_file, is_same_file
from whichvariant.cli.messages import complain
from whichvariant.cli.options import example
from whichvariant.cli.profiles.opening import (
    everywhere_option,
    namespace_options,
    namespace_or_all,
    store_option,
    with_store,
)
from whichvariant.cli.terminal import Progress, is_terminal, plural

if TYPE_CHECKING:
    from whichvariant.service.transfer import Exported
    from whichvariant.store import ProfileStore


@click.command(
    epilog=example(
        "Example:  whichvariant profiles export --store profiles.db -o profiles.ndjson",
        "Exit codes: 0 exported, 1 some profiles cannot be read, 2 usage or unreadable.",
    )
)
@store_option
@namespace_options
@everywhere_option
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="The file to write, whole or not at all.  [default: standard output]",
)
@click.option("--full", is_flag=True, help="Everything, for 'import' alone, instead of JSON lines.")
@click.option("--no-events", is_flag=True, help="JSON lines without the history of events.")
def export(
    *,
    store_path: str,
    organization: str | None,
    environment: str | None,
    everywhere: bool,
    output: str | None,
    full: bool,
    no_events: bool,
) -> None:
    """Write stored profiles as lines of JSON, or in full.

    Lines are what 'select' and 'import' read. Each holds the profile in the API's shape, its
    device, the events of its history, and what else is stored. --full writes everything instead:
    also ids that were merged away or deleted, counters, and the past that 'get --at' looks at.
    Export a backup for the state of one moment.
    """
    if full and no_events:
        raise click.UsageError("--full always has the events")
    if output is None and full and is_terminal(sys.stdout):
        raise click.UsageError("--full is not for a terminal: say -o FILE")
    if output is not None and is_same_file(output, store_path):
        raise click.UsageError(f"{output} is the store itself")
    scrolling = output is None and is_terminal(sys.stdout)

    async def work(store: ProfileStore) -> Exported:
        from whichvariant.service.transfer import export_profiles

        namespace = await namespace_or_all(store, organization, environment, everywhere)
        with Progress("exporting", wanted=not scrolling) as progress, _output(output) as write:

            def report(place: str, reason: str) -> None:
                progress.clear()
                complain(f"{place}: {reason}")

            done = await export_profiles(
                store,
                namespace,
                write,
                clock.now_ms(),
                full=full,
                events=not no_events,
                report=report,
                progress=lambda count: progress.update(plural(count, "profile")),
            )
        if full:
            await _mention_inbox(store)
        return done

    done = with_store(store_path, work)
    if output is not None:
        sys.stdout.write(f"{output}: {plural(done.profiles, 'profile')}\n")
    if done.bad:
        complain(f"{plural(done.bad, 'profile')} could not be read and is not in the export")
        raise click.exceptions.Exit(1)


@contextmanager
def _output(path: str | None) -> Iterator[Callable[[bytes], object]]:
    if path is None:
        yield sys.stdout.buffer.write
        return
    with atomic_file(path, private=True) as stream:
        yield stream.write


async def _mention_inbox(store: ProfileStore) -> None:
    """Say what a full export lacks that a reader may expect in it."""
    counts = (await store.stats()).namespaces
    waiting = sum(one.inbox for one in counts)
    if waiting:
        complain(
            f"{plural(waiting, 'batch', 'batches')} of the inbox not in the export; a server"
            " applies them, 'backup' copies them"
        )
