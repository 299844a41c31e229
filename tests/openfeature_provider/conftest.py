"""The OpenFeature API, given back as it was."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from openfeature import api
from openfeature.evaluation_context import EvaluationContext, set_evaluation_context


@pytest.fixture(autouse=True)
def clean_api() -> Iterator[None]:
    """Every test has the API to itself."""
    yield
    api.shutdown()
    api.clear_providers()
    api.clear_hooks()
    set_evaluation_context(EvaluationContext())
