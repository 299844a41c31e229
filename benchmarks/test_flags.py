"""One flag of one visitor through OpenFeature: this project's provider beside published ones.

Each flag is an experience of the workload, asked for its variant's index, and every call is for
another visitor. Before anything is timed, the provider has to say what the engine selects, and the
others have to include and exclude the same visitors, since their rules are the same; which variant
they get differs, as everybody hashes in their own way.
"""

from __future__ import annotations

import functools
import pathlib
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

from benchmarks import flag_rows, report
from benchmarks.conftest import CLOCK, cached_workload
from benchmarks.workloads import Workload

whichvariant = pytest.importorskip("whichvariant")
pytest.importorskip("openfeature")
for package in (
    "configcat_openfeature_provider",
    "growthbook_openfeature_provider",
    "ld_openfeature",
    "openfeature.contrib.provider.flagd",
    "openfeature.contrib.provider.unleash",
):
    pytest.importorskip(package)

from openfeature import api  # noqa: E402
from openfeature.contrib.provider.envvar import EnvVarProvider  # noqa: E402
from openfeature.evaluation_context import EvaluationContext  # noqa: E402
from openfeature.provider.in_memory_provider import (  # noqa: E402
    InMemoryFlag,
    InMemoryProvider,
)

from benchmarks import flag_providers  # noqa: E402
from whichvariant.openfeature import WhichVariantProvider  # noqa: E402

pytestmark = pytest.mark.benchmark(timer=CLOCK)

ABSENT = -1


class Race(NamedTuple):
    """One row: what is called with what, for one visitor after the other."""

    call: Callable[[Any], Any]
    visitors: list[Any]


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
def races(name: Any) -> dict[str, Race]:
    """The rows of one workload, checked against each other."""
    subject = cached_workload(name)
    document, profiles = subject.document, subject.profiles
    engine = whichvariant.Engine.from_dict(document)
    key = chosen_flag(subject, engine)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="whichvariant-bench-"))
    served = flag_providers.Served()
    ours = WhichVariantProvider(engine)
    published = {
        flag_rows.CONFIGCAT: flag_providers.configcat(document, served, key),
        flag_rows.FLAGD: flag_providers.flagd(document, folder),
        flag_rows.LAUNCHDARKLY: flag_providers.launchdarkly(document, folder),
        flag_rows.GROWTHBOOK: flag_providers.growthbook(document, served),
        flag_rows.UNLEASH: flag_providers.unleash(document, served),
    }
    assert set(published) == set(flag_rows.PUBLISHED)
    api.set_provider_and_wait(ours, domain=f"ours {name}")
    api.set_provider_and_wait(published[flag_rows.FLAGD].provider, domain=f"flagd {name}")
    our_client, flagd_client = api.get_client(f"ours {name}"), api.get_client(f"flagd {name}")
    nested = [flag_providers.nested(profile) for profile in profiles]

    def of_client(client: Any) -> Callable[[EvaluationContext], Any]:
        return lambda context: client.get_integer_value(key, ABSENT, context)

    found = {
        flag_rows.SELECT: Race(engine.select, profiles),
        flag_rows.PROVIDER: Race(resolving(ours, key), nested),
        flag_rows.MEMORY: Race(
            resolving(InMemoryProvider({key: InMemoryFlag("on", {"on": 1})}), key), nested
        ),
        flag_rows.VARIABLE: Race(resolving(EnvVarProvider(), "WHICHVARIANT_FLAG"), nested),
        flag_rows.CLIENT: Race(of_client(our_client), nested),
        flag_rows.FLAGD_CLIENT: Race(of_client(flagd_client), nested),
    }
    for row, contestant in published.items():
        contexts = [contestant.context(profile) for profile in profiles]
        found[row] = Race(resolving(contestant.provider, key), contexts)
    check(engine, key, profiles, found)
    return found


def resolving(provider: Any, key: str) -> Callable[[EvaluationContext], Any]:
    """A provider's own method, without the SDK's client around it."""
    return lambda context: provider.resolve_integer_details(key, ABSENT, context)


def check(engine: Any, key: str, profiles: list[Any], found: dict[str, Race]) -> None:
    """Everybody includes whom the engine includes, and nobody answers with an error."""
    included = 0
    for number, profile in enumerate(profiles):
        selected = {
            one["experienceId"]: one["variantIndex"] for one in engine.select(profile).experiences
        }
        included += key in selected
        for row in (flag_rows.PROVIDER, *flag_rows.PUBLISHED):
            answer = found[row].call(found[row].visitors[number])
            assert answer.error_code is None, (row, answer)
            assert (answer.value >= 0) == (key in selected), row
            if row == flag_rows.PROVIDER:
                assert answer.value == selected.get(key, ABSENT)
                ours = found[flag_rows.CLIENT]
                assert ours.call(ours.visitors[number]) == answer.value
    assert 0 < included < len(profiles)


@pytest.fixture(autouse=True)
def variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The constant that is in the environment."""
    monkeypatch.setenv("WHICHVARIANT_FLAG", "1")


@pytest.fixture(scope="module", autouse=True)
def ended() -> Iterator[None]:
    """Providers look for news in threads of their own, which end before the interpreter does."""
    yield
    api.shutdown()
    api.clear_providers()


@pytest.mark.parametrize("row", flag_rows.ROWS)
@pytest.mark.parametrize("name", flag_rows.WORKLOADS)
@pytest.mark.parametrize("number", range(report.PASSES))
def test_flag(time_each: Callable[..., None], number: int, name: str, row: str) -> None:
    """One row of one workload in one pass."""
    race = races(name)[row]
    time_each(flag_rows.group(name), row, race.call, race.visitors)
