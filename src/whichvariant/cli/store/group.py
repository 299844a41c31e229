"""``whichvariant store``: the group."""

from __future__ import annotations

import click

from whichvariant.cli.options import example
from whichvariant.cli.profiles.group import InOrder
from whichvariant.cli.store.copy import copy
from whichvariant.cli.store.digest import digest
from whichvariant.cli.store.migrate import migrate


@click.group(
    cls=InOrder,
    epilog=example(
        "Example:  whichvariant store copy profiles.db postgresql://app@db/profiles",
        "Exit codes: 0 done, 1 a command's own no, 2 usage, unreadable or refused.",
    ),
)
def store() -> None:
    """Move whole stores, and prepare databases for them.

    A store is a file, or a PostgreSQL database named by a URL. Passwords are best kept out of URLs:
    PGPASSWORD, PGPASSFILE and ~/.pgpass are read.
    """


for _command in (migrate, copy, digest):
    store.add_command(_command)
