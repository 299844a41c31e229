"""What goes to standard error: one line for one problem."""

from __future__ import annotations

import sys

from whichvariant import Engine
from whichvariant.cli.terminal import plural, printable
from whichvariant.errors import ConfigurationError


def complain(message: str) -> None:
    """Print ``message`` as one line on standard error, if that is still open."""
    text = " ".join(printable(line.strip()) for line in message.splitlines())
    try:
        if sys.stdout.isatty():
            sys.stdout.flush()  # on a shared terminal the line belongs after what it is about
        sys.stderr.write(f"whichvariant: {text}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        pass


def one_line(error: Exception) -> str:
    """``error`` for a reader at a terminal."""
    if isinstance(error, ConfigurationError):
        errors = [finding for finding in error.findings if finding.severity == "error"]
        first = errors[0] if len(errors) == 1 else f"the first: {errors[0]}"
        return (
            f"the configuration has {plural(len(errors), 'error')}: {first}"
            " ('whichvariant lint' lists all, '--lenient' leaves out what they concern)"
        )
    if isinstance(error, OSError) and error.strerror:
        name = error.filename
        return f"{name}: {error.strerror}" if name is not None else error.strerror
    return str(error) or type(error).__name__


def mention_withheld(engine: Engine) -> None:
    """Say on standard error what a lenient load left out."""
    errors = sum(finding.severity == "error" for finding in engine.findings)
    if errors:
        complain(
            f"{plural(errors, 'error')} in the configuration; what they concern is left out"
            " ('whichvariant lint' lists them)"
        )
