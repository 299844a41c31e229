"""``whichvariant explain``: why one visitor gets what they get, or what a configuration says."""

from __future__ import annotations

import sys
from typing import Any, Literal, Protocol

import click

from whichvariant.cli.inputs import blaming, open_profiles, read_events
from whichvariant.cli.json_output import print_json
from whichvariant.cli.options import (
    config_option,
    example,
    json_option,
    lenient_option,
    load_engine,
    request_options,
)
from whichvariant.cli.terminal import plural, printable
from whichvariant.columns.requests import Request
from whichvariant.errors import InputError, ProfileError


@click.command(
    short_help="Explain one visitor's selection, draw by draw.",
    epilog=example(
        "Example:  whichvariant explain --config space.json --profile visitor.json",
        "Exit codes: 0 explained, 2 usage or unreadable.",
    ),
)
@config_option
@click.option(
    "--profile",
    "profile_file",
    metavar="FILE",
    help="Profile, request or API response; '-' is standard input. Without it the configuration"
    " itself is listed.",
)
@click.option("--profile-id", metavar="ID", help="Which profile to take from one a line.")
@request_options
@json_option
@lenient_option
def explain(
    *,
    configs: tuple[str, ...],
    profile_file: str | None,
    profile_id: str | None,
    audiences: Literal["rules", "given"],
    now: int | None,
    events_file: str | None,
    device: str | None,
    as_json: bool,
    lenient: bool,
) -> None:
    """Explain one visitor's selection, test by test and draw by draw.

    Without --profile, list what the configuration compiles to: attributes and their tests,
    audiences as decision graphs, experiences with their thresholds.
    """
    if profile_file is None and profile_id is not None:
        raise click.UsageError("--profile-id needs --profile")
    engine = load_engine(configs, lenient=lenient)
    if profile_file is None:
        _print(engine.explain_program(), as_json)
        return
    request = _pick(profile_file, profile_id)
    events = request.events
    if events is None and events_file is not None:
        events = read_events(events_file)
    explanation = engine.explain(
        request.profile,
        device=request.device if request.device is not None else device,
        events=events,
        audiences=audiences,
        now=now,
    )
    _print(explanation, as_json)


def _pick(profile_file: str, profile_id: str | None) -> Request:
    """The only visitor of an input, or the one whose id or stable id is ``profile_id``."""
    unreadable = 0
    with open_profiles(profile_file) as source:
        if profile_id is None:
            if source.many:
                raise ProfileError(source.name, "several profiles; choose one with --profile-id")
            with blaming(source.name):
                return source.only().request()
        for line in source:
            try:
                request = line.request()
            except InputError:
                unreadable += 1
                continue
            if profile_id in (request.profile.get("id"), request.profile.get("stableId")):
                return request
    note = f"; {plural(unreadable, 'line')} could not be read" if unreadable else ""
    raise ProfileError(source.name, f"no profile with the id {profile_id!r}{note}")


class _Explained(Protocol):
    def to_dict(self) -> dict[str, Any]: ...


def _print(explained: _Explained, as_json: bool) -> None:
    if as_json:
        print_json(explained.to_dict())
    else:
        for line in str(explained).rstrip("\n").split("\n"):
            sys.stdout.write(printable(line) + "\n")
