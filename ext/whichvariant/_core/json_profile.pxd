# One profile as JSON into a scratch. See json_profile.pyx.
from whichvariant._core.program cimport Program
from whichvariant._core.scratch cimport Scratch


cdef int scan_json(
    Program program, Scratch *scratch, const char *data, size_t length, object profile_error,
) except -1
