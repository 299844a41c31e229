"""``whichvariant profiles stats``: how much there is in a store."""

from __future__ import annotations

import sys

import click

from whichvariant.cli.json_output import print_json
from whichvariant.cli.messages import complain
from whichvariant.cli.options import example, json_option
from whichvariant.cli.profiles.opening import spelled, store_option, with_store
from whichvariant.cli.terminal import columns_of, pad, printable

_COLUMNS = ("profiles", "aliases", "forwards", "tombstones", "inbox", "rejected")
_TITLES = ("profiles", "user ids", "merged", "deleted", "inbox", "rejected")


@click.command(
    epilog=example(
        "Example:  whichvariant profiles stats --store profiles.db",
        "Exit codes: 0 counted, 2 usage or unreadable.",
    )
)
@store_option
@json_option
def stats(store_path: str, as_json: bool) -> None:
    """Count what a store holds, by organization and environment.

    Profiles; user ids that lead to them; ids that were merged away or deleted; batches that wait in
    the inbox, and those that were rejected. And how large the files are.
    """
    found = with_store(store_path, lambda store: store.stats())
    if as_json:
        print_json(
            {
                "namespaces": [
                    {
                        "organization": row.namespace.organization,
                        "environment": row.namespace.environment,
                        **{name: getattr(row, name) for name in _COLUMNS},
                    }
                    for row in found.namespaces
                ],
                "files": dict(found.files),
                "free_bytes": found.free_bytes,
                "engine": found.engine,
                "schema_version": found.schema_version,
                "trouble": found.trouble,
            }
        )
        return
    rows = [
        (spelled(row.namespace), *(f"{getattr(row, name):,}" for name in _COLUMNS))
        for row in found.namespaces
    ]
    table = [("", *_TITLES), *rows]
    widths = [max(columns_of(row[column]) for row in table) for column in range(len(table[0]))]
    if rows:
        for name, *counts in table:
            cells = [f"{count:>{width}}" for count, width in zip(counts, widths[1:], strict=True)]
            sys.stdout.write("  ".join([pad(name, widths[0]), *cells]) + "\n")
    else:
        sys.stdout.write("nothing is stored\n")
    sys.stdout.write("\n")
    for path, size in found.files.items():
        sys.stdout.write(f"{printable(path)}  {size:,} bytes\n")
    sys.stdout.write(
        f"{found.engine}, version {found.schema_version} of the tables;"
        f" compacting gives back {found.free_bytes:,} bytes\n"
    )
    if found.trouble:
        complain(found.trouble)
