# From the bytes of one profile's JSON straight to the slots a program reads. See scanner.pyx.
from libc.stdint cimport uint32_t, uint64_t

from whichvariant._core.cells cimport Profile
from whichvariant._core.program cimport Program


cdef enum ScanError:
    SCAN_OK = 0
    SCAN_SYNTAX               # not JSON; `offset` and `expected` say where and what
    SCAN_DEPTH                # nested too deeply
    SCAN_TYPE                 # a value of the wrong type at trie node `node`
    SCAN_NUMBER               # a number beyond the doubles at slot `node`
    SCAN_STICKY               # not a variant index for experience `node`
    SCAN_UTF8
    SCAN_MEMORY


cdef struct Scanner:
    const char *start
    const char *at
    const char *end
    char *spare               # room for unescaped texts: as long as the input
    char *spare_at
    const char *expected
    uint32_t depth
    uint32_t node
    uint64_t wrong            # a bit per child of the profile whose value has the wrong type
    bint overflow             # some number was beyond the doubles
    ScanError error


cdef int scan_profile(
    Scanner *scanner, Program program, Profile *profile, const char *data, size_t length,
    char *spare,
) noexcept
