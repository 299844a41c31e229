"""``whichvariant completion``, in the shells themselves."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

ASK = {
    "bash": """
        eval "$(whichvariant completion bash)"
        COMP_WORDS=(whichvariant %s) COMP_CWORD=1
        _whichvariant_completion whichvariant
        printf '%%s\\n' "${COMPREPLY[@]}"
    """,
    "fish": "whichvariant completion fish | source; complete -C 'whichvariant %s'",
    # The line editor of zsh needs a terminal; that it takes the script is what can be seen here.
    "zsh": """
        autoload -Uz compinit && compinit -u -D
        eval "$(whichvariant completion zsh)" && print -l ${_comps[whichvariant]}
    """,
}


@pytest.mark.parametrize("shell", ASK)
def test_a_shell_completes_commands(tmp_path, shell):
    if shutil.which(shell) is None:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{shell} is not installed")
        pytest.skip(f"{shell} is not installed")
    script = tmp_path / "whichvariant"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m whichvariant "$@"\n')
    script.chmod(0o755)
    program = ASK[shell] % "comb" if "%s" in ASK[shell] else ASK[shell]
    said = subprocess.run(
        [shell, "-c", program],
        env={**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}", "HOME": str(tmp_path)},
        capture_output=True,
        encoding="utf-8",
        check=True,
        timeout=120,
    ).stdout.split()
    assert said[0] == ("_whichvariant_completion" if shell == "zsh" else "combinations")


def test_other_shells_are_refused(run):
    assert run("completion", "csh").exit_code == 2
