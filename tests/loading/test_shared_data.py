"""Real spaces, read in place: they load without an error, from every source alike."""

from __future__ import annotations

import pathlib

import pytest

from loading.builders import ids
from whichvariant.contracts import AllOf, AnyOf, Counter, CounterTest, EntryReplacement, Test
from whichvariant.loading import Document, Loaded, load_documents, read_document, to_native
from whichvariant.loading.documents import check_document

pytestmark = pytest.mark.shared_data


@pytest.fixture(scope="module")
def optimization_space(shared_data: pathlib.Path) -> Document:
    return read_document(shared_data / "optimization-space.json")


@pytest.fixture(scope="module")
def marketing_space(shared_data: pathlib.Path) -> Document:
    return read_document(shared_data / "marketing-space.json")


@pytest.fixture(scope="module")
def optimization_entries(shared_data: pathlib.Path) -> list[Document]:
    paths = sorted((shared_data / "optimization-entries").glob("*.json"))
    assert paths
    return [read_document(path) for path in paths]


def counts(loaded: Loaded) -> tuple[int, int, int]:
    configuration = loaded.configuration
    return (
        len(configuration.audiences),
        len(configuration.experiences),
        len(configuration.merge_tags),
    )


def test_the_optimization_space(optimization_space: Document) -> None:
    loaded = load_documents([optimization_space])
    assert counts(loaded) == (15, 17, 1)
    assert {finding.code for finding in loaded.findings} == {"unused-audience"}


def test_the_marketing_space(marketing_space: Document) -> None:
    loaded = load_documents([marketing_space])
    assert counts(loaded) == (11, 15, 7)
    assert loaded.findings == ()
    sticky = [one.id for one in loaded.configuration.experiences if one.sticky]
    assert sticky == ["6df0DI1BG9GTb9qIcjfkmh"]
    empty = [
        component
        for one in loaded.configuration.experiences
        for component in one.components
        if isinstance(component, EntryReplacement) and "" in component.variants
    ]
    assert empty == [EntryReplacement("4LIbcbuqUx6wtfJIvHnyON", ("",))]


def test_the_entries_say_what_the_space_says(
    optimization_space: Document, optimization_entries: list[Document]
) -> None:
    whole = load_documents([optimization_space])
    parts = load_documents(optimization_entries)
    assert parts.configuration == whole.configuration
    assert parts.configuration.digest == whole.configuration.digest


def test_everything_together_in_any_order(
    optimization_space: Document, marketing_space: Document, optimization_entries: list[Document]
) -> None:
    sources = [optimization_space, marketing_space, *optimization_entries]
    loaded = load_documents(sources)
    assert counts(loaded) == (26, 32, 8)
    assert {finding.severity for finding in loaded.findings} == {"warning"}
    turned = load_documents(sources[::-1])
    assert turned.configuration == loaded.configuration
    again = load_documents([check_document(to_native(loaded.configuration), "native")])
    assert again.configuration == loaded.configuration
    assert again.configuration.digest == loaded.configuration.digest


def test_audiences_as_the_editor_writes_them(
    optimization_space: Document, marketing_space: Document
) -> None:
    loaded = load_documents([optimization_space, marketing_space])
    rules = {audience.id: audience.rule for audience in loaded.configuration.audiences}
    returning = Test(("session", "isReturningVisitor"), "equal", "true")
    assert rules["46fHDG7vjxwTbYee5JNVOQ"] == AnyOf(
        (AllOf((AllOf((returning, Test(("session", "count"), "greaterThan", 1.0))),)),)
    )
    assert rules["3MRuZPQ5EdwDqzUDRgOo7c"] == AnyOf(
        (AllOf((Test(("device", "type"), "equal", "mobile"),)),)
    )
    custom = Counter("track", "custom", (), None)
    assert rules["56gfPS3OIl77DbH5PZigtr"] == AnyOf(
        (AllOf((CounterTest(custom, "greaterThanInclusive", 1.0),)),)
    )
    assert rules["1mLOjh6K55nVpsuQ9y70Ou"] == AnyOf(
        (
            AllOf(
                (
                    Test(("traits", "last_email_opened_subject_line"), "exists", None),
                    Test(("traits", "most_frequent_product_feature_viewed"), "exists", None),
                )
            ),
        )
    )
    assert "64ducOq8OgG6N0zK3SuRnq" in ids(loaded.configuration.audiences)


def test_a_third_of_three(marketing_space: Document, optimization_space: Document) -> None:
    loaded = load_documents([marketing_space, optimization_space])
    thirds = [one for one in loaded.configuration.experiences if len(one.distribution) == 3]
    assert thirds
    for one in thirds:
        assert [part.end for part in one.distribution] == [
            0.3333333333333333,
            0.6666666666666666,
            1.0,
        ]
