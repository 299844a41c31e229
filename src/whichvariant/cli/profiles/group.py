"""``whichvariant profiles``: the group."""

from __future__ import annotations

import click

from whichvariant.cli.options import example
from whichvariant.cli.profiles.backup import backup
from whichvariant.cli.profiles.compact import compact
from whichvariant.cli.profiles.delete import delete
from whichvariant.cli.profiles.export import export
from whichvariant.cli.profiles.get import get
from whichvariant.cli.profiles.import_ import import_
from whichvariant.cli.profiles.inbox import inbox
from whichvariant.cli.profiles.purge import purge
from whichvariant.cli.profiles.stats import stats
from whichvariant.cli.profiles.verify import verify


class InOrder(click.Group):
    """A group that lists commands in the order of use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(
    cls=InOrder,
    epilog=example(
        "Example:  whichvariant profiles stats --store profiles.db",
        "Exit codes: 0 done, 1 a command's own no, 2 usage, unreadable or refused.",
    ),
)
def profiles() -> None:
    """Look after stored profiles.

    Export and import them, look at one, delete; and care for the store itself. --store names a
    file or a database, and so does the environment variable WHICHVARIANT_STORE. Servers may use it
    meanwhile.
    """


for _command in (
    get,
    export,
    import_,
    delete,
    purge,
    inbox,
    stats,
    verify,
    backup,
    compact,
):
    profiles.add_command(_command)
