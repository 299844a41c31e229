"""``whichvariant replay``: what a configuration would do to the visitors there are."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from whichvariant import Engine
from whichvariant.atomic_write import write_atomically
from whichvariant.cli.messages import complain
from whichvariant.cli.options import (
    config_option,
    example,
    instant,
    json_option,
    lenient_option,
    load_engine,
)
from whichvariant.cli.terminal import Progress, Screen, plural
from whichvariant.errors import ReplayError, WhichVariantError

if TYPE_CHECKING:
    from whichvariant.replay import Advance

STORED: Literal["stored"] = "stored"
_FORMATS = ("ndjson", "json", "msgpack", "parquet", "arrow", "arrow-stream")


def _limits(ctx: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> Any:
    from whichvariant.replay.limits import Limit

    try:
        return [Limit.parse(text) for text in texts]
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@click.command(
    short_help="Tell what a configuration would do to stored visitors.",
    epilog=example(
        "Example:  whichvariant replay --config next.json --against live.json \\",
        "            --profiles profiles/ --html report.html --fail-if 'moved>1%'",
        "Exit codes: 0 done, 1 a --fail-if limit is exceeded, 2 usage or unreadable,",
        "130 interrupted.",
    ),
)
@config_option
@click.option(
    "--against",
    metavar="FILE",
    multiple=True,
    type=click.Path(),
    help="The configuration that serves now; repeat it like --config. 'stored': what each record"
    " says its visitor got.  [default: nothing, only what the new configuration gives]",
)
@click.option(
    "--profiles",
    metavar="PATH",
    multiple=True,
    required=True,
    help="File, directory or glob of profiles, '-' for standard input; repeatable. NDJSON, JSON,"
    " msgpack, Parquet or Arrow, plain, gzip or zstd.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(_FORMATS),
    help="What the profiles are.  [default: by name, then by content]",
)
@click.option(
    "--out",
    metavar="DIR",
    type=click.Path(file_okay=False),
    help="Write report.json and the assignments of all visitors there.",
)
@click.option(
    "--assignments",
    type=click.Choice(["parquet", "arrow", "ndjson", "none"]),
    default="parquet",
    show_default=True,
    help="How --out has who gets what.",
)
@click.option("--html", metavar="FILE", type=click.Path(dir_okay=False), help="Write a page.")
@click.option(
    "--fail-if",
    "limits",
    metavar="LIMIT",
    multiple=True,
    callback=_limits,
    help="Exit with 1 if this is so: 'moved>1%', 'srm<0.001', 'growth[ID]>20%'; repeatable.",
)
@click.option("--workers", type=click.IntRange(1, 256), help="Processes.  [default: processors]")
@click.option(
    "--resume",
    metavar="DIR",
    type=click.Path(file_okay=False),
    help="Keep what is done in DIR, and go on from there.",
)
@click.option(
    "--rejects",
    metavar="FILE",
    type=click.Path(dir_okay=False),
    help="Write records that were refused, with reasons, as NDJSON.",
)
@click.option("--strict", is_flag=True, help="Stop at the first record that is refused.")
@click.option(
    "--now",
    type=instant,
    metavar="TIME",
    help="The time that rules with a window count back from.  [default: the clock]",
)
@click.option(
    "--samples",
    type=click.IntRange(0, 5),
    default=5,
    show_default=True,
    help="Visitors to name of each transition.",
)
@click.option("--keep-duplicates", is_flag=True, help="Count every record, not every visitor.")
@json_option
@lenient_option
def replay(
    *,
    configs: tuple[str, ...],
    against: tuple[str, ...],
    profiles: tuple[str, ...],
    form: Any,
    out: str | None,
    assignments: Any,
    html: str | None,
    limits: list[Any],
    workers: int | None,
    resume: str | None,
    rejects: str | None,
    strict: bool,
    now: int | None,
    samples: int,
    keep_duplicates: bool,
    as_json: bool,
    lenient: bool,
) -> None:
    """Tell what publishing a configuration would do to stored visitors.

    Every visitor is selected for with both configurations. The report says exactly who would move
    from which variant to which, and why; what would be shown; whether splits are as configured.
    """
    with_extra()
    from whichvariant.cli.replay_table import report_lines
    from whichvariant.replay import Source
    from whichvariant.replay import replay as run

    new = load_engine(configs, lenient=lenient)
    old = _old_side(against, lenient=lenient)
    for limit in limits:
        if old is None:
            _check_before(limit)
    source = Source.of(profiles, form=form)
    if html is not None:
        render = _renderer()
    if out is not None:
        Path(out).mkdir(parents=True, exist_ok=True)
    with _hint_at_resuming(resume), Progress("replaying") as progress:
        report = run(
            old,
            new,
            source,
            workers=workers,
            now=now,
            strict=strict,
            deduplicate=not keep_duplicates,
            samples=samples,
            resume=resume,
            rejects=rejects,
            assignments=None if out is None or assignments == "none" else Path(out, "assignments"),
            assignment_format="parquet" if assignments == "none" else assignments,
            names=(", ".join(against) or None, ", ".join(configs)),
            progress=lambda advance: progress.update(_advance_text(advance)),
        )
    found = report.to_dict()
    try:
        report.limits = [limit.check(found) for limit in limits]
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    found["limits"] = report.limits
    if out is not None:
        write_atomically(Path(out, "report.json"), report.to_json())
    if html is not None:
        write_atomically(html, render(found).encode())
    if as_json:
        sys.stdout.buffer.write(report.to_json())
    else:
        screen = Screen.of()
        sys.stdout.write("\n".join(report_lines(found, screen)) + "\n")
    if any(limit["exceeded"] for limit in report.limits):
        raise click.exceptions.Exit(1)


@contextmanager
def _hint_at_resuming(resume: str | None) -> Iterator[None]:
    """Say what becomes of an interrupted run."""
    try:
        yield
    except KeyboardInterrupt:
        if resume is not None:
            complain(f"interrupted; what is done is kept in {resume}, the same command goes on")
        raise


def with_extra() -> None:
    """Make sure that what the extra ``replay`` brings is there."""
    try:
        import_module("pyarrow")
    except ImportError:
        raise ReplayError("this needs pyarrow: pip install 'whichvariant[replay]'") from None


def _old_side(against: tuple[str, ...], *, lenient: bool) -> Engine | Literal["stored"] | None:
    if not against:
        return None
    if against == (STORED,):
        return STORED
    return load_engine(against, lenient=lenient)


def _check_before(limit: Any) -> None:
    """A limit that compares, without anything to compare with, is known to be wrong beforehand."""
    nothing = {"against": "nothing", "experiences": (), "visitors": {"counted": 0}}
    try:
        limit.check(nothing)
    except ValueError as error:
        if "old side" in str(error):
            raise click.UsageError(str(error)) from None
    except KeyError:
        pass


def _renderer() -> Any:
    try:
        return import_module("whichvariant.replay.page").render
    except ImportError as error:
        raise WhichVariantError(f"this build has no HTML page: {error}") from None


def _advance_text(advance: Advance) -> str:
    """How far, how fast, how long still."""
    rate = advance.records / advance.seconds if advance.seconds else 0.0
    text = f"{plural(advance.records, 'profile')} {rate:,.0f}/s"
    if advance.total_bytes and advance.bytes:
        share = min(advance.bytes / advance.total_bytes, 1.0)
        left_s = round(advance.seconds / share - advance.seconds)
        filled = int(share * 20)
        bar = "#" * filled + "." * (20 - filled)
        text = f"[{bar}] {share:.0%}  {text}  {left_s // 60}:{left_s % 60:02d} left"
    return text
