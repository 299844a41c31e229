# %% [markdown]
# # What would this change do? A replay with plots
#
# A notebook-style script: run it as it stands, or open it where an editor knows `# %%`. It needs
# `pip install 'whichvariant[replay]' matplotlib`; the pictures go to the folder that is its
# argument, by default `build/replay_plots`.

# %% The configuration that serves, one that changes it, and visitors
from __future__ import annotations

import copy
import json
import pathlib
import subprocess
import sys

import matplotlib as mpl

from whichvariant import Engine
from whichvariant.replay import replay

mpl.use("Agg")
import matplotlib.pyplot as plt

SHOP = pathlib.Path(__file__).parents[1] / "fixtures" / "storefront" / "native.json"
FOLDER = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "build/replay_plots")
VISITORS = 20_000


def main() -> None:
    """All cells, in a function, since worker processes import this file."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    live = json.loads(SHOP.read_text(encoding="utf-8"))
    changed = copy.deepcopy(live)
    by_name = {one["nt_name"]: one["nt_config"] for one in changed["experiences"]}
    by_name["Checkout: words on the button"]["distribution"] = [0.2, 0.4, 0.4]
    by_name["Which recommender"]["traffic"] = 0.6

    profiles = FOLDER / "profiles.parquet"
    command = [sys.executable, "-m", "whichvariant", "generate", "--config", str(SHOP)]
    command += ["--count", str(VISITORS), "-o", str(profiles)]
    subprocess.run(command, check=True)

    # %% Every visitor through both, exactly
    report = replay(Engine.from_dict(live), Engine.from_dict(changed), profiles)
    found = report.to_dict()
    print(f"{report.moved:,} of {report.counted:,} visitors move; digest {report.digest}")

    # %% Who moves where: one picture for each experience with movers
    moved = [one for one in found["experiences"] if one["moved"]]
    figure, axes = plt.subplots(
        1, len(moved), figsize=(6.5 * len(moved), 5), squeeze=False, layout="constrained"
    )
    for axis, one in zip(axes[0], moved, strict=True):
        table = one["transitions"]
        axis.imshow(table["counts"], cmap="Blues")
        axis.set_title(f"{one['name']}\n{one['moved']:,} move")
        for values, along, words in (
            (table["new"], axis.xaxis, "after"),
            (table["old"], axis.yaxis, "before"),
        ):
            along.set_ticks(range(len(values)), [named(index) for index in values])
            along.set_label_text(words)
        highest = max(max(row) for row in table["counts"])
        for row, counts in enumerate(table["counts"]):
            for column, count in enumerate(counts):
                colour = "white" if count > highest / 2 else "black"
                axis.text(column, row, f"{count:,}", ha="center", va="center", color=colour)
    figure.savefig(FOLDER / "transitions.png", dpi=120)

    # %% Is the split what was configured? Observed against expected, for whoever was drawn
    figure, axis = plt.subplots(figsize=(8, 5), layout="constrained")
    names = []
    for place, one in enumerate(moved):
        ratio = one["sampleRatio"]["new"]
        names.append(f"{one['name']}\np = {ratio['pValue']:.3f}")
        for index, (observed, expected) in enumerate(
            zip(ratio["observed"], ratio["expected"], strict=True)
        ):
            at = place + 0.2 * (index - (len(ratio["observed"]) - 1) / 2)
            axis.bar(at, observed, 0.18, color=f"C{index}")
            axis.plot([at - 0.09, at + 0.09], [expected, expected], color="black", linewidth=2)
    axis.set_xticks(range(len(names)), names)
    axis.set_ylabel("visitors")
    axis.set_title("Visitors by variant; the black line is what the configuration says")
    figure.savefig(FOLDER / "split.png", dpi=120)

    # %% Why they move
    causes = {
        cause: sum(one["causes"][cause] for one in moved)
        for cause in moved[0]["causes"]
        if any(one["causes"][cause] for one in moved)
    }
    figure, axis = plt.subplots(figsize=(8, 1 + 0.6 * len(causes)), layout="constrained")
    axis.barh(list(causes), list(causes.values()))
    axis.set_xlabel("moves")
    figure.savefig(FOLDER / "causes.png", dpi=120)
    for cause, count in causes.items():
        print(f"{count:,} moves by {cause}")


def named(index: int | None) -> str:
    """A variant index as a label."""
    return "absent" if index is None else "baseline" if index == 0 else f"variant {index}"


if __name__ == "__main__":
    main()
