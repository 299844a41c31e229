# From the msgpack of one record to columns. See msgpack_scanner.pyx.
from whichvariant._core.shredder cimport Fate, Shredder


cdef enum MsgpackEnd:
    MSG_OK = 0
    MSG_CUT = 1               # the input ends inside
    MSG_BROKEN = 2            # no msgpack, or nested too deeply


cdef int msgpack_end(const char *data, const char *end, const char **stop) noexcept nogil
cdef Fate take_msgpack(Shredder shredder, const char *data, size_t length) noexcept nogil
