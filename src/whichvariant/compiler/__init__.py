"""Contracts in, programs out: `compilation` has the whole, docs/architecture.md the idea."""

from whichvariant.compiler.compilation import build_program, compile_program, compile_tables
from whichvariant.compiler.program_file import is_program, pack_program, unpack_program

__all__ = [
    "build_program",
    "compile_program",
    "compile_tables",
    "is_program",
    "pack_program",
    "unpack_program",
]
