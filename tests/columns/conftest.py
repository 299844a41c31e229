"""Fixtures of the tests of columns."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from whichvariant._core.hashing import set_simd_level, simd_level, supported_simd_levels


@pytest.fixture(params=supported_simd_levels())
def level(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each vector level that runs here, in use."""
    before = simd_level()
    set_simd_level(request.param)
    yield request.param
    set_simd_level(before)
