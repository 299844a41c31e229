"""What the commands on stored profiles share: opening the store, choosing the namespace, asking.

Stores are imported only here and inside functions: other commands, and ``--help``, need none.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import click

from whichvariant import Namespace, clock
from whichvariant.cli.options import instant
from whichvariant.cli.terminal import is_terminal, printable

if TYPE_CHECKING:
    from whichvariant.store import ProfileStore

T = TypeVar("T")
_Command = TypeVar("_Command", bound=Callable[..., Any])

Work: TypeAlias = "Callable[[ProfileStore], Coroutine[Any, Any, T]]"

_NO_NAMESPACE = "the store holds nothing yet: say --organization and --environment"
_DAY = "d"


class StoreName(click.Path):
    """A file that is no folder, or the URL of a database."""

    name = "store"

    def __init__(self) -> None:
        super().__init__(dir_okay=False)

    def convert(
        self,
        value: str | os.PathLike[str],
        param: click.Parameter | None,
        ctx: click.Context | None,
    ) -> str | bytes | os.PathLike[str]:
        from whichvariant.store.postgres_target import is_postgres

        if isinstance(value, str) and is_postgres(value):
            return value
        return super().convert(value, param, ctx)


def shown_store(name: str) -> str:
    """A store's name for a reader: without the passwords that a URL may have."""
    from whichvariant.store.postgres_target import shown

    return shown(name)


def store_option(command: _Command) -> _Command:
    """``--store``: where the profiles are."""
    return click.option(
        "--store",
        "store_path",
        metavar="STORE",
        envvar="WHICHVARIANT_STORE",
        show_envvar=True,
        required=True,
        type=StoreName(),
        help="The store: a file, or a postgresql:// URL.",
    )(command)


def namespace_options(command: _Command) -> _Command:
    """``--organization`` and ``--environment``; not needed where the store holds only one."""
    for option in (
        click.option("--environment", metavar="ID", help="Of this environment."),
        click.option(
            "--organization",
            metavar="ID",
            help="Profiles of this organization.  [default: the only one that the store holds]",
        ),
    ):
        command = option(command)
    return command


def everywhere_option(command: _Command) -> _Command:
    """``--all``: every organization and environment."""
    return click.option(
        "--all", "everywhere", is_flag=True, help="Every organization and environment."
    )(command)


def yes_option(command: _Command) -> _Command:
    """``--yes``: do not ask."""
    return click.option("--yes", is_flag=True, help="Do not ask whether this is meant.")(command)


def with_store(path: str, work: Work[T], *, create: bool = False) -> T:
    """What ``work`` makes of the store of this name, which is closed afterwards.

    Raises:
        StoreError: it cannot be opened, or there is none and not ``create``.
    """

    async def main() -> T:
        from whichvariant.store.opening import MEMORY, open_store

        if path == MEMORY:
            raise click.UsageError("a store in memory is a server's own: name a file or a database")
        async with await open_store(path, create=create) as store:
            return await work(store)

    return run(main())


def run(main: Coroutine[Any, Any, T]) -> T:
    """As ``asyncio.run``, but an interrupt takes effect at once.

    That one waits until the program comes back to the event loop, and a read from a pipe that
    stalls, or a read of a file, does not.
    """
    import asyncio

    loop = asyncio.new_event_loop()
    task = loop.create_task(main)
    try:
        return loop.run_until_complete(task)
    except BaseException:
        if not task.done():
            task.cancel()
            loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        raise
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()


async def chosen_namespace(
    store: ProfileStore, organization: str | None, environment: str | None
) -> Namespace:
    """The namespace that the options name, or the only one that agrees with them.

    Raises:
        click.UsageError: there are several such, or none.
    """
    if organization is not None and environment is not None:
        return Namespace(organization, environment)
    from whichvariant.service.inspection import namespaces

    known = await namespaces(store)
    fitting = [
        one
        for one in known
        if organization in (None, one.organization) and environment in (None, one.environment)
    ]
    if len(fitting) == 1:
        return fitting[0]
    if not known:
        raise click.UsageError(_NO_NAMESPACE)
    listed = ", ".join(spelled(one) for one in (fitting or known)[:10])
    raise click.UsageError(
        f"choose with --organization and --environment: the store holds {listed}"
    )


async def namespace_or_all(
    store: ProfileStore, organization: str | None, environment: str | None, everywhere: bool
) -> Namespace | None:
    """As ``chosen_namespace``; None for ``--all``."""
    if not everywhere:
        return await chosen_namespace(store, organization, environment)
    if organization is not None or environment is not None:
        raise click.UsageError("--all goes with neither --organization nor --environment")
    return None


def spelled(namespace: Namespace) -> str:
    """A namespace for a reader."""
    return printable("/".join(namespace))


def confirm(question: str, *, yes: bool) -> None:
    """Ask whether this is meant; end the command with code 1 if not.

    Raises: click.UsageError: there is nobody to ask, and no ``--yes``.
    """
    if yes:
        return
    if not is_terminal(sys.stdin):
        raise click.UsageError(f"{question} Say --yes where nobody can be asked.")
    if not click.confirm(question, err=True):
        raise click.exceptions.Exit(1)


def long_ago(text: str) -> int:
    """An instant from ``400d`` (or ``h``, ``w``), counted back from now, or as ``--now`` takes it.

    Raises:
        click.BadParameter: it is neither.
    """
    hours = {"h": 1, _DAY: 24, "w": 7 * 24}.get(text[-1:])
    number = text[:-1]
    if hours is None or not (number.isascii() and number.isdecimal()):
        return instant(text)
    try:
        return clock.now_ms() - timedelta(hours=hours * int(number)) // timedelta(milliseconds=1)
    except OverflowError:
        raise click.BadParameter(f"{text!r} is too long ago") from None
