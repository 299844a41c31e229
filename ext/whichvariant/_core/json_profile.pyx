"""A profile as JSON bytes into the cells of a scratch, and what is said of bytes that are none.

This module owns no memory: what is scanned goes through the scratch.
"""
# cython: language_level=3

from whichvariant._core.json_grammar cimport (
    SCAN_DEPTH, SCAN_NUMBER, SCAN_STICKY, SCAN_SYNTAX, SCAN_TYPE, SCAN_UTF8, Scanner,
)
from whichvariant._core.program cimport Program
from whichvariant._core.scanner cimport scan_profile
from whichvariant._core.scratch cimport Scratch, reserve_spare


cdef int scan_json(
    Program program, Scratch *scratch, const char *data, size_t length, object profile_error,
) except -1:
    """Cells and sticky choices from one JSON object; ``profile_error`` makes what is raised."""
    cdef Scanner scanner
    reserve_spare(scratch, length + 16)
    if scan_profile(
            &scanner, &program.target, &scratch.profile, data, length, scratch.spare) == 0:
        return 0
    where = scanner.at - scanner.start
    if scanner.error == SCAN_SYNTAX:
        expected = (<bytes> scanner.expected).decode()
        raise profile_error("", f"not JSON at byte {where}: expected {expected}")
    if scanner.error == SCAN_DEPTH:
        raise profile_error("", f"nested too deeply at byte {where}")
    if scanner.error == SCAN_UTF8:
        raise profile_error("", f"not UTF-8 at byte {where}")
    if scanner.error == SCAN_TYPE:
        key = <object> program.trie[scanner.node].key
        expected = (<bytes> scanner.expected).decode()
        raise profile_error(key, f"expected {expected}")
    if scanner.error == SCAN_NUMBER:
        raise profile_error(
            ".".join(program.leaves.paths[scanner.node]), "a number too large for a double")
    if scanner.error == SCAN_STICKY:
        raise profile_error(
            f"stickyVariants.{program.experience_ids[scanner.node]}",
            "expected a variant index")
    raise MemoryError
