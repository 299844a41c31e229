"""Counting the events that `page`, `track` and `screen` rules ask about (docs/rules.md).

Conditions on events are leaves of their own table, decided by the same predicates as a profile's.
Memory: the cells of one event live in a bytearray of that event's evaluation.
"""
# cython: language_level=3

from cpython.dict cimport PyDict_Check
from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memset

from collections.abc import Mapping, Sequence

from whichvariant._core.cells cimport Cell, Profile, disown, read_value, set_leaves
from whichvariant._core.leaf_table cimport LeafTable

from whichvariant._core.cells import BadValue
from whichvariant._core.coercion import shown

MAX_EVENTS = 100_000
# Counts are compared as doubles, which hold every whole number up to here.
MAX_COUNT = 2 ** 53
EVENT_TYPES = frozenset(
    ("page", "track", "identify", "screen", "component", "alias", "group",
     "component_click", "component_hover"))


cdef inline bint is_object(object value):
    # The exact question is slow to ask, and nearly always a dict answers it.
    return PyDict_Check(value) or isinstance(value, Mapping)


cdef str place(Py_ssize_t number):
    """Where an event stands; a single one has no number."""
    return "event" if number < 0 else f"events[{number}]"


cdef class EventCounter:
    """Evaluates a program's counters on lists of events.

    ``event_error`` makes the exception for (path, message); ``clock`` gives milliseconds since the
    epoch and is called only when a counter has a window; ``parse_time`` turns a timestamp into
    milliseconds or raises ValueError.
    """

    def __init__(self, Program program not None, event_error, clock, parse_time):
        self._program = program
        self._event_error = event_error
        self._clock = clock
        self._parse_time = parse_time
        # An empty segment separates the alternatives of an event's attribute.
        paths = []
        for path in program.event_leaves.paths:
            current = []
            alternatives = [current]
            for segment in path:
                if segment:
                    current.append(segment)
                else:
                    current = []
                    alternatives.append(current)
            paths.append(tuple([tuple(alternative) for alternative in alternatives]))
        self._paths = tuple(paths)

    cdef list count(self, object events, object now):
        """How many of ``events`` (None for no events) meet each counter's conditions."""
        cdef list counts = [0] * len(self._program.counters)
        cdef Py_ssize_t number
        if events is None:
            return counts
        if isinstance(events, (str, bytes, Mapping)) or not isinstance(events, Sequence):
            raise self._event_error("events", f"expected a list, got {type(events).__name__}")
        if len(events) > MAX_EVENTS:
            raise self._event_error("events", f"more than {MAX_EVENTS} events")
        if self._program.has_windows and len(events):
            if now is None:
                now = self._clock()
            else:
                try:
                    now = self._parse_time(now)
                except ValueError as error:
                    raise self._event_error("now", str(error)) from None
        for number, event in enumerate(events):
            self._count_one(number, event, now, counts)
        return counts

    cdef list given(self, object counts):
        """Counts that someone else kept, checked: one whole number a counter."""
        cdef list checked
        if isinstance(counts, (str, bytes, Mapping)) or not isinstance(counts, Sequence):
            raise TypeError(f"counts: expected a list, got {type(counts).__name__}")
        checked = list(counts)
        if len(checked) != len(self._program.counters):
            raise ValueError(
                f"counts: {len(checked)} for {len(self._program.counters)} counters")
        for count in checked:
            if type(count) is not int or not 0 <= count <= MAX_COUNT:
                raise ValueError(f"counts: {shown(count)} is not a number of events")
        return checked

    cdef list matching(self, object event):
        """The counters whose type, name and conditions ``event`` meets, windows left aside."""
        cdef list counts = [0] * len(self._program.counters)
        cdef Py_ssize_t i
        self._count_one(-1, event, None, counts)
        return [i for i in range(len(counts)) if counts[i]]

    cdef int _count_one(
        self, Py_ssize_t number, object event, object now, list counts,
    ) except -1:
        """Add the event to the counts it meets; without ``now`` its age does not matter."""
        cdef Py_ssize_t i
        cdef bytes leaves = None
        if not is_object(event):
            raise self._event_error(
                place(number), f"expected an object, got {type(event).__name__}")
        kind = event.get("type")
        if not isinstance(kind, str) or kind not in EVENT_TYPES:
            raise self._event_error(
                f"{place(number)}.type", f"{shown(kind)} is not an event type")
        age = None
        if now is not None and self._program.has_windows and event.get("timestamp") is not None:
            try:
                age = now - self._parse_time(event["timestamp"])
            except ValueError as error:
                raise self._event_error(f"{place(number)}.timestamp", str(error)) from None
        for i, (wanted_kind, name, conditions, window) in enumerate(self._program.counters):
            if wanted_kind != kind:
                continue
            if window is not None and age is not None and age > window:
                continue
            if name is not None:
                actual = event.get("event")
                if kind == "screen":
                    properties = event.get("properties")
                    actual = properties.get("name") if is_object(properties) else None
                if actual != name:
                    continue
            if conditions and leaves is None:
                leaves = self._leaves_of(number, event)
            for leaf, wanted in conditions:
                if leaves[<Py_ssize_t> leaf] != wanted:
                    break
            else:
                counts[i] += 1
        return 0

    cdef bytes _leaves_of(self, Py_ssize_t number, object event):
        """A byte for every condition: whether it is true of ``event``."""
        cdef LeafTable table = self._program.event_leaves
        cdef Profile cells
        cdef uint32_t slot
        cdef bytearray room = bytearray((table.n_slots + 2) * (1 + sizeof(Cell)))
        cdef bytearray leaf = bytearray(table.n_leaves + 1)
        cdef uint8_t[::1] view = room
        cdef uint8_t[::1] leaf_view = leaf
        memset(&cells, 0, sizeof(Profile))
        cells.cells = <Cell *> ((<size_t> &view[0] + 15) & ~(<size_t> 15))
        cells.kinds = <uint8_t *> (cells.cells + table.n_slots)
        try:
            for slot in range(table.n_slots):
                for path in self._paths[slot]:
                    value = event
                    for segment in path:
                        if not is_object(value) or segment not in value:
                            break
                        value = value[segment]
                    else:
                        try:
                            read_value(&cells, table, slot, value)
                        except BadValue as error:
                            raise self._event_error(
                                f"{place(number)}.{'.'.join(path)}", error.args[1]) from None
                        break
            set_leaves(table, &cells, &leaf_view[0])
        finally:
            disown(&cells, table.n_slots)
        return bytes(leaf)
