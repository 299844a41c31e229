"""``whichvariant lint``: what is wrong, or doubtful, in a configuration."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import groupby

import click

from whichvariant import Engine, Finding
from whichvariant.cli.json_output import print_json
from whichvariant.cli.options import example, files_argument, json_option
from whichvariant.cli.terminal import Screen, Style, columns_of, pad, plural, printable

_STYLES: dict[str, Style] = {"error": "red", "warning": "yellow"}
_SEVERITY_COLUMNS = len("warning")
_GAP = "  "


@click.command(
    epilog=example(
        "Example:  whichvariant lint space.json --fail-on error",
        "Exit codes: 0 clean, 1 findings, 2 usage or unreadable.",
    )
)
@files_argument
@click.option("--errors-only", is_flag=True, help="Leave warnings out, of the exit code too.")
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning"]),
    default="warning",
    show_default=True,
    help="The mildest finding that makes the exit code 1.",
)
@json_option
def lint(files: tuple[str, ...], errors_only: bool, fail_on: str, as_json: bool) -> None:
    """Check a configuration and print what was found.

    Several files are checked as the one configuration they make together. Errors are what a strict
    load refuses; warnings are doubtful, but have a defined meaning.
    """
    engine = Engine.load(*files, strict=False)
    findings = [
        finding for finding in engine.findings if not errors_only or finding.severity == "error"
    ]
    errors = sum(finding.severity == "error" for finding in findings)
    warnings = len(findings) - errors
    if as_json:
        print_json(
            {
                "findings": [finding.to_dict() for finding in findings],
                "counts": {"errors": errors, "warnings": warnings},
                "digest": engine.digest,
            }
        )
    else:
        for line in _report(findings, files, errors, warnings, Screen.of()):
            sys.stdout.write(line + "\n")
    if errors or (warnings and fail_on == "warning"):
        raise click.exceptions.Exit(1)


def _report(
    findings: Sequence[Finding],
    files: Sequence[str],
    errors: int,
    warnings: int,
    screen: Screen,
) -> Iterator[str]:
    """Findings under the file they are in, in the order of the files, and the counts."""
    order = {name: position for position, name in enumerate(files)}
    ordered = sorted(findings, key=lambda finding: order.get(finding.source, len(order)))
    for source, group in groupby(ordered, key=lambda finding: finding.source):
        yield screen.style(printable(source or "whole configuration"), "bold")
        yield from _rows(list(group), screen)
        yield ""
    read = plural(len(files), "file")
    if not findings:
        yield screen.style(f"nothing found in {read}", "green")
        return
    counts = f"{plural(errors, 'error')}, {plural(warnings, 'warning')}"
    yield screen.style(f"{counts} in {read}", "red" if errors else "yellow")


def _rows(findings: list[Finding], screen: Screen) -> Iterator[str]:
    """One row a finding, its path and message aligned; the message below where it does not fit."""
    paths = [printable(finding.path) for finding in findings]
    path_columns = max(map(columns_of, paths))
    messages = [printable(f"{finding.message} [{finding.code}]") for finding in findings]
    before = len(_GAP) + _SEVERITY_COLUMNS + len(_GAP)
    longest = max(map(columns_of, messages))
    width = screen.width
    rows = width is None or before + path_columns + len(_GAP) + longest <= width
    for finding, path, message in zip(findings, paths, messages, strict=True):
        severity = screen.style(
            pad(finding.severity, _SEVERITY_COLUMNS), _STYLES.get(finding.severity, "")
        )
        if rows:
            gap = _GAP if path_columns else ""
            yield f"{_GAP}{severity}{_GAP}{pad(path, path_columns)}{gap}{message}"
            continue
        yield f"{_GAP}{severity}{_GAP}{path or finding.subject}".rstrip()
        yield from screen.wrapped(message, indent=before)
