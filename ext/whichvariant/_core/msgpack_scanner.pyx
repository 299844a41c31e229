"""A complete msgpack scanner that fills the columns of a layout and checks, but skips, the rest.

A record is one map. It means what the same values mean as Python objects (`Engine.select`):

- integers and floats of every width are numbers; one that is not finite is an error where a rule
  reads it;
- texts (``str``) must be UTF-8, all of them, read or not;
- binary data and extension types, timestamps among them, are no JSON values: an error where a rule
  reads one, and ignored elsewhere;
- keys that are not texts name nothing; of repeated keys the last counts.

Memory: nothing is owned; cells point into the input.
"""
# cython: language_level=3

from libc.math cimport floor, isfinite
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memset

from whichvariant._core.cells cimport Cell, Profile
from whichvariant._core.json_grammar cimport MAX_WATCHED
from whichvariant._core.leaves cimport find_text
from whichvariant._core.msgpack_grammar cimport (
    IS_FALSE, IS_LIST, IS_MAP, IS_NIL, IS_NUMBER, IS_OTHER, IS_TEXT, IS_TRUE, MSG_BROKEN, MSG_OK,
    Head, is_utf8, pass_value, read_head,
)
from whichvariant._core.predicates cimport (
    ARRAY_RAW, FALSE, MISSING, NULLED, NUMBER, OBJECT, TEXT, TRUE,
)
from whichvariant._core.shredder cimport (
    FAILED, HAS_DATA, HAS_DEVICE, HAS_EVENTS, HAS_ID, HAS_PROFILE, PLACED, REJECTED, TAKEN, Fate,
    Shredder, is_device, is_request_key, is_text,
)
from whichvariant._core.trie cimport (
    ROLE_OBJECT, ROLE_STABLE_ID, ROLE_STICKY, ROLE_WATCHED, ScanTarget, TrieNode,
)

from whichvariant._core.coercion import json_text

# A value that no rule can read: binary data and extensions.
cdef enum:
    UNREADABLE = 251

cdef int32_t NO_CHOICE = -2
cdef int32_t WRONG_CHOICE = -3


# ---- into cells ---------------------------------------------------------------------------------

cdef struct Reader:
    const ScanTarget *target
    Profile *profile
    const char *at
    const char *end
    uint64_t wrong            # a bit per child of the profile whose value has the wrong type
    int error
    uint32_t depth            # of the container that is being read
    bint has_stable_id
    const char *watched[MAX_WATCHED]
    size_t watched_length[MAX_WATCHED]


cdef inline void skip(Reader *r) noexcept nogil:
    r.at = pass_value(r.at, r.end, r.depth, &r.error)


cdef inline int64_t read_child(Reader *r, const TrieNode *node) noexcept nogil:
    """A key; the child of ``node`` that it names, or -1. The value comes next."""
    cdef Head head
    cdef const char *start = r.at
    r.at = read_head(r.at, r.end, &head)
    if head.shape != IS_TEXT:
        r.at = start
        skip(r)
        return -1
    if not is_utf8(head.text, head.count):
        r.error = MSG_BROKEN
        return -1
    return find_text(&node.children, head.text, head.count)


cdef void read_slot(Reader *r, const TrieNode *node) noexcept nogil:
    """A value that a rule reads, or that leads to one."""
    cdef Head head
    cdef const char *start = r.at
    cdef const char *rest = read_head(r.at, r.end, &head)
    cdef uint8_t kind = UNREADABLE
    cdef Cell *cell
    if node.end_slot > node.first_slot:
        memset(r.profile.kinds + node.first_slot, MISSING, node.end_slot - node.first_slot)
    if head.shape == IS_MAP and node.n_children:
        r.at = rest
        read_map(r, node, head.count)
        kind = OBJECT
    else:
        skip(r)
        if head.shape == IS_MAP:
            kind = OBJECT
        elif head.shape == IS_LIST:
            kind = ARRAY_RAW
        elif head.shape == IS_TEXT:
            kind = TEXT
        elif head.shape == IS_NUMBER:
            kind = NUMBER
        elif head.shape == IS_TRUE:
            kind = TRUE
        elif head.shape == IS_FALSE:
            kind = FALSE
        elif head.shape == IS_NIL:
            kind = NULLED
    if node.slot >= 0:
        cell = &r.profile.cells[node.slot]
        cell.number = head.number
        cell.text = head.text if kind == TEXT else start
        cell.length = head.count if kind == TEXT else <size_t> (r.at - start)
        r.profile.kinds[node.slot] = kind


cdef void read_map(Reader *r, const TrieNode *node, uint64_t count) noexcept nogil:
    """The pairs of a map with children that matter."""
    cdef int64_t child
    r.depth += 1
    while count:
        child = read_child(r, node)
        if child < 0:
            skip(r)
        else:
            read_slot(r, &r.target.trie[child])
        count -= 1
    r.depth -= 1


cdef void read_sticky_map(Reader *r, uint64_t count) noexcept nogil:
    cdef Profile *profile = r.profile
    cdef Head head
    cdef int64_t row
    cdef int32_t choice
    r.depth += 1
    while count:
        r.at = read_head(r.at, r.end, &head)
        row = -1
        if head.shape == IS_TEXT:
            row = find_text(r.target.sticky_table, head.text, head.count)
            if not is_utf8(head.text, head.count):
                r.error = MSG_BROKEN
        elif head.shape == IS_LIST or head.shape == IS_MAP:
            # A key of several parts: msgpack allows it, and it names nothing.
            row = <int64_t> (head.count if head.shape == IS_LIST else 2 * head.count)
            while row:
                skip(r)
                row -= 1
            row = -1
        if row >= 0:
            read_head(r.at, r.end, &head)
            choice = WRONG_CHOICE
            if head.shape == IS_NUMBER and isfinite(head.number) and (
                    head.is_whole or head.number == floor(head.number)):
                choice = NO_CHOICE
                if 0 <= head.number <= <double> r.target.highest[row]:
                    choice = <int32_t> head.number
            if profile.overrides[row] == -1:
                profile.overridden[profile.n_overridden] = <uint32_t> row
                profile.n_overridden += 1
            profile.overrides[row] = choice
        skip(r)
        count -= 1
    r.depth -= 1


cdef void read_part(Reader *r, uint32_t number) noexcept nogil:
    """The value of the profile's child ``number``."""
    cdef const TrieNode *node = &r.target.trie[number]
    cdef const TrieNode *root = &r.target.trie[0]
    cdef const char *start = r.at
    cdef Profile *profile = r.profile
    cdef Head head
    cdef uint32_t i
    cdef const char *rest = read_head(r.at, r.end, &head)
    r.wrong &= ~((<uint64_t> 1) << number)
    if node.role == ROLE_OBJECT:
        if node.end_slot > node.first_slot:
            memset(profile.kinds + node.first_slot, MISSING, node.end_slot - node.first_slot)
        if head.shape == IS_MAP:
            r.at = rest
            read_map(r, node, head.count)
            return
        if head.shape != IS_NIL:
            r.wrong |= (<uint64_t> 1) << number
    elif node.role == ROLE_STICKY:
        for i in range(profile.n_overridden):
            profile.overrides[profile.overridden[i]] = -1
        profile.n_overridden = 0
        if head.shape == IS_MAP:
            r.at = rest
            read_sticky_map(r, head.count)
            return
        if head.shape != IS_NIL:
            r.wrong |= (<uint64_t> 1) << number
    elif node.role == ROLE_STABLE_ID:
        r.has_stable_id = True
        profile.stable_id = NULL
        if head.shape == IS_TEXT:
            profile.stable_id = head.text
            profile.stable_id_length = head.count
        elif head.shape != IS_NIL:
            r.wrong |= (<uint64_t> 1) << number
    skip(r)
    if node.role == ROLE_WATCHED:
        number -= root.n_children - r.target.n_watched + 1
        r.watched[number] = start
        r.watched_length[number] = <size_t> (r.at - start)


cdef bint read_profile(
    Shredder shredder, Reader *r, const char *data, size_t length,
) noexcept nogil:
    """A whole map of profile fields into the cells; whether it is sound but for wrong types."""
    cdef Head head
    cdef int64_t child
    cdef uint64_t count
    memset(r, 0, sizeof(Reader))
    shredder.forget()
    r.depth = 1
    r.target = &shredder.layout.target
    r.profile = &shredder.profile
    r.at = data
    r.end = data + length
    r.at = read_head(r.at, r.end, &head)
    if head.shape != IS_MAP:
        return False
    count = head.count
    while count:
        child = read_child(r, &r.target.trie[0])
        if child < 0:
            skip(r)
        else:
            read_part(r, <uint32_t> child)
        count -= 1
    return r.error == MSG_OK


cdef bint is_sound(Shredder shredder, Reader *r) noexcept nogil:
    """Whether all values have the types that they must have."""
    cdef Profile *profile = &shredder.profile
    cdef uint32_t i
    if r.wrong:
        return False
    for i in range(profile.n_overridden):
        if profile.overrides[profile.overridden[i]] == WRONG_CHOICE:
            return False
    for i in range(r.target.n_slots):
        if profile.kinds[i] == UNREADABLE:
            return False
        if profile.kinds[i] == NUMBER and not isfinite(profile.cells[i].number):
            return False
    return True


cdef Fate take_msgpack(Shredder shredder, const char *data, size_t length) noexcept nogil:
    """A record of any shape into the next row of the columns."""
    cdef Reader r
    cdef Reader request
    cdef Head head
    cdef Fate fate = TAKEN
    cdef const char *device = NULL
    cdef const char *p = data
    cdef const char *value = data
    cdef const char *inner = NULL
    cdef size_t device_length = 0
    cdef size_t inner_length = 0
    cdef uint64_t count
    cdef int error = MSG_OK
    if not read_profile(shredder, &r, data, length):
        return REJECTED
    request = r
    memset(&head, 0, sizeof(Head))
    if r.watched[HAS_DATA] != NULL:
        p = read_head(r.watched[HAS_DATA], r.end, &head)
    if head.shape == IS_MAP and r.watched[HAS_ID] == NULL:
        request.watched[HAS_EVENTS] = NULL
        count = head.count
        while count:
            value = read_head(p, r.end, &head)
            if head.shape == IS_TEXT and is_text(head.text, head.count, "profile", 7):
                inner = value
            p = pass_value(p, r.end, 0, &error)
            p = pass_value(p, r.end, 0, &error)
            if inner == value:
                inner_length = <size_t> (p - inner)
            count -= 1
        if inner == NULL:
            return REJECTED
    elif (r.watched[HAS_PROFILE] != NULL and r.watched[HAS_ID] == NULL
            and not r.has_stable_id):
        inner = r.watched[HAS_PROFILE]
        inner_length = r.watched_length[HAS_PROFILE]
        p = read_head(data, r.end, &head)
        count = head.count
        while count:
            value = read_head(p, r.end, &head)
            if head.shape != IS_TEXT or not is_request_key(head.text, head.count):
                return REJECTED
            p = pass_value(value, r.end, 0, &error)
            count -= 1
        if r.watched[HAS_DEVICE] != NULL:
            read_head(r.watched[HAS_DEVICE], r.end, &head)
            if head.shape != IS_NIL:
                if head.shape != IS_TEXT or not is_device(head.text, head.count):
                    return REJECTED
                device = head.text
                device_length = head.count
    else:
        request.watched[HAS_EVENTS] = NULL
    if inner != NULL and not read_profile(shredder, &r, inner, inner_length):
        return REJECTED
    if not is_sound(shredder, &r):
        return REJECTED
    shredder.clear_counts()
    if request.watched[HAS_EVENTS] != NULL:
        read_head(request.watched[HAS_EVENTS], request.end, &head)
        if head.shape == IS_LIST:
            fate = count_events(shredder, request.watched[HAS_EVENTS], request.end)
        elif head.shape != IS_NIL:
            return REJECTED
    if fate == TAKEN:
        fate = place_arrays(shredder, r.end)
    if fate == TAKEN:
        fate = shredder.put_row(device, device_length)
    return fate


# ---- through Python -----------------------------------------------------------------------------

cdef object python_value(const char **p, const char *end):
    """One checked value as a Python object; what is no JSON value as bytes."""
    cdef Head head
    cdef uint64_t _i
    p[0] = read_head(p[0], end, &head)
    if head.shape == IS_NIL:
        return None
    if head.shape == IS_FALSE or head.shape == IS_TRUE:
        return head.shape == IS_TRUE
    if head.shape == IS_NUMBER:
        if not head.is_whole:
            return head.number
        return head.whole if head.number < 9.3e18 and head.whole != -1 else int(head.number)
    if head.shape == IS_TEXT:
        return head.text[:head.count].decode("utf-8")
    if head.shape == IS_OTHER:
        return head.text[:head.count]
    if head.shape == IS_LIST:
        return [python_value(p, end) for _i in range(head.count)]
    found = {}
    for _i in range(head.count):
        key = python_value(p, end)
        value = python_value(p, end)
        if isinstance(key, str):
            found[key] = value
    return found


cdef Fate count_events(
    Shredder shredder, const char *events, const char *end,
) noexcept nogil:
    cdef Fate fate
    with gil:
        try:
            fate = shredder.count_list(python_value(&events, end))
        except BaseException as error:
            shredder.failure = error
            fate = FAILED
    return fate


cdef Fate place_arrays(Shredder shredder, const char *end) noexcept nogil:
    """The texts of lists that rules read."""
    cdef uint32_t c
    cdef const char *at
    cdef Fate fate = TAKEN
    for c in range(shredder.layout.n_columns):
        if shredder.profile.kinds[c] != ARRAY_RAW:
            continue
        at = shredder.profile.cells[c].text
        with gil:
            try:
                text = json_text(python_value(&at, end)).encode("utf-8")
                if shredder.columns.put_text(
                        c, shredder.columns.n_rows, <const char *> text, len(text)) < 0:
                    fate = FAILED
            except (TypeError, ValueError):
                fate = REJECTED
            except BaseException as error:
                shredder.failure = error
                fate = FAILED
        if fate != TAKEN:
            return fate
        shredder.profile.kinds[c] = PLACED
    return TAKEN
