"""The records and changes of every variant, made once (SEMANTICS section 4)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from whichvariant.contracts import EntryReplacement, Experience, InlineVariable
from whichvariant.contracts.read_only import ReadOnlyDict, freeze


def experience_record(experience: Experience, index: int) -> dict[str, Any]:
    """The entry of ``experiences`` for variant ``index``.

    Index 0, and an index that a component does not have, give the baseline; of two components with
    one baseline the first counts.
    """
    variants: dict[str, str] = {}
    for component in experience.components:
        if isinstance(component, EntryReplacement) and component.baseline not in variants:
            chosen = component.baseline
            if 1 <= index <= len(component.variants):
                chosen = component.variants[index - 1]
            variants[component.baseline] = chosen
    record: dict[str, Any] = {
        "experienceId": experience.id,
        "variantIndex": index,
        "variants": variants,
    }
    if experience.sticky:
        record["sticky"] = True
    return record


def experience_changes(experience: Experience, index: int) -> list[dict[str, Any]]:
    """The entries of ``changes`` for variant ``index``, in component order."""
    changes = []
    for component in experience.components:
        if isinstance(component, InlineVariable):
            value = component.baseline
            if 1 <= index <= len(component.variants):
                value = component.variants[index - 1]
            changes.append(
                {
                    "key": component.key,
                    "type": "Variable",
                    "value": value,
                    "meta": {"experienceId": experience.id, "variantIndex": index},
                }
            )
    return changes


def record_tables(experiences: Sequence[Experience]) -> dict[str, Any]:
    """JSON of every record and change; (experience, index) follows the experience's first."""
    records: list[bytes] = []
    changes: list[bytes] = []
    first_change = [0]
    for experience in experiences:
        for index in range(experience.highest_index + 1):
            records.append(_json(experience_record(experience, index)))
            changes.extend(_json(change) for change in experience_changes(experience, index))
            first_change.append(len(changes))
    return {
        "json": records,
        "change_json": changes,
        "first_change": np.array(first_change, "<u4").tobytes(),
    }


def shared_objects(texts: Sequence[bytes]) -> list[Any]:
    """Read-only objects from JSON fragments.

    They are made empty first and filled afterwards, so that they lie side by side in memory: an
    answer touches the head of many of them, and of nothing else that they refer to.
    """
    objects = [ReadOnlyDict() for _ in texts]
    for target, text in zip(objects, texts, strict=True):
        dict.update(target, freeze(json.loads(text)))
    return objects


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()
