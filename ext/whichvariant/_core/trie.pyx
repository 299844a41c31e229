"""The profile's objects as a tree that leads to every slot: what readers and scanners follow.

Memory: nodes and texts live in the arena that the caller gives.
"""
# cython: language_level=3

from cpython.ref cimport PyObject
from libc.stdint cimport uint32_t

import sys

from whichvariant._core.leaf_table cimport Arena, build_text_table

# The segments that a path may have.
MAX_PATH = 256

# Slots that no profile holds: the device comes from the request, counts from events.
DEVICE = ("device", "type")
ACTIVITY = "activity"

# The profile's own fields. Traits, location and session come first; the reader relies on it.
PROFILE_ROLES = {
    "traits": ROLE_OBJECT, "location": ROLE_OBJECT, "session": ROLE_OBJECT,
    "stableId": ROLE_STABLE_ID, "stickyVariants": ROLE_STICKY, "audiences": ROLE_AUDIENCES,
}

# What else the members of a whole record are looked at for.
RECORD_ROLES = {
    **PROFILE_ROLES, "id": ROLE_WATCHED, "profile": ROLE_WATCHED, "data": ROLE_WATCHED,
    "device": ROLE_WATCHED, "events": ROLE_WATCHED,
}


cdef TrieNode *build_trie(
    object paths, dict roles, Arena arena, uint32_t *n_trie,
) except NULL:
    """The tree of ``paths`` (tuples of str, ascending), breadth first; node 0 is the profile.

    ``roles`` are the profile's own fields, which become the root's children in this order.
    ValueError for a path that is none.
    """
    cdef dict root = {key: {} for key in roles}
    cdef dict node
    cdef uint32_t s, i, child
    cdef uint32_t n_slots = <uint32_t> len(paths)
    cdef size_t length
    cdef TrieNode *trie
    cdef TrieNode *here
    for s, path in enumerate(paths):
        if not 2 <= len(path) <= MAX_PATH or not all([isinstance(key, str) for key in path]):
            raise ValueError("bad slot path")
        if path == DEVICE or path[0] == ACTIVITY:
            continue
        if roles.get(path[0]) != ROLE_OBJECT:
            raise ValueError("a slot outside the profile")
        node = root
        for key in path:
            node = node.setdefault(key, {})
        # None is no JSON key, so it can carry the slot among the children.
        node[None] = s
    queue = [("", root)]
    parents = []
    i = 0
    while i < len(queue):
        node = queue[i][1]
        keys = [key for key in node if key is not None]
        parents.append((len(queue), len(keys)))
        queue.extend((sys.intern(key), node[key]) for key in keys)
        i += 1
    n_trie[0] = <uint32_t> len(queue)
    trie = <TrieNode *> arena.take(n_trie[0], sizeof(TrieNode))
    for i in range(n_trie[0]):
        name, node = queue[i]
        here = &trie[i]
        arena._objects.append(name)
        here.key = <PyObject *> name
        here.text = arena.text(name, &length)
        here.length = <uint32_t> length
        here.slot = node.get(None, -1)
        here.first_child, here.n_children = parents[i]
        here.role = roles[name] if 1 <= i <= len(roles) else ROLE_NONE
        build_text_table(
            &here.children, [key for key in node if key is not None],
            list(range(here.first_child, here.first_child + here.n_children)), arena)
    # Slots ascend by path, so those below a node are one range; children come after parents.
    for i in range(n_trie[0] - 1, -1, -1):
        here = &trie[i]
        here.first_slot = here.slot if here.slot >= 0 else n_slots
        here.end_slot = here.slot + 1 if here.slot >= 0 else 0
        for child in range(here.first_child, here.first_child + here.n_children):
            here.first_slot = min(here.first_slot, trie[child].first_slot)
            here.end_slot = max(here.end_slot, trie[child].end_slot)
    return trie
