"""What the tests of the vendor's SDKs share."""

from __future__ import annotations

import pytest
from tests.sdk.npm import Installed, installed


@pytest.fixture(scope="session")
def packages() -> Installed:
    """The SDKs, installed if need be."""
    return installed()
