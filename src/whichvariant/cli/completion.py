"""``whichvariant completion``: the script by which a shell completes the command."""

from __future__ import annotations

import sys

import click
from click.shell_completion import get_completion_class

from whichvariant.cli.options import example

_VARIABLE = "_WHICHVARIANT_COMPLETE"
"""Set by the script when the shell asks; click then answers instead of running a command."""


@click.command(
    short_help="Print a shell's completion script.",
    epilog=example(
        'Example:  eval "$(whichvariant completion bash)"',
        "Exit codes: 0 printed, 2 usage.",
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the script that makes SHELL complete commands, options and file names.

    \b
    bash, in ~/.bashrc:   eval "$(whichvariant completion bash)"
    zsh, in ~/.zshrc:     eval "$(whichvariant completion zsh)"
    fish, in config.fish: whichvariant completion fish | source
    """
    found = get_completion_class(shell)
    assert found is not None  # these three are click's own
    script = found(ctx.find_root().command, {}, "whichvariant", _VARIABLE)
    sys.stdout.write(script.source().rstrip("\n") + "\n")
