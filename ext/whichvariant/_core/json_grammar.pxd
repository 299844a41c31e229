# JSON's grammar: one token, or one skipped value, at a time (RFC 8259; docs/rules.md, "Limits").
#
# Inline, because a profile has a hundred tokens and a microsecond. All functions move `s.at` and
# give 0, or -1 with `s.error` set. Texts must be free of lone surrogates, as in strict libraries.
from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcmp, memcpy

cdef extern from "text.h" nogil:
    const char *wv_find_special(const char *p, const char *end)


cdef enum:
    MAX_DEPTH = 256
    MAX_WATCHED = 8


cdef enum ScanError:
    SCAN_OK = 0
    SCAN_SYNTAX               # not JSON; `offset` and `expected` say where and what
    SCAN_DEPTH                # nested too deeply
    SCAN_TYPE                 # a value of the wrong type at trie node `node`
    SCAN_NUMBER               # a number beyond the doubles at slot `node`
    SCAN_STICKY               # not a variant index for experience `node`
    SCAN_UTF8


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
    const char *watched[MAX_WATCHED]     # the last value of each watched member, or NULL
    size_t watched_length[MAX_WATCHED]
    bint has_stable_id        # there is such a member, whatever it holds
    bint overflow             # some number was beyond the doubles
    ScanError error


cdef inline int fail(Scanner *s, ScanError error, const char *expected) noexcept nogil:
    if s.error == SCAN_OK:
        s.error = error
        s.expected = expected
    return -1


cdef inline void skip_space(Scanner *s) noexcept nogil:
    while s.at < s.end and (s.at[0] == c' ' or s.at[0] == c'\n' or s.at[0] == c'\r'
                            or s.at[0] == c'\t'):
        s.at += 1


cdef inline int hex4(Scanner *s, uint32_t *out) noexcept nogil:
    cdef uint32_t value = 0
    cdef int i
    cdef unsigned char c
    if s.end - s.at < 4:
        return fail(s, SCAN_SYNTAX, "four hexadecimal digits")
    for i in range(4):
        c = <unsigned char> s.at[i]
        value <<= 4
        if c'0' <= c <= c'9':
            value |= c - c'0'
        elif c'a' <= (c | 0x20) <= c'f':
            value |= (c | 0x20) - c'a' + 10
        else:
            return fail(s, SCAN_SYNTAX, "four hexadecimal digits")
    s.at += 4
    out[0] = value
    return 0


cdef inline int unescape(Scanner *s, char **cursor) noexcept nogil:
    # Read one escape, `s.at` being behind its backslash, and write its UTF-8 at ``cursor``.
    cdef char *out = cursor[0]
    cdef unsigned char c
    cdef uint32_t code, low
    if s.at == s.end:
        return fail(s, SCAN_SYNTAX, "an escape")
    c = <unsigned char> s.at[0]
    s.at += 1
    if c == c'u':
        if hex4(s, &code) < 0:
            return -1
        if 0xDC00 <= code <= 0xDFFF:
            return fail(s, SCAN_SYNTAX, "no lone surrogate")
        if 0xD800 <= code <= 0xDBFF:
            if s.end - s.at < 2 or s.at[0] != c'\\' or s.at[1] != c'u':
                return fail(s, SCAN_SYNTAX, "no lone surrogate")
            s.at += 2
            if hex4(s, &low) < 0:
                return -1
            if not 0xDC00 <= low <= 0xDFFF:
                return fail(s, SCAN_SYNTAX, "no lone surrogate")
            code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
        if code < 0x80:
            out[0] = <char> code
            cursor[0] = out + 1
        elif code < 0x800:
            out[0] = <char> (0xC0 | (code >> 6))
            out[1] = <char> (0x80 | (code & 0x3F))
            cursor[0] = out + 2
        elif code < 0x10000:
            out[0] = <char> (0xE0 | (code >> 12))
            out[1] = <char> (0x80 | ((code >> 6) & 0x3F))
            out[2] = <char> (0x80 | (code & 0x3F))
            cursor[0] = out + 3
        else:
            out[0] = <char> (0xF0 | (code >> 18))
            out[1] = <char> (0x80 | ((code >> 12) & 0x3F))
            out[2] = <char> (0x80 | ((code >> 6) & 0x3F))
            out[3] = <char> (0x80 | (code & 0x3F))
            cursor[0] = out + 4
        return 0
    if c == c'n':
        c = c'\n'
    elif c == c't':
        c = c'\t'
    elif c == c'r':
        c = c'\r'
    elif c == c'b':
        c = 8
    elif c == c'f':
        c = 12
    elif c != c'"' and c != c'\\' and c != c'/':
        s.at -= 1
        return fail(s, SCAN_SYNTAX, "an escape")
    out[0] = <char> c
    cursor[0] = out + 1
    return 0


cdef inline int scan_text(Scanner *s, const char **text, size_t *length) noexcept nogil:
    # Read a text, `s.at` being behind its opening quote. No copy unless it has escapes.
    cdef const char *first = s.at
    cdef const char *stop = wv_find_special(s.at, s.end)
    cdef char *out
    cdef size_t n
    if stop < s.end and stop[0] == c'"':
        text[0] = first
        length[0] = <size_t> (stop - first)
        s.at = stop + 1
        return 0
    out = s.spare_at
    while True:
        n = <size_t> (stop - s.at)
        memcpy(out, s.at, n)
        out += n
        s.at = stop
        if stop == s.end:
            return fail(s, SCAN_SYNTAX, "a closing quote")
        if stop[0] == c'"':
            s.at += 1
            break
        if stop[0] != c'\\':
            return fail(s, SCAN_SYNTAX, "no control character in a text")
        s.at += 1
        if unescape(s, &out) < 0:
            return -1
        stop = wv_find_special(s.at, s.end)
    text[0] = s.spare_at
    length[0] = <size_t> (out - s.spare_at)
    s.spare_at = out
    return 0


cdef inline int scan_number(Scanner *s, const char **text, size_t *length) noexcept nogil:
    # Check JSON's number grammar and give the text of the number.
    cdef const char *p = s.at
    cdef const char *first = p
    if p < s.end and p[0] == c'-':
        p += 1
    if p < s.end and p[0] == c'0':
        p += 1
    elif p < s.end and c'1' <= p[0] <= c'9':
        while p < s.end and c'0' <= p[0] <= c'9':
            p += 1
    else:
        s.at = p
        return fail(s, SCAN_SYNTAX, "a value" if p == first else "a digit")
    if p < s.end and p[0] == c'.':
        p += 1
        if p == s.end or not c'0' <= p[0] <= c'9':
            s.at = p
            return fail(s, SCAN_SYNTAX, "a digit")
        while p < s.end and c'0' <= p[0] <= c'9':
            p += 1
    if p < s.end and (p[0] == c'e' or p[0] == c'E'):
        p += 1
        if p < s.end and (p[0] == c'-' or p[0] == c'+'):
            p += 1
        if p == s.end or not c'0' <= p[0] <= c'9':
            s.at = p
            return fail(s, SCAN_SYNTAX, "a digit")
        while p < s.end and c'0' <= p[0] <= c'9':
            p += 1
    text[0] = first
    length[0] = <size_t> (p - first)
    s.at = p
    return 0


cdef inline int scan_literal(Scanner *s, const char *word, size_t n) noexcept nogil:
    if <size_t> (s.end - s.at) < n or memcmp(s.at, word, n) != 0:
        return fail(s, SCAN_SYNTAX, "a value")
    s.at += n
    return 0


cdef inline int skip_value(Scanner *s) noexcept nogil:
    # Check one value of any kind and pass over it.
    cdef const char *text
    cdef size_t length
    cdef char *mark
    cdef char c
    skip_space(s)
    if s.at == s.end:
        return fail(s, SCAN_SYNTAX, "a value")
    c = s.at[0]
    if c == c'"':
        s.at += 1
        mark = s.spare_at
        if scan_text(s, &text, &length) < 0:
            return -1
        s.spare_at = mark
        return 0
    if c == c'{' or c == c'[':
        return skip_container(s)
    if c == c't':
        return scan_literal(s, "true", 4)
    if c == c'f':
        return scan_literal(s, "false", 5)
    if c == c'n':
        return scan_literal(s, "null", 4)
    return scan_number(s, &text, &length)


cdef inline int open_container(Scanner *s, char close) noexcept nogil:
    # Pass the opening bracket. 1 when there is something inside, 0 when it was closed at once.
    s.at += 1
    s.depth += 1
    if s.depth > MAX_DEPTH:
        return fail(s, SCAN_DEPTH, "")
    skip_space(s)
    if s.at < s.end and s.at[0] == close:
        s.at += 1
        s.depth -= 1
        return 0
    return 1


cdef inline int read_key(Scanner *s, const char **text, size_t *length) noexcept nogil:
    # A key and its colon. The text is good until the next one is read.
    cdef char *mark = s.spare_at
    skip_space(s)
    if s.at == s.end or s.at[0] != c'"':
        return fail(s, SCAN_SYNTAX, "a key in quotes")
    s.at += 1
    if scan_text(s, text, length) < 0:
        return -1
    s.spare_at = mark
    skip_space(s)
    if s.at == s.end or s.at[0] != c':':
        return fail(s, SCAN_SYNTAX, "a colon")
    s.at += 1
    return 0


cdef inline int next_member(Scanner *s, char close) noexcept nogil:
    # Behind a member: 1 when another one follows, 0 when the container is closed.
    skip_space(s)
    if s.at < s.end and s.at[0] == c',':
        s.at += 1
        return 1
    if s.at < s.end and s.at[0] == close:
        s.at += 1
        s.depth -= 1
        return 0
    return fail(s, SCAN_SYNTAX, "a comma or a closing brace" if close == c'}'
                else "a comma or a closing bracket")


cdef inline int skip_container(Scanner *s) noexcept nogil:
    cdef const char *text
    cdef size_t length
    cdef char close = c'}' if s.at[0] == c'{' else c']'
    cdef int more = open_container(s, close)
    while more > 0:
        if close == c'}' and read_key(s, &text, &length) < 0:
            return -1
        if skip_value(s) < 0:
            return -1
        more = next_member(s, close)
    return more
