from typing import Final

from typing_extensions import disjoint_base

from whichvariant._core.layout import Layout
from whichvariant._core.program import Program

MAX_ODD_NUMBERS: Final[int]

@disjoint_base
class LeafMasks:
    def __init__(self, layout: Layout, number: int) -> None: ...
    @property
    def program(self) -> Program: ...
