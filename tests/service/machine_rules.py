"""Configurations for the machine: what is counted, what is sticky, and the engines for it."""

from __future__ import annotations

from typing import Any

from core.small import audience, document, experience
from service.model import Question, Rules
from whichvariant import Engine

Json = Any

VIEWS, HOME, HOME_OF_LATE = Question("page"), Question("page", "/"), Question("page", "/", 1)
TRACKS, BOUGHT = Question("track"), Question("track", "buy")
BOUGHT_OF_LATE, SCREENS = Question("track", "buy", 7), Question("screen", "map")


def asks(*questions: Question) -> dict[str, tuple[Question, int]]:
    return {
        f"{question.kind}-{question.name}-{question.days}-{count}".lower(): (question, count)
        for question in questions
        for count in (1, 2, 3, 5, 8, 13)
    }


RULES = [
    Rules(asks(VIEWS, BOUGHT, HOME_OF_LATE), {"e1": 1, "e2": 3}),
    Rules(asks(BOUGHT, TRACKS, BOUGHT_OF_LATE, SCREENS), {"e1": 2}),
    Rules(asks(HOME, HOME_OF_LATE, BOUGHT), {"e2": 1, "e3": 1}),
    Rules({}, {}),
]


def leaf(question: Question, count: int) -> Json:
    made = {"type": question.kind, "operator": "greaterThanInclusive", "count": count}
    if question.kind == "page":
        condition = {"key": {"id": "context_page_path"}, "operator": "equal"}
        made["conditions"] = [{**condition, "value": question.name or "*"}]
    else:
        made["value"] = question.name or "*"
    return made if question.days is None else {**made, "within": {"days": question.days}}


def engine(rules: Rules) -> Engine:
    device = {"key": {"id": "type"}, "operator": "equal"}
    leaves = {name: leaf(*asked) for name, asked in rules.audiences.items()} | {
        f"on-{kind}": {"type": "device", "conditions": [{**device, "value": kind}]}
        for kind in ("mobile", "desktop")
    }
    leaves["in-germany"] = {
        "type": "location", "key": "countryCode", "operator": "equal", "value": "DE",
    }  # fmt: skip
    leaves["returning"] = {"type": "isReturningVisitor", "operator": "equal", "value": True}
    return Engine.from_dict(
        document(
            [
                experience(
                    name,
                    sticky=True,
                    distribution=[1 / (highest + 1)] * (highest + 1),
                    components=[
                        {
                            "baseline": {"id": "0"},
                            "variants": [{"id": str(index)} for index in range(1, highest + 1)],
                        }
                    ],
                )
                for name, highest in rules.sticky.items()
            ],
            [audience(name, {"any": [{"all": [one]}]}) for name, one in leaves.items()],
        )
    )


ENGINES = [engine(rules) for rules in RULES]
