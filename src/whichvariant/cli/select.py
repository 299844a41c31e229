"""``whichvariant select``: which variants these visitors get."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, Literal

import click
import orjson

from whichvariant import Engine
from whichvariant.cli.inputs import (
    STDIN,
    Line,
    ProfileSource,
    blaming,
    open_profiles,
    read_events,
)
from whichvariant.cli.messages import complain
from whichvariant.cli.options import (
    config_option,
    example,
    json_option,
    lenient_option,
    load_engine,
    request_options,
)
from whichvariant.cli.terminal import Progress, Screen, is_terminal, plural
from whichvariant.cli.visitor_block import VisitorBlocks
from whichvariant.columns.requests import Request
from whichvariant.contracts import JsonValue
from whichvariant.errors import EventError, InputError


@click.command(
    epilog=example(
        "Example:  whichvariant select --config space.json --profile visitor.json --json",
        "Exit codes: 0 all selected, 1 some lines could not be, 2 usage or unreadable.",
    )
)
@config_option
@click.option(
    "--profile",
    "profile_file",
    metavar="FILE",
    is_flag=False,
    flag_value=STDIN,
    default=STDIN,
    help="Profile, request or API response; or one a line. '-', or nothing, is standard input.",
)
@request_options
@json_option
@click.option("--ndjson", is_flag=True, help="The input is one JSON value a line, even one only.")
@click.option("--fail-fast", is_flag=True, help="Stop at the first line that cannot be selected.")
@lenient_option
def select(
    *,
    configs: tuple[str, ...],
    profile_file: str,
    audiences: Literal["rules", "given"],
    now: int | None,
    events_file: str | None,
    device: str | None,
    as_json: bool,
    ndjson: bool,
    fail_fast: bool,
    lenient: bool,
) -> None:
    """Print the experiences and changes that visitors get.

    An input is a profile, a request {"profile", "device", "events"}, or a response of the
    Experience API. Several inputs, one a line, are answered one by one as they are read; with
    --json each answer is one line, the API's "data" object. A line that cannot be selected is
    reported on standard error and the run goes on.
    """
    engine = load_engine(configs, lenient=lenient)
    events = read_events(events_file) if events_file is not None else None
    run = _Run(engine, audiences, now, device, events)
    with open_profiles(profile_file, ndjson=ndjson) as source:
        # Lines from a pipe may come slowly: whoever waits for the answers wants each at once.
        out = _JsonOutput(source.many) if as_json else _TextOutput(engine, source.many)
        eager = profile_file == STDIN
        if not source.many:
            with blaming(source.name):
                request, data = run.answer(source.only())
            out.write(request, data)
            return
        run.each(source, out, eager=eager, fail_fast=fail_fast)
    out.finish(run)
    if run.bad:
        complain(f"{plural(run.bad, 'line')} of {run.good + run.bad:,} could not be selected")
        raise click.exceptions.Exit(1)


@dataclass(slots=True)
class _Run:
    """One engine over many visitors, and what came of it."""

    engine: Engine
    audiences: Literal["rules", "given"]
    now: int | None
    device: str | None
    events: list[JsonValue] | None
    good: int = 0
    bad: int = 0
    experiences: int = 0
    on_variant: int = 0
    changes: int = 0

    def answer(self, line: Line) -> tuple[Request, dict[str, Any]]:
        """The visitor on ``line`` with the options' defaults, and the API's ``data`` object."""
        request = line.request()
        device = request.device if request.device is not None else self.device
        events = request.events if request.events is not None else self.events
        try:
            selection = self.engine.select(
                request.profile,
                device=device,
                events=events,
                audiences=self.audiences,
                now=self.now,
            )
        except EventError as error:
            if request.events is None:
                raise _OptionError(str(error)) from error
            raise
        data = {
            "profile": {**request.profile, "audiences": selection.audiences},
            "experiences": selection.experiences,
            "changes": selection.changes,
        }
        return Request(request.profile, device, events), data

    def each(
        self,
        source: ProfileSource,
        out: _JsonOutput | _TextOutput,
        *,
        eager: bool,
        fail_fast: bool,
    ) -> None:
        """Answer every line; what cannot be answered is reported and counted."""
        with Progress("selecting", wanted=not is_terminal(sys.stdout)) as progress:
            for line in source:
                try:
                    request, data = self.answer(line)
                except InputError as error:
                    self.bad += 1
                    progress.clear()
                    complain(f"{source.place(line)}: {error}")
                    if fail_fast:
                        return
                    continue
                self.good += 1
                self.experiences += len(data["experiences"])
                self.on_variant += sum(record["variantIndex"] > 0 for record in data["experiences"])
                self.changes += len(data["changes"])
                out.write(request, data)
                if eager:
                    sys.stdout.flush()
                progress.update(plural(self.good, "visitor"))


class _OptionError(click.ClickException):
    """The events of ``--events`` are at fault, for every visitor alike: no line is to blame."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        complain(self.message)


class _JsonOutput:
    """The API's ``data`` objects: pretty for one visitor, one a line for many."""

    def __init__(self, many: bool) -> None:
        self._options = orjson.OPT_APPEND_NEWLINE | (0 if many else orjson.OPT_INDENT_2)
        self._write = sys.stdout.buffer.write

    def write(self, request: Request, data: dict[str, Any]) -> None:
        self._write(orjson.dumps(data, option=self._options))

    def finish(self, run: _Run) -> None:
        """Nothing: whoever counts JSON lines counts them."""


class _TextOutput:
    """A block for each visitor; for many also what they were selected with, and the totals."""

    def __init__(self, engine: Engine, many: bool) -> None:
        self._screen = Screen.of()
        self._blocks = VisitorBlocks(engine.configuration, self._screen)
        self._first = True
        if many:
            configuration = engine.configuration
            dot = f" {self._screen.dot} "
            facts = (
                plural(len(configuration.experiences), "experience"),
                plural(len(configuration.audiences), "audience"),
                engine.scheme,
                engine.digest[:12],
            )
            self._print(self._screen.style(dot.join(facts), "dim"))
            self._first = False

    def write(self, request: Request, data: dict[str, Any]) -> None:
        block = self._blocks.render(
            request.profile,
            request.device,
            {
                "audiences": data["profile"]["audiences"],
                "experiences": data["experiences"],
                "changes": data["changes"],
            },
        )
        self._print(block if self._first else "\n" + block)
        self._first = False

    def finish(self, run: _Run) -> None:
        text = (
            f"{plural(run.good, 'visitor')}: {plural(run.experiences, 'experience')} selected,"
            f" {run.on_variant:,} on a variant; {plural(run.changes, 'inline change')}"
        )
        lines = self._screen.wrapped(text, indent=0)
        self._print("\n" + "\n".join(self._screen.style(line, "dim") for line in lines))

    def _print(self, text: str) -> None:
        sys.stdout.write(text + "\n")
