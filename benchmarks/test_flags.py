"""One flag of one visitor through OpenFeature: this project's provider beside published ones.

Each flag is an experience of the workload, asked for its variant's index, and every call is for
another visitor. Before anything is timed, the provider has to say what the engine selects, and
flagd has to include and exclude the same visitors, since its rules are the same; which variant they
get differs, as everybody hashes in their own way.
"""

from __future__ import annotations

import functools
import json
import pathlib
import tempfile
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from benchmarks import flag_rows, report
from benchmarks.conftest import CLOCK, cached_workload
from benchmarks.peers.flagd_flags import flags_of
from benchmarks.workloads import Workload

whichvariant = pytest.importorskip("whichvariant")
pytest.importorskip("openfeature")
pytest.importorskip("openfeature.contrib.provider.flagd")

from openfeature import api  # noqa: E402
from openfeature.contrib.provider.envvar import EnvVarProvider  # noqa: E402
from openfeature.contrib.provider.flagd import FlagdProvider  # noqa: E402
from openfeature.contrib.provider.flagd.config import ResolverType  # noqa: E402
from openfeature.evaluation_context import EvaluationContext  # noqa: E402
from openfeature.provider.in_memory_provider import (  # noqa: E402
    InMemoryFlag,
    InMemoryProvider,
)

from whichvariant.openfeature import WhichVariantProvider  # noqa: E402

pytestmark = pytest.mark.benchmark(timer=CLOCK)

ABSENT = -1


def context_of(profile: dict[str, Any]) -> EvaluationContext:
    """A profile as the context that says the same."""
    parts = {part: profile[part] for part in ("traits", "location", "session") if part in profile}
    return EvaluationContext(profile["stableId"], parts)


def chosen_flag(subject: Workload, engine: Any) -> str:
    """The experience with an audience, and all of it in, that most nearly half the visitors get."""
    able = {
        one["nt_experience_id"]
        for one in subject.document["experiences"]
        if one.get("nt_audience") and one["nt_config"].get("traffic") == 1
    }
    included = Counter(
        one["experienceId"]
        for profile in subject.profiles
        for one in engine.select(profile).experiences
        if one["experienceId"] in able
    )
    half = len(subject.profiles) / 2
    return min(included, key=lambda key: (abs(included[key] - half), key))


@functools.cache
def contestants(name: Any) -> dict[str, Callable[[Any], Any]]:
    """The rows of one workload, checked against each other."""
    subject = cached_workload(name)
    engine = whichvariant.Engine.from_dict(subject.document)
    key = chosen_flag(subject, engine)
    ours = WhichVariantProvider(engine)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="whichvariant-bench-"))
    source = folder / "flags.json"
    source.write_text(json.dumps({"flags": flags_of(subject.document)}))
    flagd = FlagdProvider(
        resolver_type=ResolverType.FILE, offline_flag_source_path=str(source), deadline_ms=60_000
    )
    api.set_provider_and_wait(ours, domain=f"ours {name}")
    api.set_provider_and_wait(flagd, domain=f"flagd {name}")
    our_client, flagd_client = api.get_client(f"ours {name}"), api.get_client(f"flagd {name}")
    memory = InMemoryProvider({key: InMemoryFlag("on", {"on": 1})})
    variables = EnvVarProvider()
    included = 0
    for profile in subject.profiles:
        context = context_of(profile)
        selected = {
            one["experienceId"]: one["variantIndex"] for one in engine.select(profile).experiences
        }
        answer = ours.resolve_integer_details(key, ABSENT, context)
        assert answer.value == selected.get(key, ABSENT)
        assert our_client.get_integer_value(key, ABSENT, context) == answer.value
        theirs = flagd.resolve_integer_details(key, ABSENT, context)
        assert (theirs.value >= 0) == (key in selected)
        included += key in selected
    assert 0 < included < len(subject.profiles)
    assert memory.resolve_integer_details(key, ABSENT).value == 1
    return {
        flag_rows.SELECT: lambda visitor: engine.select(visitor[0]),
        flag_rows.PROVIDER: lambda visitor: ours.resolve_integer_details(key, ABSENT, visitor[1]),
        flag_rows.FLAGD: lambda visitor: flagd.resolve_integer_details(key, ABSENT, visitor[1]),
        flag_rows.MEMORY: lambda visitor: memory.resolve_integer_details(key, ABSENT, visitor[1]),
        flag_rows.VARIABLE: lambda visitor: variables.resolve_integer_details(
            "WHICHVARIANT_FLAG", ABSENT, visitor[1]
        ),
        flag_rows.CLIENT: lambda visitor: our_client.get_integer_value(key, ABSENT, visitor[1]),
        flag_rows.FLAGD_CLIENT: lambda visitor: flagd_client.get_integer_value(
            key, ABSENT, visitor[1]
        ),
    }


@functools.cache
def visitors(name: Any) -> list[tuple[dict[str, Any], EvaluationContext]]:
    """Every profile, and the context that says the same."""
    return [(profile, context_of(profile)) for profile in cached_workload(name).profiles]


@pytest.fixture(autouse=True)
def variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The constant that is in the environment."""
    monkeypatch.setenv("WHICHVARIANT_FLAG", "1")


@pytest.mark.parametrize("row", flag_rows.ROWS)
@pytest.mark.parametrize("name", flag_rows.WORKLOADS)
@pytest.mark.parametrize("number", range(report.PASSES))
def test_flag(time_each: Callable[..., None], number: int, name: str, row: str) -> None:
    """One row of one workload in one pass."""
    time_each(flag_rows.group(name), row, contestants(name)[row], visitors(name))
