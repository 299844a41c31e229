"""Many profiles at a time: batches of columns, read from bytes or Arrow, decided by one or several
engines. docs/columns.md describes how they work.
"""

from whichvariant.columns.intake import Intake, Rejected
from whichvariant.columns.result import ColumnsResult, transitions
from whichvariant.columns.selecting import select_columns

__all__ = ["ColumnsResult", "Intake", "Rejected", "select_columns", "transitions"]
