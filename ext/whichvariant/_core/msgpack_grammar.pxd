# msgpack's grammar: one head, or one passed value, at a time (the msgpack specification).
#
# Inline, as json_grammar.pxd is, and for the same reason.
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcpy

from whichvariant._core.json_grammar cimport MAX_DEPTH

cdef extern from "text.h" nogil:
    bint wv_is_ascii(const char *p, size_t n)
    size_t wv_utf8_error(const char *text, size_t n)


cdef enum MsgpackEnd:
    MSG_OK = 0
    MSG_CUT = 1               # the input ends inside
    MSG_BROKEN = 2            # no msgpack; of a passed value: too deep, or not UTF-8


cdef enum Shape:
    IS_NIL = 0
    IS_FALSE = 1
    IS_TRUE = 2
    IS_NUMBER = 3
    IS_TEXT = 4
    IS_LIST = 5
    IS_MAP = 6
    IS_OTHER = 7      # binary, extension
    IS_BROKEN = 8
    IS_CUT = 9


# One value's head: what it is, and what follows.
cdef struct Head:
    Shape shape
    double number
    int64_t whole         # of an integer; its double is `number`
    bint is_whole
    const char *text      # of texts and others
    uint64_t count        # bytes, elements, or pairs


cdef inline uint64_t big_endian(const char *p, uint32_t size) noexcept nogil:
    cdef uint64_t value = 0
    cdef uint32_t i
    for i in range(size):
        value = value << 8 | <uint8_t> p[i]
    return value


cdef inline double float_at(const char *p, uint32_t size) noexcept nogil:
    cdef uint64_t bits = big_endian(p, size)
    cdef uint32_t narrow = <uint32_t> bits
    cdef float single
    cdef double value
    if size == 4:
        memcpy(&single, &narrow, 4)
        return single
    memcpy(&value, &bits, 8)
    return value


cdef inline void whole_head(Head *head, int64_t value) noexcept nogil:
    head.shape = IS_NUMBER
    head.number = <double> value
    head.whole = value
    head.is_whole = True


cdef inline const char *read_head(const char *p, const char *end, Head *head) noexcept nogil:
    # Read a head and, of texts and others, the bytes; where the next thing stands.
    cdef uint8_t c
    cdef uint32_t size = 0
    cdef uint64_t value
    cdef uint64_t extra = 0
    head.shape = IS_CUT
    head.text = p
    head.count = 0
    head.number = 0
    head.whole = 0
    head.is_whole = False
    if p >= end:
        return p
    c = <uint8_t> p[0]
    p += 1
    if c < 0x80:
        whole_head(head, c)
        return p
    if c >= 0xE0:
        whole_head(head, <int64_t> c - 256)
        return p
    if c < 0x90:
        head.shape = IS_MAP
        head.count = c & 0x0F
        return p
    if c < 0xA0:
        head.shape = IS_LIST
        head.count = c & 0x0F
        return p
    if c < 0xC0:
        head.shape = IS_TEXT
        head.count = c & 0x1F
    elif c == 0xC0 or c == 0xC2 or c == 0xC3:
        head.shape = IS_NIL if c == 0xC0 else IS_FALSE if c == 0xC2 else IS_TRUE
        return p
    elif c == 0xC1:
        head.shape = IS_BROKEN
        return p
    else:
        # The size of what follows the first byte: a length, or a number.
        if c <= 0xC6:
            size = 1 << (c - 0xC4)
            head.shape = IS_OTHER
        elif c <= 0xC9:
            size = 1 << (c - 0xC7)
            extra = 1
            head.shape = IS_OTHER
        elif c <= 0xCB:
            size = 4 << (c - 0xCA)
        elif c <= 0xCF:
            size = 1 << (c - 0xCC)
        elif c <= 0xD3:
            size = 1 << (c - 0xD0)
        elif c <= 0xD8:
            head.shape = IS_OTHER
            head.count = (1 << (c - 0xD4)) + 1
        elif c <= 0xDB:
            size = 1 << (c - 0xD9)
            head.shape = IS_TEXT
        elif c <= 0xDD:
            size = 2 << (c - 0xDC)
            head.shape = IS_LIST
        else:
            size = 2 << (c - 0xDE)
            head.shape = IS_MAP
        if <size_t> (end - p) < size:
            head.shape = IS_CUT
            return p
        if c == 0xCA or c == 0xCB:
            head.shape = IS_NUMBER
            head.number = float_at(p, size)
            head.is_whole = False
            return p + size
        value = big_endian(p, size)
        p += size
        if 0xCC <= c <= 0xCF:
            whole_head(head, <int64_t> value)
            if value >> 63:
                head.number = <double> value
                head.whole = -1
            return p
        if 0xD0 <= c <= 0xD3:
            # The highest bit of the number's own width is its sign.
            value = value << (64 - 8 * size)
            whole_head(head, <int64_t> value >> (64 - 8 * size))
            return p
        if size:
            head.count = value + extra
        if c >= 0xDC:
            return p
    head.text = p
    if <uint64_t> (end - p) < head.count:
        head.shape = IS_CUT
        return p
    return p + head.count


cdef inline bint is_utf8(const char *text, uint64_t n) noexcept nogil:
    return wv_is_ascii(text, n) or wv_utf8_error(text, n) == n


cdef inline const char *pass_value(
    const char *p, const char *end, uint32_t depth, int *error,
) noexcept nogil:
    # Pass over one value that is known to be whole. ``error`` becomes MSG_BROKEN when it nests too
    # deeply or a text in it is not UTF-8.
    cdef Head head
    cdef uint64_t i
    p = read_head(p, end, &head)
    if head.shape == IS_TEXT:
        if not is_utf8(head.text, head.count):
            error[0] = MSG_BROKEN
    elif head.shape == IS_LIST or head.shape == IS_MAP:
        if depth >= MAX_DEPTH:
            error[0] = MSG_BROKEN
            return end
        i = head.count if head.shape == IS_LIST else 2 * head.count
        while i:
            p = pass_value(p, end, depth + 1, error)
            i -= 1
    return p


cdef inline int msgpack_end(const char *data, const char *end, const char **stop) noexcept nogil:
    # Find where one value ends, however deep it nests. MSG_OK, MSG_CUT or MSG_BROKEN.
    cdef Head head
    cdef uint64_t remaining = 1
    while remaining:
        data = read_head(data, end, &head)
        remaining -= 1
        if head.shape == IS_CUT:
            return MSG_CUT
        if head.shape == IS_BROKEN:
            return MSG_BROKEN
        if head.shape == IS_LIST:
            remaining += head.count
        elif head.shape == IS_MAP:
            remaining += 2 * head.count
    stop[0] = data
    return MSG_OK
