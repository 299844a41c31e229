# From a stable id to the hashes behind a visitor's draws. See draws.pyx.
from whichvariant._core.program cimport Program
from whichvariant._core.scratch cimport Scratch

cdef int draw_text(
    Program program, Scratch *scratch, str stable_id, object profile_error) except -1
cdef int draw_scanned(Program program, Scratch *scratch, object profile_error) except -1
