"""``whichvariant store migrate``: the tables of a database, brought to a version."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from whichvariant.cli.json_output import print_json
from whichvariant.cli.options import example, json_option
from whichvariant.cli.profiles.opening import run, shown_store, store_option

if TYPE_CHECKING:
    from whichvariant.store.postgres_migrations import Step, Versions


@click.command(
    epilog=example(
        "Example:  whichvariant store migrate --store postgresql://app@db/profiles --dry-run",
        "Exit codes: 0 done, 2 usage, unreadable or refused.",
    )
)
@store_option
@click.option(
    "--to",
    type=click.IntRange(min=0),
    metavar="VERSION",
    help="Up or down to this version of the tables.  [default: the newest that is known]",
)
@click.option("--dry-run", is_flag=True, help="Print the SQL and change nothing.")
@json_option
def migrate(*, store_path: str, to: int | None, dry_run: bool, as_json: bool) -> None:
    """Make the tables of a PostgreSQL store, or change them for this release.

    Servers of the release before go on meanwhile, so migrate first and replace them then. Two
    migrations at once are safe: the second one waits. What is interrupted goes on when it is run
    again. A store in a file needs no migration.
    """
    from whichvariant.store.opening import require_asyncpg
    from whichvariant.store.postgres_target import is_postgres

    if not is_postgres(store_path):
        raise click.UsageError("only stores in PostgreSQL are migrated: --store postgresql://...")
    require_asyncpg()
    steps: list[Step] = []

    def report(step: Step) -> None:
        steps.append(step)
        if as_json:
            return
        sys.stdout.write(f"-- {step}\n" if dry_run else f"{step}\n")
        if dry_run:
            sys.stdout.writelines(f"{statement};\n" for statement in step.statements)
        sys.stdout.flush()

    async def main() -> Versions:
        from whichvariant.store.postgres import migrate_database

        return await migrate_database(store_path, to, dry_run=dry_run, report=report)

    found = run(main())
    if as_json:
        print_json(
            {
                "steps": [
                    {
                        "version": step.migration.version,
                        "name": step.migration.name,
                        "direction": "up" if step.upwards else "down",
                        "statements": list(step.statements),
                    }
                    for step in steps
                ],
                "version": found.version,
                "dry_run": dry_run,
            }
        )
    elif not dry_run:
        sys.stdout.write(
            f"{shown_store(store_path)}: the tables are of version {found.version}"
            f"{'' if steps else ', as they should be'}\n"
        )
    elif not steps:
        sys.stdout.write("-- nothing to do\n")
