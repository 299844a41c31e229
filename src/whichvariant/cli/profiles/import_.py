"""``whichvariant profiles import``: profiles from lines of JSON, or from a full export."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, BinaryIO

import click

from whichvariant import Namespace, clock
from whichvariant.cli.inputs import STDIN
from whichvariant.cli.json_output import print_json
from whichvariant.cli.messages import complain
from whichvariant.cli.options import example, json_option
from whichvariant.cli.profiles.opening import (
    chosen_namespace,
    namespace_options,
    shown_store,
    store_option,
    with_store,
)
from whichvariant.cli.terminal import Progress, is_terminal, plural

if TYPE_CHECKING:
    from whichvariant.service.transfer import Imported
    from whichvariant.store import ProfileStore


@click.command(
    "import",
    epilog=example(
        "Example:  whichvariant profiles import profiles.ndjson --store profiles.db",
        "Exit codes: 0 imported, 1 some lines could not be, 2 usage, unreadable or damaged.",
    ),
)
@click.argument("file", metavar="[FILE]", default=STDIN, type=click.Path(dir_okay=False))
@store_option
@namespace_options
@click.option(
    "--replace", is_flag=True, help="Overwrite profiles that are there, history included."
)
@click.option("--strict", is_flag=True, help="Stop at the first line that cannot be imported.")
@json_option
def import_(
    *,
    file: str,
    store_path: str,
    organization: str | None,
    environment: str | None,
    replace: bool,
    strict: bool,
    as_json: bool,
) -> None:
    """Store profiles from a file, or from standard input.

    The store is made if there is none. FILE is what 'export' writes, in either form, or has
    profiles in the API's shape, one on each line. Given events become the profile's history.
    --organization and --environment say where everything goes; without them that is where it was,
    and for lines that do not say it, the only namespace that the store holds.

    Profiles that are there already stay as they are, so an import can be repeated. What was deleted
    from this store does not come back.
    """
    if (organization is None) != (environment is None):
        raise click.UsageError("--organization and --environment go together")
    into = None
    if organization is not None and environment is not None:
        into = Namespace(organization, environment)

    async def work(store: ProfileStore) -> Imported:
        from whichvariant.service.transfer import import_profiles

        try:
            default = into or await chosen_namespace(store, None, None)
        except click.UsageError:
            # The lines may say it themselves; those that do not are reported.
            default = None
        with _opened(file) as (stream, name), Progress("importing") as progress:

            def report(place: str, reason: str) -> None:
                progress.clear()
                complain(f"{place}: {reason}")

            return await import_profiles(
                store,
                stream,
                clock.now_ms(),
                into=into,
                default=default,
                replace=replace,
                strict=strict,
                source=name,
                report=report,
                progress=lambda count: progress.update(plural(count, "entry", "entries")),
            )

    if file != STDIN:
        # Before a store is made for nothing.
        with open(file, "rb"):
            pass
    done = with_store(store_path, work, create=True)
    if as_json:
        print_json(asdict(done))
    else:
        sys.stdout.write(_summary(store_path, done))
    if done.bad:
        complain(f"{plural(done.bad, 'entry', 'entries')} of {done.entries:,} not wholly imported")
        raise click.exceptions.Exit(1)


@contextmanager
def _opened(path: str) -> Iterator[tuple[BinaryIO, str]]:
    if path == STDIN:
        if is_terminal(sys.stdin):
            click.echo("reading profiles from the terminal, Ctrl-D ends it", err=True)
        yield sys.stdin.buffer, "<stdin>"
        return
    with open(path, "rb") as stream:
        yield stream, path


def _summary(store_path: str, done: Imported) -> str:
    facts = [f"{plural(done.profiles, 'profile')} new"]
    for count, text in (
        (done.replaced, "replaced"),
        (done.existing, "there already"),
        (done.erased, "deleted here before"),
    ):
        if count:
            facts.append(f"{count:,} {text}")
    names = [
        plural(count, noun)
        for count, noun in (
            (done.aliases, "user id"),
            (done.forwards, "merged id"),
            (done.tombstones, "deleted id"),
        )
        if count
    ]
    return f"{shown_store(store_path)}: {', '.join(facts + names)}\n"
