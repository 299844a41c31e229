from typing import Final

from typing_extensions import disjoint_base

from whichvariant._core.draws import MAX_STABLE_ID as MAX_STABLE_ID
from whichvariant._core.program import Program

MIN_PROBED: Final[int]

@disjoint_base
class RowDraws:
    def __init__(self, program: Program) -> None: ...
    @property
    def program(self) -> Program: ...
