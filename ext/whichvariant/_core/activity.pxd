# Counting the events that activity rules ask about. See activity.pyx.
from whichvariant._core.program cimport Program


cdef class EventCounter:
    cdef Program _program
    cdef object _event_error
    cdef object _clock
    cdef object _parse_time
    cdef tuple _paths
    cdef list count(self, object events, object now)
    cdef list given(self, object counts)
    cdef list matching(self, object event)
    cdef int _count_one(
        self, Py_ssize_t number, object event, object now, list counts) except -1
    cdef bytes _leaves_of(self, Py_ssize_t number, object event)
