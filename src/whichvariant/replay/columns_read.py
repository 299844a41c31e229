"""Which columns of a Parquet file two configurations read; the others are never decoded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from whichvariant.contracts import AllOf, AnyOf, CounterTest, Not, Path, Rule, Test
from whichvariant.replay.plan import Plan

_ATTRIBUTES = ("traits.", "location.", "session.")


def columns_read(plan: Plan) -> Callable[[Any], list[str] | None]:
    """A function from an Arrow schema to the names of what has to be read of it.

    Nested names have dots, as Parquet wants them.
    """
    paths: set[Path] = set()
    whole = {"stableId"}
    for configuration in (plan.old_configuration, plan.new_configuration):
        if configuration is None:
            continue
        for audience in configuration.audiences:
            for path in _paths(audience.rule):
                if path is None:
                    whole.add("events")
                elif path == ("device",):
                    whole.add("device")
                else:
                    paths.add(path)
        if any(experience.sticky for experience in configuration.experiences):
            whole.add("stickyVariants")
    if plan.against == "stored":
        whole.add("experiences")

    def names(schema: Any) -> list[str] | None:
        there = set(schema.names)
        found = whole & there
        # The type of a whole part is checked even where no rule reads it.
        found |= {
            part
            for part in ("traits", "location", "session")
            if part in there and not _is_struct(schema.field(part).type)
        }
        for path in paths:
            found |= set(_named(path, schema, there))
        return sorted(found)

    return names


def is_selected(path: str, names: Iterable[str]) -> bool:
    """Whether one of ``names``, as `columns_read` gives them, covers the column ``path``."""
    return any(path == name or path.startswith(f"{name}.") for name in names)


def dictionary_columns(metadata: Any, names: Iterable[str]) -> list[str]:
    """The columns of texts that repeat themselves: attributes, read as codes into a dictionary."""
    names = [name for name in names if name == "device" or name.startswith(_ATTRIBUTES)]
    columns = (metadata.schema.column(number) for number in range(metadata.num_columns))
    return [
        column.path
        for column in columns
        if column.physical_type == "BYTE_ARRAY"
        and column.logical_type.type == "STRING"
        and column.max_repetition_level == 0
        and column.path in names
    ]


def _paths(rule: Rule) -> Iterator[Path | None]:
    """The attributes that a rule reads; None for events."""
    match rule:
        case AnyOf(rules) | AllOf(rules):
            for inner in rules:
                yield from _paths(inner)
        case Not(inner):
            yield from _paths(inner)
        case CounterTest():
            yield None
        case Test(path):
            yield path


def _named(path: Path, schema: Any, there: set[str]) -> Iterator[str]:
    """The column that holds ``path``, down to the field where structs go so far."""
    for length in range(len(path), 0, -1):
        name = ".".join(path[:length])
        if name not in there:
            continue
        kind = schema.field(name).type
        for part in path[length:]:
            # Names with a dot in them cannot be told from nested ones: then all is read.
            if not _is_struct(kind) or "." in part:
                break
            position = kind.get_field_index(part)
            if position < 0:
                return
            kind = kind.field(position).type
            name = f"{name}.{part}"
        yield name
        return


def _is_struct(kind: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_struct(kind))
