"""One profile through a program: the online driver.

The steps are: read the attributes that rules ask for into cells (from Python objects or from JSON
bytes), count activity, set the bytes of true leaves, walk the audiences' decision graphs, compute
the draws of everyone eligible, and list the chosen records. Source: SEMANTICS sections 1, 3, 4.

Memory: an `Evaluator` owns its `Scratch` blocks. One is kept ready; a call takes it and puts it
back, and a call that finds none (another thread, or re-entry through a mapping's own code) makes
its own. The GIL guards the exchange. Answers hold references to the program's shared records.
"""
# cython: language_level=3

from cpython.bytes cimport PyBytes_AS_STRING
from cpython.dict cimport PyDict_Check, PyDict_GetItemWithError
from cpython.ref cimport PyObject
from cpython.unicode cimport (
    PyUnicode_AsUTF8AndSize, PyUnicode_Check, PyUnicode_FromObject,
)
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memset

import json
from collections.abc import Mapping, Sequence

from whichvariant._core.activity cimport EventCounter
from whichvariant._core.allocation cimport (
    choose_records, list_among, list_eligible, list_everyone, list_matching, walk_audiences,
)
from whichvariant._core.answers cimport make_json, make_selection
from whichvariant._core.cells cimport (
    Profile, cell_values, clear_profile, read_children, read_sticky, read_value, set_leaves,
)
from whichvariant._core.draws cimport draw_scanned, draw_text
from whichvariant._core.json_profile cimport scan_json
from whichvariant._core.leaves cimport find_text
from whichvariant._core.predicates cimport NUMBER
from whichvariant._core.program cimport Program
from whichvariant._core.scratch cimport Scratch, free_scratch, new_scratch
from whichvariant._core.trie cimport TrieNode

from whichvariant._core.cells import BadValue
from whichvariant._core.coercion import shown

MAX_PROFILE_BYTES = 64 * 1024 * 1024
DEVICES = frozenset(("desktop", "mobile", "tablet", "unknown"))
RULES = "rules"

cdef size_t LONGEST_PROFILE = MAX_PROFILE_BYTES
# A scratch that grew beyond this for one unusual profile is not kept.
cdef size_t KEEP_BYTES = 1 << 20


cdef str joined(path):
    return ".".join(path)


cdef class Evaluator:
    """Evaluates profiles against one program. Immutable, safe to share between threads.

    Parameters
    ----------
    program : Program
    profile_error, event_error : callables (path, message) -> Exception
    clock : callable () -> int
        Milliseconds since the epoch; called only when a rule has a window and events are given.
    parse_time : callable (value) -> int
        A timestamp in milliseconds from a number, a text or a datetime; ValueError otherwise.
    """

    cdef readonly Program program
    cdef object _profile_error
    cdef EventCounter _events
    cdef bint _has_counters
    cdef Scratch *_ready

    def __cinit__(self, *args, **kwargs):
        self._ready = NULL

    def __init__(self, Program program not None, profile_error, event_error, clock, parse_time):
        if self.program is not None:
            raise TypeError("an evaluator is immutable")
        self._has_counters = len(program.counters) > 0
        self._profile_error = profile_error
        self._events = EventCounter(program, event_error, clock, parse_time)
        self.program = program

    def __dealloc__(self):
        free_scratch(self._ready)

    # ---- scratch ------------------------------------------------------------------------------

    cdef inline Scratch *_take(self) except NULL:
        cdef Scratch *scratch = self._ready
        if scratch == NULL:
            if self.program is None:
                raise TypeError("the engine was not initialised")
            return new_scratch(self.program)
        self._ready = NULL
        return scratch

    cdef inline void _put(self, Scratch *scratch) noexcept:
        clear_profile(&scratch.profile, self.program.leaves.n_slots)
        if self._ready == NULL and scratch.spare_room <= KEEP_BYTES:
            self._ready = scratch
        else:
            free_scratch(scratch)

    # ---- a profile as Python objects ----------------------------------------------------------

    cdef dict _object(self, object profile):
        if PyDict_Check(profile):
            return <dict> profile
        if isinstance(profile, Mapping):
            return dict(profile)
        raise self._profile_error(
            "", f"the profile must be an object, got {type(profile).__name__}")

    cdef object _stable_id(self, dict profile):
        cdef PyObject *found = PyDict_GetItemWithError(profile, "stableId")
        if found == NULL or <object> found is None:
            raise self._profile_error("stableId", "missing")
        if not PyUnicode_Check(<object> found):
            raise self._profile_error(
                "stableId", f"expected a text, got {type(<object> found).__name__}")
        # A subclass of str is as good as its text.
        return PyUnicode_FromObject(<object> found)

    cdef int _read(self, Scratch *scratch, dict profile) except -1:
        """Cells and sticky choices from a dict in the API's shape."""
        cdef Program program = self.program
        cdef const TrieNode *root = &program.trie[0]
        cdef const TrieNode *child
        cdef PyObject *found
        cdef object value
        cdef uint32_t i
        # The first three children of the profile are traits, location and session.
        for i in range(root.first_child, root.first_child + 3):
            child = &program.trie[i]
            found = PyDict_GetItemWithError(profile, <object> child.key)
            if found == NULL or <object> found is None:
                continue
            value = <object> found
            if PyDict_Check(value):
                if child.n_children:
                    read_children(program, child, value, &scratch.profile)
            elif isinstance(value, Mapping):
                read_children(program, child, dict(value), &scratch.profile)
            else:
                raise BadValue(
                    (<object> child.key,), f"expected an object, got {type(value).__name__}")
        found = PyDict_GetItemWithError(profile, "stickyVariants")
        if found != NULL and <object> found is not None:
            read_sticky(program, &scratch.profile, <object> found)
        return 0

    cdef list _given_of(self, dict profile):
        """The profile's own audiences, to be trusted."""
        given = profile.get("audiences")
        if given is None:
            return []
        if isinstance(given, (str, bytes)) or not isinstance(given, Sequence):
            raise self._profile_error(
                "audiences", f"expected a list, got {type(given).__name__}")
        return list(given)

    # ---- what both forms of a profile share ---------------------------------------------------

    cdef int _set_device(self, Scratch *scratch, object device) except -1:
        if not isinstance(device, str) or device not in DEVICES:
            raise self._profile_error(
                "device",
                f"{shown(device)} is not one of desktop, mobile, tablet, unknown")
        if self.program.device_slot < self.program.leaves.n_slots:
            read_value(&scratch.profile, self.program.leaves, self.program.device_slot, device)
        return 0

    cdef int _set_activity(
        self, Scratch *scratch, object events, object counts, object now,
    ) except -1:
        cdef uint32_t slot
        cdef Py_ssize_t i
        if counts is None:
            counts = self._events.count(events, now)
        elif events is None:
            counts = self._events.given(counts)
        else:
            raise ValueError("either events or counts, not both")
        for i, count in enumerate(counts):
            slot = self.program.counter_slots[i]
            scratch.profile.cells[slot].number = count
            scratch.profile.kinds[slot] = NUMBER
        return 0

    cdef int _trust(self, Scratch *scratch, list given) except -1:
        """Audience bytes from a list of ids; ids that the configuration lacks count for nothing."""
        cdef Program program = self.program
        cdef const char *text
        cdef Py_ssize_t length
        cdef int64_t found
        memset(scratch.outcome.audience, 0, program.n_audiences)
        for i, audience in enumerate(given):
            if not PyUnicode_Check(audience):
                raise self._profile_error(
                    f"audiences[{i}]", f"expected a text, got {type(audience).__name__}")
            try:
                text = PyUnicode_AsUTF8AndSize(audience, &length)
            except UnicodeEncodeError:
                raise self._profile_error(
                    f"audiences[{i}]", "a text with a lone surrogate") from None
            found = find_text(&program.audience_table, text, <size_t> length)
            if found >= 0:
                scratch.outcome.audience[found] = 1
        return 0

    cdef inline int _describe(
        self, Scratch *scratch, object device, object events, object counts, object now,
    ) except -1:
        """What is not in the profile, into cells as well."""
        if device is not None:
            self._set_device(scratch, device)
        if self._has_counters or events is not None or counts is not None:
            self._set_activity(scratch, events, counts, now)
        return 0

    cdef inline int _match(
        self, Scratch *scratch, object device, object events, object counts, object now,
        list given,
    ) except -1:
        """From cells to matching audiences; ``given`` is None or the ids to trust."""
        cdef Program program = self.program
        self._describe(scratch, device, events, counts, now)
        if given is None:
            set_leaves(program.leaves, &scratch.profile, scratch.leaf)
            walk_audiences(program, scratch.leaf, &scratch.outcome)
        else:
            self._trust(scratch, given)
        list_matching(program, &scratch.outcome)
        return 0

    def select(self, profile, *, device=None, events=None, counts=None, audiences=RULES, now=None,
               bint fresh=False):
        """Decide for one visitor (SEMANTICS sections 1, 3 and 4).

        Parameters
        ----------
        profile : mapping
            A profile in the API's shape. ``stableId`` is needed; ``traits``, ``location``,
            ``session``, ``stickyVariants`` and ``audiences`` are optional, and null is as good as
            absent. Only what the rules read is looked at.
        device : {"desktop", "mobile", "tablet", "unknown"}, optional
            For device rules; left out, the device is a missing attribute.
        events : sequence of mappings, optional
            Events in the API's shape, for page, track and screen rules; left out, counts are 0.
        counts : sequence of int, optional
            Instead of events, how many of them meet each counter, in the order of `counters`.
        audiences : {"rules", "given"}
            Evaluate the rules, or trust ``profile["audiences"]`` as the browser SDK does.
        now : int, datetime or str, optional
            Milliseconds since the epoch, an aware datetime, or ISO 8601; for rules with a window.
            By default the clock.
        fresh : bool
            Give the caller dicts of its own, to change at will, instead of shared read-only ones.

        Returns
        -------
        Selection

        Raises
        ------
        ProfileError, EventError
            With the path of the value that cannot be used.
        """
        cdef Scratch *scratch
        cdef list given = None
        cdef dict visitor = self._object(profile)
        if audiences is not RULES and self._trusts(audiences):
            given = self._given_of(visitor)
        stable_id = self._stable_id(visitor)
        scratch = self._take()
        try:
            self._read(scratch, visitor)
            self._match(scratch, device, events, counts, now, given)
            list_eligible(self.program, &scratch.outcome)
            draw_text(self.program, scratch, stable_id, self._profile_error)
            choose_records(self.program, scratch.profile.overrides, &scratch.outcome)
            return make_selection(self.program, &scratch.outcome, given, fresh)
        except BadValue as error:
            raise self._profile_error(joined(error.args[0]), error.args[1]) from None
        finally:
            self._put(scratch)

    def first_record(self, profile, tuple among not None, *, device=None, events=None,
                     counts=None, now=None):
        """The number of the first record of `select` that is of one of a few experiences, or -1.

        The same decision for fewer: no other audience is walked, nothing else is drawn. ``among``
        are numbers of experiences, strictly ascending: their positions in `experience_ids`. Records
        are numbered experience by experience, each from index 0 to its highest.

        The rest is as in `select`; ValueError for numbers of no experience, or out of order.
        """
        cdef Scratch *scratch
        cdef Program program = self.program
        cdef dict visitor = self._object(profile)
        cdef uint32_t n = 0
        cdef int64_t number, before = -1
        stable_id = self._stable_id(visitor)
        scratch = self._take()
        try:
            for item in among:
                number = item
                if not before < number < <int64_t> program.n_experiences:
                    raise ValueError("among: not numbers of experiences in ascending order")
                # Ascending and below the number of experiences: there is room for each.
                scratch.outcome.row[n] = <uint32_t> number
                n += 1
                before = number
            self._read(scratch, visitor)
            self._describe(scratch, device, events, counts, now)
            set_leaves(program.leaves, &scratch.profile, scratch.leaf)
            list_among(program, scratch.leaf, scratch.outcome.row, n, &scratch.outcome)
            draw_text(program, scratch, stable_id, self._profile_error)
            choose_records(program, scratch.profile.overrides, &scratch.outcome)
            return scratch.outcome.record[0] if scratch.outcome.n_records else -1
        except BadValue as error:
            raise self._profile_error(joined(error.args[0]), error.args[1]) from None
        finally:
            self._put(scratch)

    def count_events(self, events, *, now=None):
        """How many of ``events`` meet each counter of the program: a list of ints.

        Takes what `select` takes as ``events`` and ``now``, and raises EventError as it does.
        """
        return self._events.count(events, now)

    cdef bint _trusts(self, audiences) except -1:
        if audiences == "given":
            return True
        if audiences == "rules":
            return False
        raise ValueError(f'audiences={audiences!r}: expected "rules" or "given"')

    # ---- a profile as JSON --------------------------------------------------------------------

    def select_json(self, profile, *, device=None, events=None, counts=None, audiences=RULES,
                    now=None):
        """`select` for a profile as JSON, answering with JSON.

        Parameters
        ----------
        profile : bytes, bytearray, memoryview or str
            One JSON object. All of it is checked against JSON's grammar; of repeated keys the last
            counts.
        device, events, counts, audiences, now
            As in `select`.

        Returns
        -------
        bytes
            ``{"audiences": [...], "experiences": [...], "changes": [...]}``, UTF-8, compact.

        Raises
        ------
        ProfileError
            With the byte where the JSON is broken, or the path of a value that cannot be used.
        EventError
        """
        cdef const uint8_t[::1] view
        cdef Scratch *scratch
        cdef list given = None
        cdef const char *data
        cdef size_t length
        cdef Py_ssize_t n
        cdef bint trust = audiences is not RULES and self._trusts(audiences)
        if type(profile) is bytes:
            data = PyBytes_AS_STRING(profile)
            length = <size_t> len(<bytes> profile)
        elif isinstance(profile, str):
            try:
                data = PyUnicode_AsUTF8AndSize(profile, &n)
            except UnicodeEncodeError:
                raise self._profile_error("", "a text with a lone surrogate") from None
            length = <size_t> n
        else:
            try:
                view = memoryview(profile).cast("B")
            except (TypeError, ValueError):
                raise self._profile_error(
                    "", f"the profile must be bytes or str, got {type(profile).__name__}"
                ) from None
            length = <size_t> view.shape[0]
            if length:
                data = <const char *> &view[0]
            else:
                data = b""
        if length > LONGEST_PROFILE:
            raise self._profile_error("", f"longer than {MAX_PROFILE_BYTES} bytes")
        scratch = self._take()
        try:
            scan_json(self.program, scratch, data, length, self._profile_error)
            if trust:
                given = self._given_of_scan(&scratch.profile)
            self._match(scratch, device, events, counts, now, given)
            list_eligible(self.program, &scratch.outcome)
            draw_scanned(self.program, scratch, self._profile_error)
            choose_records(self.program, scratch.profile.overrides, &scratch.outcome)
            return make_json(self.program, scratch, trust)
        except BadValue as error:
            raise self._profile_error(joined(error.args[0]), error.args[1]) from None
        finally:
            self._put(scratch)

    cdef list _given_of_scan(self, Profile *profile):
        if profile.audiences == NULL:
            return []
        given = json.loads(
            profile.audiences[:profile.audiences_length].decode("utf-8"), parse_int=float)
        if given is None:
            profile.audiences = NULL
            return []
        if not isinstance(given, list):
            raise self._profile_error(
                "audiences", f"expected a list, got {type(given).__name__}")
        return given

    # ---- everything, for explanations and measurements ----------------------------------------

    def trace(self, profile, *, device=None, events=None, counts=None, audiences=RULES, now=None):
        """Everything that one evaluation decided.

        Takes what `select` takes and gives a dict: ``values`` (slot path -> the value compared, as
        text or float, absent when missing), ``leaves`` (a byte per leaf), ``audiences`` (a byte per
        audience), ``traffic`` and ``distribution`` (the hash of every experience), ``sticky``
        (experience id -> stored choice that the experience has), ``selection``.
        """
        cdef Scratch *scratch
        cdef Program program = self.program
        cdef Profile *state
        cdef uint32_t i
        if now is None and events and program.has_windows:
            # Looked at once, so that the answer and its reasons are of one moment.
            now = self._events._clock()
        selection = self.select(
            profile, device=device, events=events, counts=counts, audiences=audiences, now=now)
        visitor = dict(profile)
        scratch = self._take()
        try:
            state = &scratch.profile
            self._read(scratch, visitor)
            self._match(scratch, device, events, counts, now, None)
            values = cell_values(program.leaves, state)
            leaf = (<const char *> scratch.leaf)[:program.leaves.n_leaves]
            if self._trusts(audiences):
                self._trust(scratch, self._given_of(visitor))
            list_everyone(program, &scratch.outcome)
            draw_text(program, scratch, self._stable_id(visitor), self._profile_error)
            return {
                "values": values,
                "leaves": leaf,
                "audiences": (<const char *> scratch.outcome.audience)[:program.n_audiences],
                "traffic": [
                    scratch.outcome.hashes[scratch.outcome.traffic_at[i]]
                    for i in range(program.n_experiences)],
                "distribution": [
                    scratch.outcome.hashes[scratch.outcome.distribution_at[i]]
                    for i in range(program.n_experiences)],
                "sticky": {
                    program.experience_ids[state.overridden[i]]:
                        state.overrides[state.overridden[i]]
                    for i in range(state.n_overridden)
                    if state.overrides[state.overridden[i]] >= 0},
                "selection": selection,
            }
        finally:
            self._put(scratch)

    def counters_met(self, event):
        """The numbers of the counters that one event meets, ascending; windows are left aside.

        ``event`` is a mapping in the API's shape. Counters are numbered as in `counters`, and
        ``counts`` of `select` takes one number each. Raises EventError with the path of a value
        that cannot be compared.
        """
        return self._events.matching(event) if self._has_counters else []

    def measure_draws(self, list stable_ids not None, uint32_t rounds):
        """Compute both draws of every experience for all ids, ``rounds`` times; returns nothing.

        For measuring what the hashes of a scheme cost, without anything around them.
        """
        cdef Scratch *scratch = self._take()
        cdef uint32_t _round
        try:
            list_everyone(self.program, &scratch.outcome)
            for _round in range(rounds):
                for stable_id in stable_ids:
                    draw_text(self.program, scratch, stable_id, self._profile_error)
        finally:
            self._put(scratch)
