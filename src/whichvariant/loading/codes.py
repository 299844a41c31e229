"""The one table of finding codes; docs/configuration.md repeats it under "Findings".

A code is stable: tools match on it, so it is never renamed or reused for something else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from whichvariant.contracts import Severity


@dataclass(frozen=True, slots=True)
class FindingCode:
    """What a code means.

    ``whole`` marks errors that concern the configuration as a whole: there is no single audience or
    experience to withhold, so they refuse the configuration even when loading is not strict.
    """

    severity: Severity
    meaning: str
    whole: bool = False


def _error(meaning: str) -> FindingCode:
    return FindingCode("error", meaning)


def _whole(meaning: str) -> FindingCode:
    return FindingCode("error", meaning, whole=True)


def _warning(meaning: str) -> FindingCode:
    return FindingCode("warning", meaning)


FINDING_CODES: Final[dict[str, FindingCode]] = {
    # The configuration as a whole.
    "malformed-document": _whole("a list or object that holds the entries has another type"),
    "scheme-conflict": _whole("documents name different bucketing schemes"),
    "too-many-audiences": _whole("more audiences than one configuration may have"),
    "too-many-experiences": _whole("more experiences than one configuration may have"),
    "unknown-scheme": _whole("the scheme is neither `murmur3` nor `xxh64`"),
    # Any entry.
    "invalid-id": _error("an id is empty or longer than 1,024 UTF-16 code units"),
    "missing-id": _error("an entry has no id, and nothing stands in for it"),
    "wrong-type": _error("a value has another JSON type than its field takes"),
    "duplicate-audience": _error("two audiences have one id and different content"),
    "duplicate-experience": _error("two experiences have one id and different content"),
    "duplicate-mergetag": _error("two merge tags have one id and different content"),
    # Rules.
    "ambiguous-group": _error("a node has more than one of `any`, `all`, `not`, `type`"),
    "unknown-group": _error("a node has none of `any`, `all`, `not`, `type`"),
    "too-deep": _error("groups nest deeper than 64"),
    "too-many-leaves": _error("an audience has more than 10,000 leaves, conditions included"),
    "missing-rules": _error("an audience has no `nt_rules`"),
    "unknown-rule-type": _error("a leaf's `type` is not in the vocabulary"),
    "missing-operator": _error("a leaf or condition has no operator"),
    "unknown-operator": _error("an operator is not in the vocabulary"),
    "unsupported-operator": _error("the operator exists, but not for this rule type"),
    "missing-key": _error("a leaf, condition or inline variable has no key or name"),
    "malformed-key": _error("a dotted key has an empty segment, or more than 63 segments"),
    "unknown-location-key": _error("a `location` leaf reads a field that locations do not have"),
    "unknown-session-key": _error("a `session` leaf reads a field that sessions do not have"),
    "unknown-condition": _error("a condition's `key.id` is not in the vocabulary of its leaf"),
    "missing-value": _error("a comparison, or a `track` leaf, has no value"),
    "invalid-value": _error("an `isReturningVisitor` leaf's value is neither true nor false"),
    "invalid-regex": _error("the pattern of `matches` does not compile as RE2"),
    "not-a-list": _error("`in` or `notIn` without a list"),
    "not-a-number": _error("an ordering operator's value is neither number nor numeric text"),
    "invalid-count": _error("`count` is not a whole number of events"),
    "invalid-within": _error('`within` is not `{"days": N}` with 0 < N <= 1,000,000'),
    # Experiences.
    "dangling-audience": _error("an experience's audience is in none of the documents"),
    "audience-withheld": _error("an experience's audience has errors itself"),
    "unknown-experience-type": _error("`nt_type` is neither experiment nor personalization"),
    "out-of-range": _error("traffic, a share or a segment outside [0, 1], or an index below 0"),
    "reversed-segment": _error("a segment starts after its end"),
    "too-many-variants": _error("a variant index is higher than 255"),
    "too-many-components": _error("an experience has more than 1,000 components"),
    "too-many-segments": _error("a distribution has more than 512 segments"),
    "too-many-replacements": _error(
        "components times variants (the baseline included) exceed 65,536"
    ),
    "unknown-component-type": _error("a component's `type` is not in the vocabulary"),
    "missing-baseline": _error("a component has no baseline, or its baseline no id or value"),
    "missing-variants": _error("a component has no list of variants"),
    "missing-variant-id": _error("a variant has no id and is not hidden"),
    "unknown-value-type": _error("`valueType` is not String, Number, Boolean or Object"),
    "value-type-mismatch": _error("a value contradicts its `valueType`"),
    # Warnings: evaluation has a defined fallback.
    "duplicate-baseline": _warning("two components replace one entry; the first counts"),
    "empty-group": _warning("an empty `any` matches nobody, an empty `all` everybody"),
    "empty-list": _warning("`in` an empty list is never true, `notIn` always"),
    "empty-value": _warning("every present attribute contains, starts and ends with empty text"),
    "entry-id-used": _warning("an entry has no id of its own; its `sys.id` is used"),
    "hidden-variant-id": _warning("a hidden variant has an id; it is served as the empty variant"),
    "missing-config": _warning("an experience has no `nt_config`: no traffic, no components"),
    "missing-type": _warning("an experience has no `nt_type`"),
    "missing-value-type": _warning("an inline variable has no `valueType`; values go unchecked"),
    "more-shares-than-variants": _warning("variants beyond the last show the baseline"),
    "older-revision": _warning("an older revision of an entry was passed over for a newer one"),
    "segment-gap": _warning("segments leave part of [0, 1] uncovered, which goes to index 0"),
    "shares-sum": _warning("shares do not sum to about 1"),
    "unpublished-changes": _warning("an export holds changes that are not published yet"),
    "unused-audience": _warning("no experience refers to the audience"),
    "zero-count": _warning("`count` is 0, so that no event is needed"),
    "zero-traffic": _warning("traffic is 0, so that nobody is in"),
}
