"""Fixtures shared by all tests."""

from __future__ import annotations

import os
import pathlib

import pytest

REPOSITORY = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="session")
def shared_data() -> pathlib.Path:
    """The third-party data beside the project, read in place; a continuous build must have it."""
    folder = REPOSITORY.parent / "shared" / "data"
    if not folder.is_dir():
        reason = "the third-party data (../shared/data) is not there"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return folder
