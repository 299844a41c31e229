"""From a stable id to the hashes behind a visitor's draws (SEMANTICS section 1).

The vendor hashes the low byte of every UTF-16 code unit; the xxh64 scheme hashes UTF-8.
This module owns no memory: ids go through the scratch.
"""
# cython: language_level=3

from cpython.unicode cimport (
    PyUnicode_AsUTF8AndSize, PyUnicode_DATA, PyUnicode_GET_LENGTH, PyUnicode_KIND, PyUnicode_READ,
)
from libc.stdint cimport uint8_t, uint32_t

from whichvariant._core.allocation cimport murmur3_draws, xxh64_draws
from whichvariant._core.cells cimport Profile
from whichvariant._core.program cimport Program
from whichvariant._core.scratch cimport Scratch, reserve_id

# More than any real id, little enough that one call cannot be made to hash for long.
MAX_STABLE_ID = 65_536
cdef Py_ssize_t LONGEST_STABLE_ID = MAX_STABLE_ID


cdef object too_long(object profile_error):
    return profile_error("stableId", f"longer than {MAX_STABLE_ID} UTF-16 code units")


cdef int draw_text(
    Program program, Scratch *scratch, str stable_id, object profile_error,
) except -1:
    """Compute the hashes behind all draws of a stable id."""
    cdef Py_ssize_t n = PyUnicode_GET_LENGTH(stable_id)
    cdef int kind = PyUnicode_KIND(stable_id)
    cdef void *data = PyUnicode_DATA(stable_id)
    cdef Py_ssize_t i
    cdef Py_ssize_t units = 0
    cdef uint32_t c
    cdef const char *utf8
    cdef Py_ssize_t length
    if n > LONGEST_STABLE_ID:
        raise too_long(profile_error)
    if program.salts != NULL:
        if kind == 4 and n > LONGEST_STABLE_ID // 2:
            # Only here can there be more code units than characters, and too many.
            for i in range(n):
                units += 2 if <uint32_t> PyUnicode_READ(kind, data, i) > 0xFFFF else 1
            if units > LONGEST_STABLE_ID:
                raise too_long(profile_error)
        try:
            utf8 = PyUnicode_AsUTF8AndSize(stable_id, &length)
        except UnicodeEncodeError:
            raise profile_error("stableId", "a text with a lone surrogate") from None
        xxh64_draws(
            program, <const uint8_t *> utf8, <size_t> length, &scratch.outcome)
        return 0
    if kind == 1:
        # Code points below 256: their bytes are the low bytes already.
        reserve_id(scratch, <size_t> n)
        murmur3_draws(
            program, <const uint8_t *> data, <uint32_t> n, &scratch.outcome)
        return 0
    reserve_id(scratch, <size_t> n * 2)
    for i in range(n):
        c = <uint32_t> PyUnicode_READ(kind, data, i)
        if 0xD800 <= c <= 0xDFFF:
            # The hash would take it, but JSON cannot carry it: no two callers would agree.
            raise profile_error("stableId", "a text with a lone surrogate")
        if c > 0xFFFF:
            # The low bytes of the two surrogates that stand for it in UTF-16.
            scratch.low[units] = <uint8_t> ((c - 0x10000) >> 10)
            scratch.low[units + 1] = <uint8_t> (c & 0xFF)
            units += 2
        else:
            scratch.low[units] = <uint8_t> (c & 0xFF)
            units += 1
    if units > LONGEST_STABLE_ID:
        raise too_long(profile_error)
    murmur3_draws(program, scratch.low, <uint32_t> units, &scratch.outcome)
    return 0


cdef int draw_scanned(Program program, Scratch *scratch, object profile_error) except -1:
    """The same for the stable id that a scan found."""
    cdef Profile *profile = &scratch.profile
    cdef size_t n = profile.stable_id_length
    cdef uint8_t seen = 0
    cdef size_t i
    if profile.stable_id == NULL:
        raise profile_error("stableId", "missing")
    if program.salts != NULL and n <= 1024:
        xxh64_draws(
            program, <const uint8_t *> profile.stable_id, n, &scratch.outcome)
        return 0
    if n <= 1024:
        for i in range(n):
            seen |= <uint8_t> profile.stable_id[i]
        if seen < 0x80:
            reserve_id(scratch, n)
            murmur3_draws(
                program, <const uint8_t *> profile.stable_id, <uint32_t> n,
                &scratch.outcome)
            return 0
    return draw_text(
        program, scratch, profile.stable_id[:n].decode("utf-8"), profile_error)
