"""A check of a change to a configuration, for a pull request.

It lints what is to be published, replays stored visitors through it, and fails if there is an error
or more would happen than may::

    python examples/check_configuration.py --config next.json --against live.json \\
        --profiles profiles.parquet --fail-if 'moved>1%' --html report.html

In a job of GitHub Actions the summary stands on the job's page (docs/replay.md has the workflow).
Without arguments it checks a change to the made-up shop: twice the traffic for one experience.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from typing import Any

SHOP = pathlib.Path(__file__).parents[1] / "fixtures" / "storefront" / "native.json"


def whichvariant(*words: object) -> subprocess.CompletedProcess[str]:
    """The command line, as a job would call it."""
    command = [sys.executable, "-m", "whichvariant", *map(str, words)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)


def summary(findings: list[dict[str, Any]], report: dict[str, Any]) -> list[str]:
    """What was found, as Markdown."""
    visitors = report["visitors"]
    counted, moves, changed = (visitors[name] for name in ("counted", "moved", "changed"))
    lines = ["## What this configuration would do", ""]
    lines += [f"{moves:,} of {counted:,} visitors get another variant, or come in or go out;"]
    lines += [f"{changed:,} would see something else.", ""]
    moved = [one for one in report["experiences"] if one["moved"]]
    if moved:
        lines += ["| experience | before | after | moved |", "|---|---:|---:|---:|"]
        for one in moved:
            before, after = (
                f"{side['present']:,}" if side else "" for side in (one["old"], one["new"])
            )
            lines.append(f"| {one['name']} | {before} | {after} | {one['moved']:,} |")
        lines.append("")
    for limit in report["limits"]:
        verdict = "**exceeded**" if limit["exceeded"] else "kept"
        lines.append(f"- limit `{limit['limit']}`: {verdict}")
    lines += [f"- {finding['severity']} `{finding['code']}`: {finding['message']}"
              for finding in findings]  # fmt: skip
    return lines


def made_up(folder: pathlib.Path) -> list[str]:
    """The arguments for a change to the made-up shop."""
    document = json.loads(SHOP.read_text(encoding="utf-8"))
    changed = next(one for one in document["experiences"] if 0 < one["nt_config"]["traffic"] <= 0.5)
    changed["nt_config"]["traffic"] *= 2
    (folder / "next.json").write_text(json.dumps(document), encoding="utf-8")
    made = whichvariant(
        "generate", "--config", SHOP, "--count", 5_000, "-o", folder / "profiles.ndjson"
    )
    if made.returncode:
        sys.exit(made.returncode)
    words = ["--config", folder / "next.json", "--against", SHOP]
    words += ["--profiles", folder / "profiles.ndjson", "--fail-if", "moved>50%"]
    return [str(word) for word in words]


def main(words: list[str]) -> int:
    """0 it may be published, 1 something was found, 2 it could not be checked."""
    parser = argparse.ArgumentParser(description="Check a change to a configuration.")
    parser.add_argument("--config", required=True)
    parser.add_argument("--against", required=True)
    parser.add_argument("--profiles", required=True, nargs="+")
    parser.add_argument("--fail-if", action="append", default=[])
    parser.add_argument("--html")
    asked = parser.parse_args(words)

    linted = whichvariant("lint", "--json", asked.config)
    if linted.returncode > 1:
        return linted.returncode
    findings = json.loads(linted.stdout)["findings"]
    if any(finding["severity"] == "error" for finding in findings):
        for finding in findings:
            print(f"{finding['severity']} {finding['code']}: {finding['message']}")
        return 1

    command = ["replay", "--json", "--config", asked.config, "--against", asked.against]
    for path in asked.profiles:
        command += ["--profiles", path]
    for limit in asked.fail_if:
        command += ["--fail-if", limit]
    if asked.html:
        command += ["--html", asked.html]
    replayed = whichvariant(*command)
    if replayed.returncode > 1:
        return replayed.returncode
    text = "\n".join(summary(findings, json.loads(replayed.stdout)))
    print(text)
    page = os.environ.get("GITHUB_STEP_SUMMARY")
    if page:
        with open(page, "a", encoding="utf-8") as file:
            file.write(text + "\n")
    return replayed.returncode


if __name__ == "__main__":
    if sys.argv[1:]:
        sys.exit(main(sys.argv[1:]))
    with tempfile.TemporaryDirectory() as made:
        sys.exit(main(made_up(pathlib.Path(made))))
