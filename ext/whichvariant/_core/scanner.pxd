# From the bytes of one profile's JSON straight to the slots that rules read. See scanner.pyx.
from whichvariant._core.cells cimport Profile
from whichvariant._core.json_grammar cimport Scanner
from whichvariant._core.trie cimport ScanTarget


cdef int scan_profile(
    Scanner *scanner, const ScanTarget *target, Profile *profile, const char *data, size_t length,
    char *spare,
) noexcept nogil
