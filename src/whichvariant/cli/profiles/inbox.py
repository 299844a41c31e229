"""``whichvariant profiles inbox``: batches that were accepted and then could not be applied."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import click
import msgspec

from whichvariant.cli.json_output import print_json
from whichvariant.cli.options import example, json_option
from whichvariant.cli.profiles.opening import (
    confirm,
    spelled,
    store_option,
    with_store,
    yes_option,
)
from whichvariant.cli.terminal import plural, printable

if TYPE_CHECKING:
    from whichvariant.store import ProfileStore, RejectedItem

_PAGE = 100


@click.command(
    epilog=example(
        "Example:  whichvariant profiles inbox --store profiles.db --requeue",
        "Exit codes: 0 done, 1 some numbers are not there, 2 usage, unreadable or refused.",
    )
)
@click.argument("numbers", metavar="[NUMBER]...", nargs=-1, type=click.IntRange(min=1))
@store_option
@click.option("--requeue", is_flag=True, help="Put them back, to be applied once more.")
@click.option("--discard", is_flag=True, help="Delete them for good, with their events.")
@yes_option
@json_option
def inbox(
    *,
    numbers: tuple[int, ...],
    store_path: str,
    requeue: bool,
    discard: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """List rejected batches, put them back, or discard them.

    All of them, or those with these NUMBERs. A batch that was accepted is rejected when it cannot
    be applied: there is no such environment any more, for example. --json has the events too.
    """
    if requeue and discard:
        raise click.UsageError("either --requeue or --discard")
    wanted = frozenset(numbers)

    async def work(store: ProfileStore) -> tuple[int, int]:
        if not requeue and not discard:
            return await _list(store, wanted, as_json)
        sequences = [item.sequence async for item in _rejected(store, wanted)]
        done = 0
        if sequences and discard:
            confirm(f"Delete {plural(len(sequences), 'batch', 'batches')} for good?", yes=yes)
            done = await store.discard(sequences)
        elif sequences:
            done = await store.requeue(sequences)
        return done, len(sequences)

    done, found = with_store(store_path, work)
    if requeue or discard:
        verb = "requeued" if requeue else "discarded"
        if as_json:
            print_json({verb: done})
        else:
            sys.stdout.write(f"{plural(done, 'batch', 'batches')} {verb}\n")
    if found < len(wanted):
        raise click.exceptions.Exit(1)


async def _list(store: ProfileStore, wanted: frozenset[int], as_json: bool) -> tuple[int, int]:
    listed = []
    count = 0
    async for item in _rejected(store, wanted):
        count += 1
        if as_json:
            listed.append(_object(item))
        else:
            sys.stdout.write(_lines(item))
    if as_json:
        print_json({"rejected": listed})
    elif not count:
        sys.stdout.write("nothing was rejected\n")
    return count, count


async def _rejected(store: ProfileStore, wanted: frozenset[int]) -> AsyncIterator[RejectedItem]:
    after = 0
    while page := await store.rejected(after, _PAGE):
        after = page[-1].sequence
        for item in page:
            if not wanted or item.sequence in wanted:
                yield item


def _lines(item: RejectedItem) -> str:
    from whichvariant.service.profile_lines import iso_text

    events = _events(item)
    size = "unreadable" if events is None else plural(len(events), "event")
    return (
        f"{item.sequence}  {spelled(item.namespace)}  received {iso_text(item.received_ms)},"
        f" {plural(item.attempts, 'attempt')}, {size}\n"
        f"  {printable(item.reason)}\n"
    )


def _object(item: RejectedItem) -> dict[str, Any]:
    return {
        "number": item.sequence,
        "organization": item.namespace.organization,
        "environment": item.namespace.environment,
        "received_ms": item.received_ms,
        "rejected_ms": item.rejected_ms,
        "attempts": item.attempts,
        "reason": item.reason,
        "events": _events(item),
    }


def _events(item: RejectedItem) -> list[Any] | None:
    """The batch's events; None where it cannot be read, which may be why it was rejected."""
    try:
        events = msgspec.msgpack.decode(item.payload)
    except (msgspec.DecodeError, RecursionError):
        return None
    return events if isinstance(events, list) else None
