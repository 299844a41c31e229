# From the msgpack of one record to columns. See msgpack_scanner.pyx.
from whichvariant._core.shredder cimport Fate, Shredder


cdef Fate take_msgpack(Shredder shredder, const char *data, size_t length) noexcept nogil
