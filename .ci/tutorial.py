"""A newcomer's path: the files and commands of docs/tutorial.md, as they stand, in an empty folder.

python .ci/tutorial.py BIN     # BIN: the folder of an environment's commands, python among them

A fenced block that follows a line "`NAME`:" is the file NAME; a `console` block is commands, each
after "$ ", with what they print. A line of only "…" stands for any number of lines.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile

PAGE = pathlib.Path(__file__).resolve().parents[1] / "docs" / "tutorial.md"
BLOCK = re.compile(r"(?:^`([\w.]+)`:\n\n)?^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def pattern_of(expected: str) -> str:
    """The expected output as a pattern."""
    return "".join(
        r"(?:.*\n)*" if line == "…" else re.escape(line) + r"\n" for line in expected.splitlines()
    )


def main(commands: str) -> None:
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith("PYTHON")
    }
    environment |= {"PATH": f"{commands}:{os.environ['PATH']}", "COLUMNS": "100"}
    count = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, kind, content in BLOCK.findall(PAGE.read_text(encoding="utf-8")):
            if name:
                pathlib.Path(folder, name).write_text(content, encoding="utf-8")
            if kind != "console":
                continue
            for step in re.split(r"^\$ ", content, flags=re.MULTILINE)[1:]:
                command, _, expected = step.partition("\n")
                finished = subprocess.run(
                    ["bash", "-c", command],
                    cwd=folder,
                    env=environment,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    encoding="utf-8",
                    timeout=60,
                    check=False,
                )
                if not re.fullmatch(pattern_of(expected), finished.stdout):
                    raise SystemExit(f"tutorial: {command}\nprints\n{finished.stdout}")
                count += 1
    if count < 8:
        raise SystemExit(f"tutorial: only {count} commands were found")
    print(f"the tutorial's {count} commands print what it says")


if __name__ == "__main__":
    main(str(pathlib.Path(sys.argv[1]).resolve()))
