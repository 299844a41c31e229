"""``whichvariant combinations``: every way in which a page can look."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import click
import orjson

from whichvariant import Engine
from whichvariant.cli.json_output import print_json
from whichvariant.cli.messages import complain
from whichvariant.cli.options import (
    config_option,
    example,
    instant,
    json_option,
    lenient_option,
    load_engine,
)
from whichvariant.cli.terminal import Screen, plural, printable

if TYPE_CHECKING:
    from whichvariant.columns import ColumnsResult
    from whichvariant.combinations import Combination, Combinations


@click.command(
    short_help="List what a page can look like: shares, cache keys.",
    epilog=example(
        "Example:  whichvariant combinations --config space.json --entry hero --entry teaser \\",
        "            --profiles profiles.ndjson --at-least 0.001",
        "Exit codes: 0 done, 1 some profiles could not be read, 2 usage, unreadable or too many.",
    ),
)
@config_option
@click.option("--entry", "entries", metavar="ID", multiple=True, help="An entry on the page.")
@click.option(
    "--variable", "variables", metavar="KEY", multiple=True, help="A variable the page reads."
)
@click.option(
    "--page",
    "page_file",
    metavar="FILE",
    type=click.Path(),
    help='The page as JSON: {"entries": {ID: [experience ids in their order] or null},'
    ' "variables": [KEY]}.',
)
@click.option(
    "--level",
    type=click.Choice(["seen", "experiences"]),
    default="seen",
    show_default=True,
    help="What makes two combinations differ: what is shown, or which experience gives what.",
)
@click.option(
    "--profiles",
    metavar="PATH",
    multiple=True,
    help="A sample of visitors, as 'replay' reads them, for the shares of audiences.",
)
@click.option(
    "--at-least",
    type=click.FloatRange(0, 1),
    default=0.0,
    show_default=True,
    help="Leave out combinations with a smaller share; without a sample, less probable ones.",
)
@click.option(
    "--limit", type=click.IntRange(1), default=10_000, show_default=True, help="Refuse more."
)
@click.option("--now", type=instant, metavar="TIME", help="As for 'select', for the sample.")
@json_option
@lenient_option
def combinations(
    *,
    configs: tuple[str, ...],
    entries: tuple[str, ...],
    variables: tuple[str, ...],
    page_file: str | None,
    level: Any,
    profiles: tuple[str, ...],
    at_least: float,
    limit: int,
    now: int | None,
    as_json: bool,
    lenient: bool,
) -> None:
    """Print every combination of variants that a page can show.

    Each has the key that the library's combination_key gives for a selection that looks like it,
    and its share of the visitors, if --profiles says which audiences they are in; without, the
    highest probability that any visitor has.
    """
    on_page: dict[str, list[str] | None] = dict.fromkeys(entries)
    read = list(variables)
    if page_file is not None:
        more_entries, more_variables = _read_page(page_file)
        on_page |= more_entries
        read += more_variables
    if not on_page and not read:
        raise click.UsageError("name the page: --entry, --variable or --page")
    engine = load_engine(configs, lenient=lenient)
    sample = _Sample(engine, profiles, now)
    found = engine.combinations(
        on_page,
        read,
        level=level,
        profiles=sample if profiles else None,
        at_least=at_least,
        limit=limit,
    )
    if as_json:
        print_json(found.to_dict())
    else:
        for line in _lines(found, Screen.of()):
            sys.stdout.write(line + "\n")
    if sample.n_refused:
        count = plural(sample.n_refused, "profile")
        complain(f"{count} could not be read; the first, {sample.refused_first}")
        raise click.exceptions.Exit(1)


def _read_page(path: str) -> tuple[dict[str, list[str] | None], list[str]]:
    with open(path, "rb") as file:
        try:
            value = orjson.loads(file.read())
        except orjson.JSONDecodeError as error:
            raise click.UsageError(f"{path}: not JSON: {error.msg}") from None
    if not isinstance(value, dict) or value.keys() - {"entries", "variables"}:
        raise click.UsageError(f'{path}: expected {{"entries": …, "variables": …}}')
    entries = value.get("entries") or {}
    if isinstance(entries, list):
        entries = dict.fromkeys(entries)
    variables = value.get("variables") or []
    lists = [order for order in entries.values() if order is not None] + [variables]
    if not all(isinstance(one, list) and all(isinstance(x, str) for x in one) for one in lists):
        raise click.UsageError(f"{path}: expected lists of ids")
    return entries, variables


class _Sample:
    """The profiles of files, decided batch by batch; iterating gives the results."""

    def __init__(self, engine: Engine, paths: tuple[str, ...], now: int | None) -> None:
        self._engine = engine
        self._paths = paths
        self._now = now
        self.n_refused = 0
        self.refused_first = ""

    def __iter__(self) -> Iterator[ColumnsResult]:
        from whichvariant.columns import Intake
        from whichvariant.replay.reading import UnitReader
        from whichvariant.replay.sources import Source

        source = Source.of(self._paths)
        for unit in source.units:
            intake = Intake(self._engine, now=self._now)
            for decided in UnitReader(source, unit, intake, self):
                yield decided.results[0]

    def advanced(self, records: int, n_bytes: int) -> None:
        """Nobody is told how far it is."""

    def refused(self, record: Any) -> None:
        """Count a record that cannot be selected for."""
        self.n_refused += 1
        if not self.refused_first:
            self.refused_first = f"record {record.record + 1}: {record.error}"


def _lines(found: Combinations, screen: Screen) -> Iterator[str]:
    known = found.sample_size is not None
    head = f"{plural(len(found), 'combination')} {screen.dot} "
    head += f"{plural(len(found.patterns), 'pattern')} of audiences"
    unproven = sum(not pattern.proven for pattern in found.patterns)
    if unproven:
        head += f" ({unproven:,} not proven)"
    if known:
        head += f" {screen.dot} shares from {plural(found.sample_size or 0, 'profile')}"
    yield screen.style(head, "bold")
    if found.omitted:
        share = found.omitted_share
        left = "" if share is None else f", {_percent(share)} of the visitors"
        yield f"left out: {plural(found.omitted, 'combination')}{left}"
    yield ""
    for one in found:
        share = one.share if one.share is not None else one.likeliest
        shown = _shown(one, screen)
        prefix = "" if known else "up to "
        yield f"{one.key}  {prefix}{_percent(share):>8}  {shown[0]}"
        for line in shown[1:]:
            yield " " * (len(one.key) + 2 + len(prefix) + 8 + 2) + line


def _shown(one: Combination, screen: Screen) -> list[str]:
    lines = [
        f"{printable(entry)} {screen.arrow} {printable(shown) or '(nothing)'}"
        for entry, shown in one.entries.items()
        if entry != shown
    ]
    for key, value in one.variables.items():
        text = orjson.dumps(value).decode()
        lines.append(f"{printable(key)} = {printable(text)}")
    return lines or ["as it is"]


def _percent(share: Fraction) -> str:
    if share and share < Fraction(1, 100_000):
        return "<0.001 %"
    return f"{float(share) * 100:.3f} %"
