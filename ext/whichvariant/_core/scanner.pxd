# From the bytes of one profile's JSON straight to the slots a program reads. See scanner.pyx.
from whichvariant._core.cells cimport Profile
from whichvariant._core.json_grammar cimport Scanner
from whichvariant._core.program cimport Program


cdef int scan_profile(
    Scanner *scanner, Program program, Profile *profile, const char *data, size_t length,
    char *spare,
) noexcept
