"""A complete JSON scanner that fills the slots of a program and checks, but skips, all the rest.

The grammar is RFC 8259 with a limit on nesting. Texts must be well-formed UTF-8 and escapes must
not leave lone surrogates, as in strict JSON libraries. Of repeated keys the last counts, as in
JavaScript: everything read from an earlier one is forgotten, and a value of the wrong type is only
an error when none comes after it.

Unescaped texts go to `spare`, which the caller makes as long as the input: an escape never becomes
longer. This module owns no memory.
"""
# cython: language_level=3

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.ref cimport PyObject
from libc.math cimport INFINITY, floor, isfinite
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from whichvariant._core.cells cimport Cell, Profile
from whichvariant._core.leaves cimport find_text
from whichvariant._core.predicates cimport (
    ARRAY_RAW, FALSE, MISSING, NULLED, NUMBER, OBJECT, TEXT, TRUE, wv_parse_number,
)
from whichvariant._core.program cimport (
    ROLE_AUDIENCES, ROLE_OBJECT, ROLE_STABLE_ID, ROLE_STICKY, Program, TrieNode,
)

cdef extern from "text.h" nogil:
    const char *wv_find_special(const char *p, const char *end)
    bint wv_is_ascii(const char *p, size_t n)
    size_t wv_utf8_error(const char *text, size_t n)

cdef extern from "Python.h":
    double PyOS_string_to_double(const char *s, char **endptr, PyObject *overflow) except? -1.0

MAX_DEPTH = 256
cdef uint32_t DEPTH = MAX_DEPTH
# Overrides of experiences that are listed as overridden, and yet have no choice. -1 is: not listed.
cdef int32_t NO_CHOICE = -2
cdef int32_t WRONG_CHOICE = -3


cdef inline int fail(Scanner *s, ScanError error, const char *expected) noexcept nogil:
    if s.error == SCAN_OK:
        s.error = error
        s.expected = expected
    return -1


cdef inline void skip_space(Scanner *s) noexcept nogil:
    while s.at < s.end and (s.at[0] == c' ' or s.at[0] == c'\n' or s.at[0] == c'\r'
                            or s.at[0] == c'\t'):
        s.at += 1


cdef int hex4(Scanner *s, uint32_t *out) noexcept nogil:
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


cdef int unescape(Scanner *s, char **cursor) noexcept nogil:
    """Read one escape, `s.at` being behind its backslash, and write its UTF-8 at ``cursor``."""
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


cdef int scan_text(Scanner *s, const char **text, size_t *length) noexcept nogil:
    """Read a text, `s.at` being behind its opening quote. No copy unless it has escapes."""
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


cdef int scan_number(Scanner *s, const char **text, size_t *length) noexcept nogil:
    """Check JSON's number grammar and give the text of the number."""
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


cdef int to_double(const char *text, size_t n, double *out) noexcept with gil:
    """Convert a checked number in full; -1 when it is beyond the doubles or memory is short."""
    cdef char *copy = <char *> PyMem_Malloc(n + 1)
    if copy == NULL:
        return -1
    memcpy(copy, text, n)
    copy[n] = 0
    try:
        out[0] = PyOS_string_to_double(copy, NULL, NULL)
    except (ValueError, OverflowError):
        return -1
    finally:
        PyMem_Free(copy)
    return 0 if isfinite(out[0]) else -1


cdef inline int number_value(const char *text, size_t n, double *out) noexcept nogil:
    cdef bint exact
    if wv_parse_number(text, n, out, &exact) and exact:
        return 0
    return to_double(text, n, out)


cdef int scan_literal(Scanner *s, const char *word, size_t n) noexcept nogil:
    if <size_t> (s.end - s.at) < n or memcmp(s.at, word, n) != 0:
        return fail(s, SCAN_SYNTAX, "a value")
    s.at += n
    return 0


cdef int skip_value(Scanner *s) noexcept nogil:
    """Check one value of any kind and pass over it."""
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


cdef int skip_container(Scanner *s) noexcept nogil:
    cdef const char *text
    cdef size_t length
    cdef char *mark
    cdef bint is_object = s.at[0] == c'{'
    cdef char close = c'}' if is_object else c']'
    s.at += 1
    s.depth += 1
    if s.depth > DEPTH:
        return fail(s, SCAN_DEPTH, "")
    skip_space(s)
    if s.at < s.end and s.at[0] == close:
        s.at += 1
        s.depth -= 1
        return 0
    while True:
        if is_object:
            skip_space(s)
            if s.at == s.end or s.at[0] != c'"':
                return fail(s, SCAN_SYNTAX, "a key in quotes")
            s.at += 1
            mark = s.spare_at
            if scan_text(s, &text, &length) < 0:
                return -1
            s.spare_at = mark
            skip_space(s)
            if s.at == s.end or s.at[0] != c':':
                return fail(s, SCAN_SYNTAX, "a colon")
            s.at += 1
        if skip_value(s) < 0:
            return -1
        skip_space(s)
        if s.at < s.end and s.at[0] == c',':
            s.at += 1
            continue
        if s.at < s.end and s.at[0] == close:
            s.at += 1
            s.depth -= 1
            return 0
        return fail(s, SCAN_SYNTAX, "a comma or a closing brace" if is_object
                    else "a comma or a closing bracket")


cdef inline void forget(Profile *profile, const TrieNode *node) noexcept nogil:
    """Clear every slot at or below ``node``."""
    if node.end_slot > node.first_slot:
        memset(profile.kinds + node.first_slot, MISSING, node.end_slot - node.first_slot)


cdef int skip_wrong(Scanner *s, uint32_t number) noexcept nogil:
    """Pass over a value that cannot stand for the profile's child ``number``, and note it."""
    s.wrong |= (<uint64_t> 1) << number
    return skip_value(s)


cdef int scan_sticky(
    Scanner *s, Program program, Profile *profile, uint32_t number,
) noexcept nogil:
    """The stickyVariants object: choices for sticky experiences of this program; null is none."""
    cdef const char *text
    cdef size_t length
    cdef char *mark
    cdef int64_t row
    cdef double value
    cdef uint32_t i
    for i in range(profile.n_overridden):
        profile.overrides[profile.overridden[i]] = -1
    profile.n_overridden = 0
    if s.at[0] == c'n':
        return scan_literal(s, "null", 4)
    if s.at[0] != c'{':
        return skip_wrong(s, number)
    s.at += 1
    s.depth += 1
    skip_space(s)
    if s.at < s.end and s.at[0] == c'}':
        s.at += 1
        s.depth -= 1
        return 0
    while True:
        skip_space(s)
        if s.at == s.end or s.at[0] != c'"':
            return fail(s, SCAN_SYNTAX, "a key in quotes")
        s.at += 1
        mark = s.spare_at
        if scan_text(s, &text, &length) < 0:
            return -1
        row = find_text(&program.sticky_table, text, length)
        s.spare_at = mark
        skip_space(s)
        if s.at == s.end or s.at[0] != c':':
            return fail(s, SCAN_SYNTAX, "a colon")
        s.at += 1
        if row < 0:
            if skip_value(s) < 0:
                return -1
        else:
            if profile.overrides[row] == -1:
                profile.overridden[profile.n_overridden] = <uint32_t> row
                profile.n_overridden += 1
            profile.overrides[row] = WRONG_CHOICE
            skip_space(s)
            if s.at < s.end and (s.at[0] == c'-' or c'0' <= s.at[0] <= c'9'):
                if scan_number(s, &text, &length) < 0:
                    return -1
                if number_value(text, length, &value) == 0 and value == floor(value):
                    # A choice that the experience does not have counts as none.
                    profile.overrides[row] = NO_CHOICE
                    if 0 <= value <= <double> program.rows[row].highest_index:
                        profile.overrides[row] = <int32_t> value
            elif skip_value(s) < 0:
                return -1
        skip_space(s)
        if s.at < s.end and s.at[0] == c',':
            s.at += 1
            continue
        if s.at < s.end and s.at[0] == c'}':
            s.at += 1
            s.depth -= 1
            return 0
        return fail(s, SCAN_SYNTAX, "a comma or a closing brace")


cdef int scan_role(
    Scanner *s, Program program, Profile *profile, const TrieNode *node, uint32_t number,
) noexcept nogil:
    """One of the profile's own fields, `s.at` being at its value."""
    cdef const char *text
    cdef size_t length
    if node.role == ROLE_STICKY:
        return scan_sticky(s, program, profile, number)
    if node.role == ROLE_AUDIENCES:
        text = s.at
        if skip_value(s) < 0:
            return -1
        profile.audiences = text
        profile.audiences_length = <size_t> (s.at - text)
        return 0
    # stableId: a text; null is as good as absent.
    text = NULL
    length = 0
    if s.at[0] == c'"':
        s.at += 1
        if scan_text(s, &text, &length) < 0:
            return -1
    elif s.at[0] == c'n':
        if scan_literal(s, "null", 4) < 0:
            return -1
    elif skip_wrong(s, number) < 0:
        return -1
    profile.stable_id = text
    profile.stable_id_length = length
    return 0


cdef int scan_slot(
    Scanner *s, Program program, Profile *profile, const TrieNode *node,
) noexcept nogil:
    """A value below traits, location or session that a rule reads, or that leads to one."""
    cdef Cell *cell = NULL
    cdef uint8_t kind
    cdef const char *text
    cdef size_t length = 0
    cdef double value = 0
    cdef char c
    forget(profile, node)
    c = s.at[0]
    if c == c'"':
        s.at += 1
        kind = TEXT
        if scan_text(s, &text, &length) < 0:
            return -1
    elif c == c'{':
        text = NULL
        kind = OBJECT
        if node.n_children:
            if scan_object(s, program, profile, node) < 0:
                return -1
        elif skip_container(s) < 0:
            return -1
    elif c == c'[':
        text = s.at
        kind = ARRAY_RAW
        if skip_container(s) < 0:
            return -1
        length = <size_t> (s.at - text)
    elif c == c't':
        text = NULL
        kind = TRUE
        if scan_literal(s, "true", 4) < 0:
            return -1
    elif c == c'f':
        text = NULL
        kind = FALSE
        if scan_literal(s, "false", 5) < 0:
            return -1
    elif c == c'n':
        text = NULL
        kind = NULLED
        if scan_literal(s, "null", 4) < 0:
            return -1
    else:
        kind = NUMBER
        if scan_number(s, &text, &length) < 0:
            return -1
        if node.slot >= 0 and number_value(text, length, &value) < 0:
            value = INFINITY
            s.overflow = True
    if node.slot >= 0:
        cell = &profile.cells[node.slot]
        cell.text = text
        cell.length = length
        cell.number = value
        profile.kinds[node.slot] = kind
    return 0


cdef int scan_object(
    Scanner *s, Program program, Profile *profile, const TrieNode *node,
) noexcept nogil:
    """An object with children that matter, `s.at` being at its brace; not the profile itself."""
    cdef const char *text
    cdef size_t length
    cdef char *mark
    cdef int64_t child
    s.at += 1
    s.depth += 1
    if s.depth > DEPTH:
        return fail(s, SCAN_DEPTH, "")
    skip_space(s)
    if s.at < s.end and s.at[0] == c'}':
        s.at += 1
        s.depth -= 1
        return 0
    while True:
        skip_space(s)
        if s.at == s.end or s.at[0] != c'"':
            return fail(s, SCAN_SYNTAX, "a key in quotes")
        s.at += 1
        mark = s.spare_at
        if scan_text(s, &text, &length) < 0:
            return -1
        child = find_text(&node.children, text, length)
        s.spare_at = mark
        skip_space(s)
        if s.at == s.end or s.at[0] != c':':
            return fail(s, SCAN_SYNTAX, "a colon")
        s.at += 1
        if child < 0:
            if skip_value(s) < 0:
                return -1
        else:
            skip_space(s)
            if s.at == s.end:
                return fail(s, SCAN_SYNTAX, "a value")
            if scan_slot(s, program, profile, &program.trie[child]) < 0:
                return -1
        skip_space(s)
        if s.at < s.end and s.at[0] == c',':
            s.at += 1
            continue
        if s.at < s.end and s.at[0] == c'}':
            s.at += 1
            s.depth -= 1
            return 0
        return fail(s, SCAN_SYNTAX, "a comma or a closing brace")


cdef int scan_top(Scanner *s, Program program, Profile *profile) noexcept nogil:
    cdef const char *text
    cdef size_t length
    cdef char *mark
    cdef int64_t child
    cdef const TrieNode *node
    cdef const TrieNode *root = &program.trie[0]
    skip_space(s)
    if s.at == s.end or s.at[0] != c'{':
        return fail(s, SCAN_SYNTAX, "an object")
    s.at += 1
    s.depth = 1
    skip_space(s)
    if s.at < s.end and s.at[0] == c'}':
        s.at += 1
    else:
        while True:
            skip_space(s)
            if s.at == s.end or s.at[0] != c'"':
                return fail(s, SCAN_SYNTAX, "a key in quotes")
            s.at += 1
            mark = s.spare_at
            if scan_text(s, &text, &length) < 0:
                return -1
            child = find_text(&root.children, text, length)
            s.spare_at = mark
            skip_space(s)
            if s.at == s.end or s.at[0] != c':':
                return fail(s, SCAN_SYNTAX, "a colon")
            s.at += 1
            if child < 0:
                if skip_value(s) < 0:
                    return -1
            else:
                skip_space(s)
                if s.at == s.end:
                    return fail(s, SCAN_SYNTAX, "a value")
                node = &program.trie[child]
                s.wrong &= ~((<uint64_t> 1) << child)
                if node.role == ROLE_OBJECT:
                    forget(profile, node)
                    if s.at[0] == c'{':
                        if scan_object(s, program, profile, node) < 0:
                            return -1
                    elif s.at[0] == c'n':
                        if scan_literal(s, "null", 4) < 0:
                            return -1
                    elif skip_wrong(s, <uint32_t> child) < 0:
                        return -1
                else:
                    if scan_role(s, program, profile, node, <uint32_t> child) < 0:
                        return -1
            skip_space(s)
            if s.at < s.end and s.at[0] == c',':
                s.at += 1
                continue
            if s.at < s.end and s.at[0] == c'}':
                s.at += 1
                break
            return fail(s, SCAN_SYNTAX, "a comma or a closing brace")
    skip_space(s)
    if s.at != s.end:
        return fail(s, SCAN_SYNTAX, "nothing after the profile")
    return find_wrong(s, program, profile)


cdef int find_wrong(Scanner *s, Program program, Profile *profile) noexcept nogil:
    """The first value of a wrong type that nothing has replaced, if there is one."""
    cdef uint32_t i
    cdef const TrieNode *root = &program.trie[0]
    for i in range(root.first_child, root.first_child + root.n_children):
        if s.wrong >> i & 1:
            s.node = i
            return fail(s, SCAN_TYPE, "a text" if program.trie[i].role == ROLE_STABLE_ID
                        else "an object")
    for i in range(profile.n_overridden):
        if profile.overrides[profile.overridden[i]] == WRONG_CHOICE:
            s.node = profile.overridden[i]
            return fail(s, SCAN_STICKY, "")
    if s.overflow:
        for i in range(program.leaves.n_slots):
            if profile.kinds[i] == NUMBER and not isfinite(profile.cells[i].number):
                s.node = i
                return fail(s, SCAN_NUMBER, "")
    return 0


cdef int scan_profile(
    Scanner *scanner, Program program, Profile *profile, const char *data, size_t length,
    char *spare,
) noexcept:
    """Scan ``data`` into ``profile``, whose kinds are all MISSING and which has no overrides.

    0, or -1 with ``scanner.error`` and what it needs to be named.
    """
    cdef size_t bad
    scanner.start = data
    scanner.at = data
    scanner.end = data + length
    scanner.spare = spare
    scanner.spare_at = spare
    scanner.expected = ""
    scanner.depth = 0
    scanner.node = 0
    scanner.wrong = 0
    scanner.overflow = False
    scanner.error = SCAN_OK
    if not wv_is_ascii(data, length):
        bad = wv_utf8_error(data, length)
        if bad != length:
            scanner.at = data + bad
            return fail(scanner, SCAN_UTF8, "")
    return scan_top(scanner, program, profile)
