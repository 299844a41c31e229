"""Contracts in, programs out: `compilation` has the whole, docs/architecture.md the idea."""

from whichvariant.compiler.compilation import build_program, compile_program, compile_tables
from whichvariant.compiler.counter_keys import CounterKeys, counter_keys, sticky_experiences
from whichvariant.compiler.program_file import is_program, pack_program, unpack_program

__all__ = [
    "CounterKeys",
    "build_program",
    "compile_program",
    "compile_tables",
    "counter_keys",
    "is_program",
    "pack_program",
    "sticky_experiences",
    "unpack_program",
]
