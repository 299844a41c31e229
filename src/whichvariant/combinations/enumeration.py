"""Everything that a page can look like: patterns of audiences, times draws."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction
from typing import TYPE_CHECKING, Any, overload

from whichvariant.combinations.outcomes import Outcome, Outcomes
from whichvariant.combinations.page import Page
from whichvariant.combinations.patterns import Example, Pattern, find_patterns
from whichvariant.combinations.sample import given_shares, sampled_shares
from whichvariant.compiler.templates import experience_changes, experience_record
from whichvariant.contracts import JsonValue
from whichvariant.errors import TooManyCombinations

if TYPE_CHECKING:
    from whichvariant.engine import Engine


@dataclass(frozen=True, slots=True)
class Combination:
    """One way in which a page can look.

    Attributes
    ----------
    key : str
        What `Engine.combination_key` gives for every selection that looks like this.
    share : Fraction or None
        The expected part of visitors, None where nothing is known about audiences.
    given : tuple of (int, Fraction)
        For each pattern of audiences, by its number, that can lead here: the exact probability that
        it does. 0 is what only a stored choice of a sticky experience can bring about.
    entries : dict
        For every entry of the page the id of the entry that is shown; "" is the empty variant.
    variables : dict
        The value of every variable of the page that some experience sets.
    experiences, changes : list
        A selection, in the API's shape, that looks like this. At the level ``experiences`` it is
        the only one, as far as the page's experiences go.
    """

    key: str
    share: Fraction | None
    given: tuple[tuple[int, Fraction], ...]
    entries: dict[str, str]
    variables: dict[str, JsonValue]
    experiences: list[dict[str, Any]] = field(repr=False)
    changes: list[dict[str, Any]] = field(repr=False)

    @property
    def likeliest(self) -> Fraction:
        """The highest probability under any pattern."""
        return max(probability for _, probability in self.given)

    def to_dict(self) -> dict[str, Any]:
        """As JSON; shares are rounded to doubles."""
        return {
            "key": self.key,
            "share": None if self.share is None else float(self.share),
            "given": [
                {"pattern": number, "probability": float(probability)}
                for number, probability in self.given
            ],
            "entries": self.entries,
            "variables": self.variables,
            "experiences": self.experiences,
            "changes": self.changes,
        }


class Combinations(Sequence[Combination]):
    """All combinations of a page, the most frequent first.

    Attributes
    ----------
    page : Page
    patterns : tuple of Pattern
        Which audiences match together. Those that are not ``proven`` may not exist
        (docs/combinations.md).
    sample_size : int or None
        How many profiles the shares are from.
    omitted, omitted_share
        How many combinations ``at_least`` left out, and their share (None where unknown).
    """

    def __init__(
        self,
        page: Page,
        patterns: Sequence[Pattern],
        combinations: Sequence[Combination],
        *,
        sample_size: int | None,
        omitted: int,
        omitted_share: Fraction | None,
    ) -> None:
        self.page = page
        self.patterns = tuple(patterns)
        self.sample_size = sample_size
        self.omitted = omitted
        self.omitted_share = omitted_share
        self._combinations = tuple(combinations)

    @overload
    def __getitem__(self, index: int) -> Combination: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Combination, ...]: ...
    def __getitem__(self, index: int | slice) -> Combination | tuple[Combination, ...]:
        return self._combinations[index]

    def __len__(self) -> int:
        return len(self._combinations)

    def __iter__(self) -> Iterator[Combination]:
        return iter(self._combinations)

    def __repr__(self) -> str:
        return (
            f"<Combinations: {len(self)} of {len(self.page.entries)} entries and "
            f"{len(self.page.variables)} variables, {len(self.patterns)} patterns of audiences>"
        )

    def to_dict(self) -> dict[str, Any]:
        """As JSON; shares are rounded to doubles."""
        return {
            "digest": self.page.configuration.digest,
            "level": self.page.level,
            "sampleSize": self.sample_size,
            "omitted": {
                "combinations": self.omitted,
                "share": None if self.omitted_share is None else float(self.omitted_share),
            },
            "patterns": [
                {
                    "audiences": list(pattern.audiences),
                    "share": None if pattern.share is None else float(pattern.share),
                    "proven": pattern.proven,
                }
                for pattern in self.patterns
            ],
            "combinations": [one.to_dict() for one in self],
        }


def enumerate_page(
    engine: Engine,
    page: Page,
    *,
    profiles: Any = None,
    audience_shares: Mapping[Any, Any] | None = None,
    at_least: float = 0,
    limit: int = 10_000,
    now: int | datetime | str | None = None,
) -> Combinations:
    """`Engine.combinations`, which has the description."""
    if profiles is not None and audience_shares is not None:
        raise ValueError("either profiles or audience_shares, not both")
    outcomes = Outcomes(page)
    configuration = page.configuration
    numbers = {audience.id: n for n, audience in enumerate(configuration.audiences)}
    asked = {
        number: configuration.experiences[number].audience for number in sorted(outcomes.drawn)
    }
    audiences = sorted({numbers[audience] for audience in asked.values() if audience is not None})
    found = find_patterns(engine, configuration, audiences, limit)
    shares: dict[frozenset[int], Fraction] | None = None
    sample_size = None
    if profiles is not None:
        shares, sample_size = sampled_shares(engine, audiences, profiles, now)
    elif audience_shares is not None:
        shares = given_shares(
            audience_shares, {configuration.audiences[n].id: n for n in audiences}
        )
    for pattern in shares or ():
        if pattern not in found:
            names = [configuration.audiences[number].id for number in sorted(pattern)]
            if sample_size is not None:
                raise AssertionError(f"a visitor has the audiences {names}: this is a bug")
            raise ValueError(f"audience_shares: no visitor has the audiences {names} alone")
    patterns: list[Pattern] = []
    reached: dict[tuple[int, ...], _Ways] = {}
    for matching in sorted(found, key=sorted):
        proven, example = found[matching]
        share = None if shares is None else shares.get(matching, Fraction(0))
        eligible = frozenset(
            number
            for number, audience in asked.items()
            if audience is None or numbers[audience] in matching
        )
        for codes, outcome in outcomes.of(eligible).items():
            reached.setdefault(codes, _Ways()).add(len(patterns), outcome, share)
        if not at_least:
            _check(len(reached), limit)
        patterns.append(
            Pattern(
                tuple(configuration.audiences[number].id for number in sorted(matching)),
                share,
                proven or bool(share and sample_size),
                example,
            )
        )
    kept = {codes: ways for codes, ways in reached.items() if ways.frequency >= at_least}
    _check(len(kept), limit)
    combinations = [_combination(page, codes, ways) for codes, ways in kept.items()]
    if len({one.key for one in combinations}) < len(combinations):
        raise AssertionError("two combinations have one key")  # 1 in 2^72 for each pair
    combinations.sort(key=lambda one: (-(one.share or 0), -one.likeliest, one.key))
    return Combinations(
        page,
        patterns,
        combinations,
        sample_size=sample_size,
        omitted=len(reached) - len(kept),
        omitted_share=None
        if shares is None
        else 1 - sum((one.share or Fraction(0) for one in combinations), Fraction(0)),
    )


class _Ways:
    """How visitors come to see one combination."""

    def __init__(self) -> None:
        self.given: list[tuple[int, Fraction]] = []
        self.share: Fraction | None = None
        self.best: Outcome | None = None

    def add(self, pattern: int, outcome: Outcome, share: Fraction | None) -> None:
        """Under one more pattern of audiences, which ``share`` of the visitors have."""
        self.given.append((pattern, outcome.probability))
        if share is not None:
            self.share = (self.share or Fraction(0)) + share * outcome.probability
        if self.best is None or outcome.probability > self.best.probability:
            self.best = outcome

    @property
    def frequency(self) -> Fraction:
        if self.share is not None:
            return self.share
        return Fraction(0) if self.best is None else self.best.probability


def _check(n: int, limit: int) -> None:
    if n > limit:
        raise TooManyCombinations(
            f"more than {limit:,} combinations: fewer entries, a higher limit, or only those with"
            " at least some share"
        )


def _combination(page: Page, codes: Sequence[int], ways: _Ways) -> Combination:
    chosen = () if ways.best is None else ways.best.selected
    entries, variables = page.shown(dict(chosen))
    selected = [(page.configuration.experiences[number], index) for number, index in chosen]
    return Combination(
        page.key_of_codes(codes),
        ways.share,
        tuple(ways.given),
        entries,
        variables,
        [experience_record(experience, index) for experience, index in selected],
        [
            change
            for experience, index in selected
            for change in experience_changes(experience, index)
        ],
    )


__all__ = ["Combination", "Combinations", "Example", "enumerate_page"]
