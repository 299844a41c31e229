"""JavaScript's String() of JSON values, for rules that compare texts (docs/rules.md, "Values").

This module owns no memory.
"""
# cython: language_level=3

from collections.abc import Mapping
from libc.math cimport isfinite

MAX_DEPTH = 256
MAX_ELEMENTS = 10_000_000
MAX_CHARACTERS = 64 * 1024 * 1024


def number_text(double value):
    """``value`` as JavaScript spells it: shortest digits, no exponent from 1e-6 up to below 1e21.

    ValueError when the value is not finite.
    """
    cdef str sign = ""
    cdef str mantissa, digits, exponent
    cdef Py_ssize_t k, point
    if not isfinite(value):
        raise ValueError("not a finite number")
    if value == 0:
        return "0"
    if value < 0:
        sign = "-"
        value = -value
    if value < 9007199254740992.0 and value == <double> <long long> value:
        return f"{sign}{<long long> value}"
    # Python's repr has the same shortest digits; only their layout differs.
    mantissa, _, exponent = repr(value).partition("e")
    whole, _, fraction = mantissa.partition(".")
    digits = (whole + fraction).lstrip("0")
    # Where the decimal point stands, counted from the first significant digit.
    point = len(whole) if whole != "0" else len(digits) - len(fraction)
    point += int(exponent) if exponent else 0
    digits = digits.rstrip("0")
    k = len(digits)
    if k <= point <= 21:
        return f"{sign}{digits}{'0' * (point - k)}"
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    point -= 1
    return (f"{sign}{digits[0]}{'.' if k > 1 else ''}{digits[1:]}e"
            f"{'+' if point > 0 else '-'}{abs(point)}")


def json_text(value):
    """The text of any JSON value. Elements of arrays join with commas, null ones are empty.

    ValueError for a number that is not finite, for nesting deeper than 256 (which a cycle is), for
    more than 10,000,000 elements in all, or 67,108,864 characters; TypeError for what is not JSON.
    """
    cdef Budget left
    left.elements = MAX_ELEMENTS
    left.characters = MAX_CHARACTERS
    return text_of(value, 0, &left)


# Arrays may share their elements, and then the text is far larger than the value.
cdef struct Budget:
    Py_ssize_t elements
    Py_ssize_t characters


cdef object text_of(value, Py_ssize_t depth, Budget *left):
    if depth > MAX_DEPTH:
        raise ValueError("nested too deeply")
    left.elements -= 1
    if left.elements < 0:
        raise ValueError(f"more than {MAX_ELEMENTS} elements")
    if isinstance(value, str):
        left.characters -= len(value)
        if left.characters < 0 and depth:
            raise ValueError(f"more than {MAX_CHARACTERS} characters")
        return value
    if value is None:
        return "null"
    if value is True:
        return "true"
    if value is False:
        return "false"
    if isinstance(value, (int, float)):
        try:
            return number_text(value)
        except OverflowError:
            raise ValueError("a number too large for a double") from None
    if isinstance(value, (list, tuple)):
        return ",".join([
            "" if element is None else text_of(element, depth + 1, left) for element in value])
    if isinstance(value, Mapping):
        return "[object Object]"
    raise TypeError(f"not a JSON value: {type(value).__name__}")


def shown(value):
    """A value in an error message: short, and printable whatever it is."""
    if isinstance(value, str):
        return repr(value if len(value) <= 60 else value[:60] + "...")
    if value is None or isinstance(value, (bool, float)):
        return repr(value)
    if isinstance(value, int) and int(value).bit_length() <= 64:
        return repr(int(value))
    return type(value).__name__
