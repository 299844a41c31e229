"""The benchmarks are no part of the installed package: make them importable from the repository."""

from __future__ import annotations

import pathlib
import sys

ROOT = str(pathlib.Path(__file__).parents[2])
if ROOT not in sys.path:
    sys.path.append(ROOT)
