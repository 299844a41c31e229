"""A newcomer's path: the files and commands of docs/tutorial.md, as they stand, in an empty folder.

python .ci/tutorial.py BIN     # BIN: the folder of an environment's commands, python among them

A fenced block that follows a line "`NAME`:" is the file NAME; a `console` block is commands, each
after "$ ", with what they print. A command goes on after a line that ends in "\\". A line of only
"…" stands for any number of lines. All commands are typed into one shell, so that what one leaves
running is there for the next.
"""

import os
import pathlib
import re
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time

PAGE = pathlib.Path(__file__).resolve().parents[1] / "docs" / "tutorial.md"
BLOCK = re.compile(r"(?:^`([\w.]+)`:\n\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STEP = re.compile(r"^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
MARK = "-- that was step"
WHOLE_SECONDS = 120
PORT_SECONDS = 60


def pattern_of(expected: str) -> str:
    """The expected output as a pattern."""
    return "".join(
        r"(?:.*\n)*" if line == "…" else re.escape(line) + r"\n" for line in expected.splitlines()
    )


def wait_for_port(port: int) -> None:
    """The page names its port, so whoever has it has to let go of it first."""
    until = time.monotonic() + PORT_SECONDS
    while True:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError as error:
                if time.monotonic() > until:
                    raise SystemExit(f"tutorial: port {port} is taken: {error}") from error
            else:
                return
        time.sleep(1)


def printed(script: str, folder: str, environment: dict[str, str]) -> str:
    """What a shell prints, with everything that it started ended afterwards."""
    with subprocess.Popen(
        ["bash", "-c", script],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        start_new_session=True,
    ) as shell:
        try:
            output, _ = shell.communicate(timeout=WHOLE_SECONDS)
        finally:
            try:
                os.killpg(shell.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            else:
                print("tutorial: something was left running", file=sys.stderr)
    return output


def main(commands: str) -> None:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTHON")
    }
    environment |= {"PATH": f"{commands}:{os.environ['PATH']}", "COLUMNS": "100"}
    steps: list[tuple[str, str]] = []
    with tempfile.TemporaryDirectory() as folder:
        for name, kind, content in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
            if name:
                pathlib.Path(folder, name).write_text(content, encoding="utf-8")
            if kind == "console":
                steps += STEP.findall(content)
        typed = " ".join(command for command, _ in steps)
        for port in set(re.findall(r"--port (\d+)", typed)):
            wait_for_port(int(port))
        script = "".join(f"{command}\necho {shlex.quote(MARK)}\n" for command, _ in steps)
        outputs = printed(script, folder, environment).split(f"{MARK}\n")
    if len(steps) < 12 or not any("curl" in command for command, _ in steps):
        raise SystemExit(f"tutorial: only {len(steps)} commands were found")
    for (command, expected), output in zip(steps, outputs, strict=False):
        if not re.fullmatch(pattern_of(expected), output):
            raise SystemExit(f"tutorial: {command}\nprints\n{output}")
    if len(outputs) != len(steps) + 1:
        raise SystemExit(f"tutorial: {len(outputs) - 1} of {len(steps)} commands were run")
    print(f"the tutorial's {len(steps)} commands print what it says")


if __name__ == "__main__":
    main(str(pathlib.Path(sys.argv[1]).resolve()))
