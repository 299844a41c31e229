"""Flags are what `Engine.select` decides, for generated configurations, profiles and events.

``WHICHVARIANT_EXAMPLES=N`` asks hypothesis for N examples.
"""

from __future__ import annotations

import os
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from oracle.strategies import Case, Visit, cases, seeded_case
from whichvariant import Engine
from whichvariant.contracts import InlineVariable
from whichvariant.errors import InputError
from whichvariant.flags import FlagSet, Visitor

EXAMPLES = int(os.environ.get("WHICHVARIANT_EXAMPLES", "100"))

thorough = settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def first_records(engine: Engine) -> list[int]:
    """The number of each experience's first record, and the number of all."""
    found = [0]
    for number in range(len(engine.program.experience_ids)):
        found.append(found[-1] + engine.program.highest_index(number) + 1)
    return found


def check_first_record(engine: Engine, visit: Visit, among: tuple[int, ...]) -> None:
    keywords: dict[str, Any] = {
        "device": visit.device,
        "events": visit.events,
        "now": visit.now_ms,
    }
    try:
        selection = engine.select(visit.profile, **keywords)
    except InputError as error:
        with pytest.raises(type(error)) as caught:
            engine.first_record(visit.profile, among, **keywords)
        assert str(caught.value) == str(error)
        return
    ids = engine.program.experience_ids
    starts = first_records(engine)
    chosen = {one["experienceId"]: one["variantIndex"] for one in selection.experiences}
    expected = [starts[one] + chosen[ids[one]] for one in among if ids[one] in chosen]
    found = engine.first_record(visit.profile, among, **keywords)
    assert found == (expected[0] if expected else -1)


@given(case=cases(), data=st.data())
@thorough
def test_the_first_record_of_any_experiences(case: Case, data: st.DataObject) -> None:
    engine = Engine.from_dict(case.document)
    numbers = range(len(engine.program.experience_ids))
    for visit in case.visits:
        some = data.draw(st.sets(st.sampled_from(numbers)) if numbers else st.just(set[int]()))
        check_first_record(engine, visit, tuple(sorted(some)))


@pytest.mark.parametrize("scheme", ["murmur3", "xxh64"])
def test_the_first_record_of_every_experience(scheme: str) -> None:
    for seed in range(60):
        case = seeded_case(seed)
        engine = Engine.from_dict({**case.document, "scheme": scheme})
        numbers = range(len(engine.program.experience_ids))
        for visit in case.visits:
            for number in numbers:
                check_first_record(engine, visit, (number,))
            check_first_record(engine, visit, tuple(numbers))
            check_first_record(engine, visit, ())


@given(case=cases())
@thorough
def test_flags_are_the_first_changes(case: Case) -> None:
    engine = Engine.from_dict(case.document)
    flags = FlagSet(engine)
    variables = {
        component.key
        for experience in engine.configuration.experiences
        for component in experience.components
        if isinstance(component, InlineVariable)
    }
    assert variables | {*engine.program.experience_ids} == {*flags.keys()}
    for visit in case.visits:
        # Without the moment: `Visitor` has none, and the clock is later than all events.
        visitor = Visitor(visit.profile, visit.device, None)
        try:
            selection = engine.select(visit.profile, device=visit.device)
        except InputError:
            with pytest.raises(InputError):
                list(flags.choose_all(visitor))
            continue
        expected: dict[str, Any] = {}
        for change in selection.changes:
            expected.setdefault(change["key"], (change["value"], change["meta"]["variantIndex"]))
        for record in selection.experiences:
            index = record["variantIndex"]
            name = f"variant-{index}" if index else "baseline"
            expected.setdefault(record["experienceId"], (name, index))
        together = list(flags.choose_all(visitor))
        assert [flag.key for flag, _ in together] == flags.keys()
        for flag, choice in together:
            assert choice is flags.choose(flag, visitor)
            if flag.key in expected:
                value, index = expected[flag.key]
                assert choice.value == value
                assert choice.metadata["variantIndex"] == index
            else:
                assert choice.value is None
                assert choice.reason in {"DEFAULT", "DISABLED"}


def test_numbers_are_checked() -> None:
    engine = Engine.from_dict(seeded_case(1).document)
    count = len(engine.program.experience_ids)
    assert count > 1
    for among in ((-1,), (count,), (1, 0), (0, 0), (2**40,)):
        with pytest.raises(ValueError, match="ascending"):
            engine.first_record({"stableId": "x"}, among)
    with pytest.raises((TypeError, OverflowError)):
        engine.first_record({"stableId": "x"}, ("0",))  # type: ignore[arg-type]
    # Nothing of a refused call is left behind.
    assert engine.first_record({"stableId": "x"}, ()) == -1
