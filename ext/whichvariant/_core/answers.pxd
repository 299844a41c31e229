# What goes out: selections as Python objects and as JSON. See answers.pyx.
from whichvariant._core.allocation cimport Outcome
from whichvariant._core.program cimport Program
from whichvariant._core.scratch cimport Scratch


cdef class Selection:
    cdef readonly list experiences
    cdef readonly list changes
    cdef readonly list audiences


cdef Selection make_selection(Program program, const Outcome *outcome, list given, bint fresh)
cdef bytes make_json(Program program, Scratch *scratch, bint trust)
