"""The frozen types that a configuration is made of, in the vendor's vocabulary.

Nothing here reads a source format (that is ``loading``) or evaluates anything (that is ``_core``).
"""

from whichvariant.contracts.configuration import (
    Audience,
    Component,
    Configuration,
    EntryReplacement,
    Experience,
    InlineVariable,
    JsonValue,
    MergeTag,
    Scheme,
    Segment,
)
from whichvariant.contracts.finding import Finding, Severity
from whichvariant.contracts.rules import (
    AllOf,
    AnyOf,
    Counter,
    CounterTest,
    Not,
    Operand,
    Operator,
    Path,
    Rule,
    Test,
)

__all__ = [
    "AllOf",
    "AnyOf",
    "Audience",
    "Component",
    "Configuration",
    "Counter",
    "CounterTest",
    "EntryReplacement",
    "Experience",
    "Finding",
    "InlineVariable",
    "JsonValue",
    "MergeTag",
    "Not",
    "Operand",
    "Operator",
    "Path",
    "Rule",
    "Scheme",
    "Segment",
    "Severity",
    "Test",
]
