"""Options that several commands take, with one meaning everywhere."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import click

from whichvariant import Engine
from whichvariant.cli.messages import mention_withheld

_Command = TypeVar("_Command", bound=Callable[..., Any])

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

DEVICES = ("desktop", "mobile", "tablet", "unknown")


def instant(text: str | int) -> int:
    """ISO 8601 text, in UTC unless it has an offset, or milliseconds since the epoch, in those."""
    if isinstance(text, int):
        return text
    text = text.strip()
    # Fewer digits are rather a date without dashes than an hour of 1970.
    if text.isascii() and text.isdecimal() and len(text) > 8:
        return int(text)
    try:
        if "-" not in text:
            raise ValueError(text)
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        return (moment - _EPOCH) // timedelta(milliseconds=1)
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{text!r} is neither ISO 8601 (2026-11-01T12:00:00Z) nor milliseconds since the epoch"
        ) from None


def config_option(command: _Command) -> _Command:
    """``--config``, repeatable: configuration documents, or one compiled program."""
    return click.option(
        "--config",
        "configs",
        metavar="FILE",
        multiple=True,
        required=True,
        type=click.Path(),
        help="Configuration document, or a compiled program. Repeat it: documents are merged.",
    )(command)


def files_argument(command: _Command) -> _Command:
    """The configuration documents of commands that are about nothing else."""
    return click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path())(
        command
    )


def output_option(command: _Command) -> _Command:
    """``-o``: the file to write."""
    return click.option(
        "-o",
        "--output",
        metavar="FILE",
        required=True,
        type=click.Path(dir_okay=False),
        help="The file to write; it is replaced whole or not at all.",
    )(command)


def lenient_option(command: _Command) -> _Command:
    """``--lenient``: load a configuration that has errors, without what they concern."""
    return click.option(
        "--lenient",
        is_flag=True,
        help="Serve a configuration that has errors, leaving out the audiences and experiences"
        " they concern.",
    )(command)


def json_option(command: _Command) -> _Command:
    """``--json``: output for a program instead of a person."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON.")(command)


def request_options(command: _Command) -> _Command:
    """What can be said about a visitor beside the profile."""
    for option in (
        click.option(
            "--audiences",
            type=click.Choice(["rules", "given"]),
            default="rules",
            show_default=True,
            help="Evaluate the rules, or trust the profile's own list of audiences.",
        ),
        click.option(
            "--now",
            type=instant,
            metavar="TIME",
            help="The time that rules with a window count back from, in ISO 8601 or milliseconds"
            " since the epoch.  [default: the clock]",
        ),
        click.option(
            "--events",
            "events_file",
            metavar="FILE",
            type=click.Path(),
            help="The visitor's events, a JSON list or one a line; an input's own events win.",
        ),
        click.option(
            "--device",
            type=click.Choice(DEVICES),
            help="The visitor's device; an input's own device wins.",
        ),
    ):
        command = option(command)
    return command


def load_engine(files: tuple[str, ...], *, lenient: bool) -> Engine:
    """The engine for ``files``; what a lenient load leaves out is mentioned on standard error."""
    engine = Engine.load(*files, strict=not lenient)
    mention_withheld(engine)
    return engine


def example(*lines: str) -> str:
    """A help epilog: one example as it is typed, and the exit codes, each line kept as it is."""
    return "\n\n".join(f"\b\n{line}" for line in lines)
