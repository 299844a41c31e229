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
from libc.string cimport memcpy, memset

from whichvariant._core.cells cimport Cell, Profile
from whichvariant._core.json_grammar cimport (
    SCAN_NUMBER, SCAN_OK, SCAN_STICKY, SCAN_SYNTAX, SCAN_TYPE, SCAN_UTF8, Scanner, fail,
    next_member, open_container, read_key, scan_literal, scan_number, scan_text, skip_container,
    skip_space, skip_value,
)
from whichvariant._core.leaves cimport find_text
from whichvariant._core.predicates cimport (
    ARRAY_RAW, FALSE, MISSING, NULLED, NUMBER, OBJECT, TEXT, TRUE, wv_parse_number,
)
from whichvariant._core.trie cimport (
    ROLE_AUDIENCES, ROLE_OBJECT, ROLE_STABLE_ID, ROLE_STICKY, ROLE_WATCHED, ScanTarget, TrieNode,
)

cdef extern from "text.h" nogil:
    bint wv_is_ascii(const char *p, size_t n)
    size_t wv_utf8_error(const char *text, size_t n)

cdef extern from "Python.h":
    double PyOS_string_to_double(const char *s, char **endptr, PyObject *overflow) except? -1.0

# Overrides of experiences that are listed as overridden, and yet have no choice. -1 is: not listed.
cdef int32_t NO_CHOICE = -2
cdef int32_t WRONG_CHOICE = -3


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


cdef inline void forget(Profile *profile, const TrieNode *node) noexcept nogil:
    """Clear every slot at or below ``node``."""
    if node.end_slot > node.first_slot:
        memset(profile.kinds + node.first_slot, MISSING, node.end_slot - node.first_slot)


cdef int skip_wrong(Scanner *s, uint32_t number) noexcept nogil:
    """Pass over a value that cannot stand for the profile's child ``number``, and note it."""
    s.wrong |= (<uint64_t> 1) << number
    return skip_value(s)


cdef int scan_sticky(
    Scanner *s, const ScanTarget *target, Profile *profile, uint32_t number,
) noexcept nogil:
    """The stickyVariants object: choices for sticky experiences of this program; null is none."""
    cdef const char *text
    cdef size_t length
    cdef int64_t row
    cdef int more
    cdef double value
    cdef uint32_t i
    for i in range(profile.n_overridden):
        profile.overrides[profile.overridden[i]] = -1
    profile.n_overridden = 0
    if s.at[0] == c'n':
        return scan_literal(s, "null", 4)
    if s.at[0] != c'{':
        return skip_wrong(s, number)
    more = open_container(s, c'}')
    while more > 0:
        if read_key(s, &text, &length) < 0:
            return -1
        row = find_text(target.sticky_table, text, length)
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
                    if 0 <= value <= <double> target.highest[row]:
                        profile.overrides[row] = <int32_t> value
            elif skip_value(s) < 0:
                return -1
        more = next_member(s, c'}')
    return more


cdef int scan_role(
    Scanner *s, const ScanTarget *target, Profile *profile, const TrieNode *node, uint32_t number,
) noexcept nogil:
    """One of the profile's own fields, `s.at` being at its value."""
    cdef const char *text
    cdef size_t length
    if node.role == ROLE_STICKY:
        return scan_sticky(s, target, profile, number)
    if node.role == ROLE_AUDIENCES:
        text = s.at
        if skip_value(s) < 0:
            return -1
        profile.audiences = text
        profile.audiences_length = <size_t> (s.at - text)
        return 0
    if node.role == ROLE_WATCHED:
        text = s.at
        if skip_value(s) < 0:
            return -1
        number -= target.trie[0].n_children - target.n_watched + 1
        s.watched[number] = text
        s.watched_length[number] = <size_t> (s.at - text)
        return 0
    # stableId: a text; null is as good as absent.
    s.has_stable_id = True
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
    Scanner *s, const ScanTarget *target, Profile *profile, const TrieNode *node,
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
            if scan_object(s, target, profile, node) < 0:
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
    Scanner *s, const ScanTarget *target, Profile *profile, const TrieNode *node,
) noexcept nogil:
    """An object with children that matter, `s.at` being at its brace; not the profile itself."""
    cdef const char *text
    cdef size_t length
    cdef int64_t child
    cdef int more
    more = open_container(s, c'}')
    while more > 0:
        if read_key(s, &text, &length) < 0:
            return -1
        child = find_text(&node.children, text, length)
        if child < 0:
            if skip_value(s) < 0:
                return -1
        else:
            skip_space(s)
            if s.at == s.end:
                return fail(s, SCAN_SYNTAX, "a value")
            if scan_slot(s, target, profile, &target.trie[child]) < 0:
                return -1
        more = next_member(s, c'}')
    return more


cdef int scan_part(
    Scanner *s, const ScanTarget *target, Profile *profile, uint32_t number,
) noexcept nogil:
    """The value of the profile's child ``number``, `s.at` being at it."""
    cdef const TrieNode *node = &target.trie[number]
    s.wrong &= ~((<uint64_t> 1) << number)
    if node.role != ROLE_OBJECT:
        return scan_role(s, target, profile, node, number)
    forget(profile, node)
    if s.at[0] == c'{':
        return scan_object(s, target, profile, node)
    if s.at[0] == c'n':
        return scan_literal(s, "null", 4)
    return skip_wrong(s, number)


cdef int scan_top(Scanner *s, const ScanTarget *target, Profile *profile) noexcept nogil:
    cdef const char *text
    cdef size_t length
    cdef int64_t child
    cdef int more
    cdef const TrieNode *root = &target.trie[0]
    skip_space(s)
    if s.at == s.end or s.at[0] != c'{':
        return fail(s, SCAN_SYNTAX, "an object")
    more = open_container(s, c'}')
    while more > 0:
        if read_key(s, &text, &length) < 0:
            return -1
        child = find_text(&root.children, text, length)
        if child < 0:
            if skip_value(s) < 0:
                return -1
        else:
            skip_space(s)
            if s.at == s.end:
                return fail(s, SCAN_SYNTAX, "a value")
            if scan_part(s, target, profile, <uint32_t> child) < 0:
                return -1
        more = next_member(s, c'}')
    if more < 0:
        return -1
    skip_space(s)
    if s.at != s.end:
        return fail(s, SCAN_SYNTAX, "nothing after the profile")
    return find_wrong(s, target, profile)


cdef int find_wrong(Scanner *s, const ScanTarget *target, Profile *profile) noexcept nogil:
    """The first value of a wrong type that nothing has replaced, if there is one."""
    cdef uint32_t i
    cdef const TrieNode *root = &target.trie[0]
    for i in range(root.first_child, root.first_child + root.n_children):
        if s.wrong >> i & 1:
            s.node = i
            return fail(s, SCAN_TYPE, "a text" if target.trie[i].role == ROLE_STABLE_ID
                        else "an object")
    for i in range(profile.n_overridden):
        if profile.overrides[profile.overridden[i]] == WRONG_CHOICE:
            s.node = profile.overridden[i]
            return fail(s, SCAN_STICKY, "")
    if s.overflow:
        for i in range(target.n_slots):
            if profile.kinds[i] == NUMBER and not isfinite(profile.cells[i].number):
                s.node = i
                return fail(s, SCAN_NUMBER, "")
    return 0


cdef int scan_profile(
    Scanner *scanner, const ScanTarget *target, Profile *profile, const char *data, size_t length,
    char *spare,
) noexcept nogil:
    """Scan ``data`` into ``profile``, whose kinds are all MISSING and which has no overrides.

    0, or -1 with ``scanner.error`` and what it needs to be named.
    """
    cdef size_t bad
    cdef uint32_t i
    for i in range(target.n_watched):
        scanner.watched[i] = NULL
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
    scanner.has_stable_id = False
    scanner.error = SCAN_OK
    if not wv_is_ascii(data, length):
        bad = wv_utf8_error(data, length)
        if bad != length:
            scanner.at = data + bad
            return fail(scanner, SCAN_UTF8, "")
    return scan_top(scanner, target, profile)
