"""``whichvariant``: the command group, and what becomes of errors.

Exit codes: 0 done; 1 a command's own no (findings, lines that could not be selected); 2 usage, or
something unreadable or refused; 130 interrupted.
"""

from __future__ import annotations

import io
import os
import sys

import click

from whichvariant.cli.bench import bench
from whichvariant.cli.combinations import combinations
from whichvariant.cli.compile import compile_
from whichvariant.cli.completion import completion
from whichvariant.cli.convert import convert
from whichvariant.cli.digest import digest
from whichvariant.cli.explain import explain
from whichvariant.cli.generate import generate
from whichvariant.cli.json_output import print_json
from whichvariant.cli.lint import lint
from whichvariant.cli.messages import complain, one_line
from whichvariant.cli.profiles.group import profiles
from whichvariant.cli.replay import replay
from whichvariant.cli.select import select
from whichvariant.cli.serve import serve
from whichvariant.cli.store.group import store
from whichvariant.cli.version import version_facts, version_line
from whichvariant.errors import WhichVariantError

_FAILED = 2
_INTERRUPTED = 130


class Program(click.Group):
    """A group that lists commands in the order of use, and answers an error with one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def invoke(self, ctx: click.Context) -> object:
        _never_fail_on_characters()
        try:
            super().invoke(ctx)
            # What is still buffered can meet a full disk or a closed pipe; that must be noticed
            # here, where it has an exit code, and not while the interpreter shuts down.
            sys.stdout.flush()
        except KeyboardInterrupt:
            raise click.exceptions.Exit(_INTERRUPTED) from None
        except BrokenPipeError:
            _discard_output()
            complain("the output was closed before all of it was written")
            raise click.exceptions.Exit(_FAILED) from None
        except (WhichVariantError, OSError) as error:
            complain(one_line(error))
            raise click.exceptions.Exit(_FAILED) from None
        return None


def _never_fail_on_characters() -> None:
    """Escape what the output's encoding lacks: a name in a log must not end the run."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _discard_output() -> None:
    """Lead standard output nowhere, so that the interpreter's flush at exit cannot fail again."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
    except (OSError, ValueError):
        pass  # no file behind standard output: nothing will be flushed at exit either


@click.group(
    cls=Program,
    invoke_without_command=True,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 findings or bad lines, 2 usage or unreadable, 130 interrupted.",
)
@click.option(
    "--version", "asks_version", is_flag=True, help="Show the version, build and vector level."
)
@click.option("--json", "as_json", is_flag=True, help="With --version: print JSON.")
@click.pass_context
def cli(ctx: click.Context, asks_version: bool, as_json: bool) -> None:
    """Which variant does this visitor get?

    Reads personalization configurations (native documents, Contentful exports and Delivery API
    responses, compiled programs) and answers as the Experience API would.
    """
    if asks_version:
        if as_json:
            print_json(version_facts())
        else:
            click.echo(version_line())
        ctx.exit()
    if as_json:
        raise click.UsageError("--json goes with --version, or behind a command")
    if ctx.invoked_subcommand is None:
        raise click.UsageError("Missing command.")


for _command in (
    select,
    explain,
    lint,
    compile_,
    convert,
    digest,
    serve,
    replay,
    generate,
    combinations,
    bench,
    profiles,
    store,
    completion,
):
    cli.add_command(_command)


def main() -> None:
    """The entry point of the ``whichvariant`` command."""
    try:
        cli(prog_name="whichvariant")
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)
