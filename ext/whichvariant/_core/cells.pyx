"""Python values into cells, and cells into the bytes of true leaves.

Texts of cells are owned: whatever other Python code runs during an evaluation (a mapping's own
methods, RE2, a collection) cannot pull one away. `disown` gives them back.
"""
# cython: language_level=3

from cpython.bool cimport PyBool_Check
from cpython.dict cimport PyDict_Check, PyDict_GetItemWithError
from cpython.float cimport PyFloat_AS_DOUBLE, PyFloat_Check
from cpython.long cimport PyLong_AsDouble, PyLong_AsLongLongAndOverflow, PyLong_Check
from cpython.ref cimport Py_INCREF, Py_XDECREF, PyObject
from cpython.unicode cimport (
    PyUnicode_AsUTF8AndSize, PyUnicode_Check, PyUnicode_DATA, PyUnicode_GET_LENGTH,
)
from libc.math cimport NAN, floor, isfinite
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.string cimport memset

import json
from collections.abc import Mapping

from whichvariant._core.leaves cimport (
    SlotIndex, fill_number, fill_text, fill_text_number, fill_text_ops, find_text,
)
from whichvariant._core.predicates cimport FALSE, MISSING, NULLED, NUMBER, OBJECT, TEXT, TRUE

from whichvariant._core.coercion import json_text, number_text


cdef extern from "Python.h":
    bint PyUnicode_IS_COMPACT_ASCII(object text)


class BadValue(Exception):
    """A value that cannot be evaluated: (path segments, message). Becomes an error with a path."""


cdef void clear_profile(Profile *profile, uint32_t n_slots) noexcept:
    """Forget everything that was read."""
    cdef uint32_t i
    disown(profile, n_slots)
    memset(profile.kinds, MISSING, n_slots)
    profile.stable_id = NULL
    profile.stable_id_length = 0
    profile.audiences = NULL
    profile.audiences_length = 0
    for i in range(profile.n_overridden):
        profile.overrides[profile.overridden[i]] = -1
    profile.n_overridden = 0


cdef inline void own(Cell *cell, object text) noexcept:
    cdef PyObject *before = cell.owner
    Py_INCREF(text)
    cell.owner = <PyObject *> text
    Py_XDECREF(before)


cdef void disown(Profile *profile, uint32_t n_slots) noexcept:
    cdef uint32_t i
    cdef PyObject *owner
    for i in range(n_slots):
        owner = profile.cells[i].owner
        if owner != NULL:
            profile.cells[i].owner = NULL
            Py_XDECREF(owner)


cdef int read_value(
    Profile *profile, LeafTable leaves, uint32_t slot, object value,
) except -1:
    """Put a Python JSON value into the cell of ``slot``. Raises BadValue with the slot's path."""
    cdef Cell *cell = &profile.cells[slot]
    cdef Py_ssize_t length
    cdef double number
    if PyUnicode_Check(value):
        if PyUnicode_IS_COMPACT_ASCII(value):
            # Its bytes are its UTF-8, without a call.
            cell.text = <const char *> PyUnicode_DATA(value)
            length = PyUnicode_GET_LENGTH(value)
        else:
            try:
                cell.text = PyUnicode_AsUTF8AndSize(value, &length)
            except UnicodeEncodeError:
                raise BadValue(leaves.paths[slot], "a text with a lone surrogate") from None
        cell.length = <size_t> length
        profile.kinds[slot] = TEXT
        own(cell, value)
    elif PyBool_Check(value):
        profile.kinds[slot] = TRUE if value is True else FALSE
    elif PyFloat_Check(value):
        number = PyFloat_AS_DOUBLE(value)
        if not isfinite(number):
            raise BadValue(leaves.paths[slot], f"{number} is not a JSON number")
        cell.number = number
        profile.kinds[slot] = NUMBER
    elif PyLong_Check(value):
        try:
            cell.number = PyLong_AsDouble(value)
        except OverflowError:
            raise BadValue(leaves.paths[slot], "a number too large for a double") from None
        profile.kinds[slot] = NUMBER
    elif value is None:
        profile.kinds[slot] = NULLED
    elif isinstance(value, Mapping):
        profile.kinds[slot] = OBJECT
    else:
        try:
            text = json_text(value)
            cell.text = PyUnicode_AsUTF8AndSize(text, &length)
        except UnicodeEncodeError:
            raise BadValue(leaves.paths[slot], "a text with a lone surrogate") from None
        except (TypeError, ValueError) as error:
            raise BadValue(leaves.paths[slot], str(error)) from None
        cell.length = <size_t> length
        profile.kinds[slot] = TEXT
        own(cell, text)
    return 0


cdef int read_children(
    Program program, const TrieNode *node, object mapping, Profile *profile,
) except -1:
    """Read what ``node``'s children name from ``mapping``, a dict or of a subclass of it."""
    cdef uint32_t i
    cdef const TrieNode *child
    cdef PyObject *found
    cdef object value
    for i in range(node.first_child, node.first_child + node.n_children):
        child = &program.trie[i]
        found = PyDict_GetItemWithError(mapping, <object> child.key)
        if found == NULL:
            continue
        value = <object> found
        if child.slot >= 0:
            read_value(profile, program.leaves, <uint32_t> child.slot, value)
        if child.n_children:
            if PyDict_Check(value):
                read_children(program, child, value, profile)
            elif isinstance(value, Mapping):
                read_children(program, child, dict(value), profile)
    return 0


cdef double whole_number(object value) except? -1:
    """A whole number as a double, one out of range as -1, and NaN for everything else.

    Read from the object itself, past whatever a subclass may answer.
    """
    cdef double number
    cdef long long whole
    cdef int overflow
    if PyBool_Check(value):
        return NAN
    if PyLong_Check(value):
        whole = PyLong_AsLongLongAndOverflow(value, &overflow)
        return -1 if overflow else <double> whole
    if PyFloat_Check(value):
        number = PyFloat_AS_DOUBLE(value)
        return number if isfinite(number) and number == floor(number) else NAN
    return NAN


cdef int read_sticky(Program program, Profile *profile, object choices) except -1:
    """The stickyVariants of a profile, as far as this program's experiences are sticky.

    A choice must be a whole number; one that the experience does not have counts as none.
    """
    cdef const char *text
    cdef Py_ssize_t length
    cdef int64_t row
    cdef double choice
    if not PyDict_Check(choices):
        if not isinstance(choices, Mapping):
            raise BadValue(
                ("stickyVariants",), f"expected an object, got {type(choices).__name__}")
        choices = dict(choices)
    if program.sticky_table.entries == NULL:
        return 0
    for key, value in (<dict> choices).items():
        if not PyUnicode_Check(key):
            continue
        try:
            text = PyUnicode_AsUTF8AndSize(key, &length)
        except UnicodeEncodeError:
            continue
        row = find_text(&program.sticky_table, text, <size_t> length)
        if row < 0:
            continue
        choice = whole_number(value)
        if choice != choice:
            raise BadValue(("stickyVariants", key), "expected a variant index")
        if profile.overrides[row] < 0 and 0 <= choice <= <double> program.rows[row].highest_index:
            profile.overrides[row] = <int32_t> choice
            profile.overridden[profile.n_overridden] = <uint32_t> row
            profile.n_overridden += 1
    return 0


cdef int set_text(
    LeafTable leaves, uint32_t slot, const char *text, size_t length, uint8_t *leaf,
) except -1:
    cdef const SlotIndex *index = &leaves.slots[slot]
    if fill_text(index, text, length, leaf):
        number = float(text[:length].decode("ascii"))
        if isfinite(number):
            fill_text_number(index, number, leaf)
    if index.n_patterns:
        leaves.match_patterns(slot, text, length, leaf)
    return 0


cdef int set_number(LeafTable leaves, uint32_t slot, double number, uint8_t *leaf) except -1:
    cdef const SlotIndex *index = &leaves.slots[slot]
    cdef const char *text
    cdef Py_ssize_t length
    fill_number(index, number, leaf)
    if index.wants_text_of_number:
        spelled = number_text(number)
        text = PyUnicode_AsUTF8AndSize(spelled, &length)
        fill_text_ops(index, text, <size_t> length, leaf)
        if index.n_patterns:
            leaves.match_patterns(slot, text, <size_t> length, leaf)
    return 0


cdef int set_leaves(LeafTable leaves, Profile *profile, uint8_t *leaf) except -1:
    """Set the byte of every leaf that is true of the cells."""
    cdef uint32_t slot
    cdef uint8_t kind
    cdef Cell *cell
    memset(leaf, 0, leaves.n_leaves + 1)
    for slot in range(leaves.n_slots):
        kind = profile.kinds[slot]
        if kind == MISSING:
            continue
        cell = &profile.cells[slot]
        if kind == TEXT:
            set_text(leaves, slot, cell.text, cell.length, leaf)
        elif kind == NUMBER:
            set_number(leaves, slot, cell.number, leaf)
        elif kind == TRUE:
            set_text(leaves, slot, b"true", 4, leaf)
        elif kind == FALSE:
            set_text(leaves, slot, b"false", 5, leaf)
        elif kind == NULLED:
            set_text(leaves, slot, b"null", 4, leaf)
        elif kind == OBJECT:
            set_text(leaves, slot, b"[object Object]", 15, leaf)
        else:
            read_raw_array(leaves, profile, slot)
            set_text(leaves, slot, cell.text, cell.length, leaf)
    return 0


cdef int read_raw_array(LeafTable leaves, Profile *profile, uint32_t slot) except -1:
    """Turn a scanned array into its text. Arrays in rules are rare enough to go through Python."""
    cdef Cell *cell = &profile.cells[slot]
    value = json.loads(cell.text[:cell.length].decode("utf-8"), parse_int=float)
    return read_value(profile, leaves, slot, value)


FIXED_TEXTS = {FALSE: "false", TRUE: "true", NULLED: "null", OBJECT: "[object Object]"}


cdef object cell_values(LeafTable leaves, Profile *profile):
    """Slot path -> the text or number that the slot's comparisons saw; missing slots are absent."""
    cdef uint32_t slot
    cdef dict values = {}
    for slot in range(leaves.n_slots):
        if profile.kinds[slot] == TEXT:
            values[leaves.paths[slot]] = (
                profile.cells[slot].text[:profile.cells[slot].length].decode("utf-8"))
        elif profile.kinds[slot] == NUMBER:
            values[leaves.paths[slot]] = profile.cells[slot].number
        elif profile.kinds[slot] != MISSING:
            values[leaves.paths[slot]] = FIXED_TEXTS[profile.kinds[slot]]
    return values
