"""Answers in the API's shapes, from the numbers of chosen records (SEMANTICS section 4).

Selections hold references to the program's shared records; this module owns no C memory.
"""
# cython: language_level=3

cimport cython
from cpython.bytes cimport PyBytes_FromStringAndSize
from cpython.dict cimport PyDict_Check, PyDict_Copy
from cpython.list cimport PyList_Check, PyList_New
from cpython.ref cimport PyObject
from libc.stdint cimport uint32_t
from libc.string cimport memcpy

from whichvariant._core.allocation cimport Outcome
from whichvariant._core.program cimport Fragment, Program
from whichvariant._core.scratch cimport Scratch, reserve_spare

cdef extern from *:
    """
    static inline void wv_list_set(PyObject *list, Py_ssize_t i, PyObject *item)
    {
        Py_INCREF(item);
        PyList_SET_ITEM(list, i, item);
    }
    """
    void wv_list_set(list target, Py_ssize_t i, PyObject *item)


@cython.final
@cython.freelist(16)
cdef class Selection:
    """What a visitor gets, in the API's shapes.

    Attributes
    ----------
    experiences : list of dict
        ``{"experienceId", "variantIndex", "variants", "sticky"?}``, ordered by id.
    changes : list of dict
        ``{"key", "type", "value", "meta": {"experienceId", "variantIndex"}}``.
    audiences : list of str
        Ids of the matching audiences; with ``audiences="given"`` the profile's own list.

    The lists are the caller's own. The dicts in them are shared by every selection of the engine
    and read-only, unless fresh ones were asked for.
    """

    def to_dict(self):
        """``{"audiences", "experiences", "changes"}``."""
        return {
            "audiences": self.audiences,
            "experiences": self.experiences,
            "changes": self.changes,
        }

    def __repr__(self):
        return (f"Selection(experiences={self.experiences!r}, changes={self.changes!r}, "
                f"audiences={self.audiences!r})")

    def __eq__(self, other):
        if not isinstance(other, Selection):
            return NotImplemented
        return self.to_dict() == other.to_dict()

    __hash__ = None


cdef inline char *put(char *at, const char *text, size_t length) noexcept:
    memcpy(at, text, length)
    return at + length


cdef inline char *close_list(char *at) noexcept:
    """End a list whose elements each brought a comma."""
    if (at - 1)[0] == c',':
        at -= 1
    at[0] = c']'
    return at + 1


cdef dict fresh_record(dict record):
    cdef dict copy = PyDict_Copy(record)
    copy["variants"] = PyDict_Copy(copy["variants"])
    return copy


cdef object fresh_value(object value):
    """A deep copy of a JSON value as plain dicts and lists."""
    if PyDict_Check(value):
        return {key: fresh_value(item) for key, item in (<dict> value).items()}
    if PyList_Check(value):
        return [fresh_value(item) for item in <list> value]
    return value


cdef Selection make_selection(
    Program program, const Outcome *outcome, list given, bint fresh,
):
    """The chosen records as Python objects: shared ones, or copies when ``fresh``."""
    cdef Selection selection = Selection.__new__(Selection)
    cdef uint32_t n = outcome.n_records
    cdef uint32_t i, k, record, n_changes = 0
    cdef list experiences = PyList_New(n)
    cdef list changes
    cdef list audiences
    cdef object item
    if fresh:
        for i in range(n):
            item = fresh_record(<dict> program.records[outcome.record[i]])
            wv_list_set(experiences, i, <PyObject *> item)
    else:
        for i in range(n):
            wv_list_set(experiences, i, program.records[outcome.record[i]])
    selection.experiences = experiences
    if outcome.may_have_changes:
        for i in range(n):
            record = outcome.record[i]
            n_changes += program.first_change[record + 1] - program.first_change[record]
    changes = PyList_New(n_changes)
    if n_changes:
        n_changes = 0
        for i in range(n):
            record = outcome.record[i]
            for k in range(program.first_change[record], program.first_change[record + 1]):
                if fresh:
                    item = fresh_value(<object> program.changes[k])
                    wv_list_set(changes, n_changes, <PyObject *> item)
                else:
                    wv_list_set(changes, n_changes, program.changes[k])
                n_changes += 1
    selection.changes = changes
    if given is not None:
        selection.audiences = given
        return selection
    audiences = PyList_New(outcome.n_matching)
    for i in range(outcome.n_matching):
        wv_list_set(audiences, i, program.audience_objects[outcome.matching[i]])
    selection.audiences = audiences
    return selection


cdef bytes make_json(Program program, Scratch *scratch, bint trust):
    """The same as JSON: a concatenation of what was serialised when the program was built."""
    cdef const Outcome *outcome = &scratch.outcome
    cdef uint32_t n = outcome.n_records
    cdef uint32_t i
    cdef size_t size = 64
    cdef char *p
    cdef const Fragment *fragment
    if trust:
        size += scratch.profile.audiences_length
    else:
        for i in range(outcome.n_matching):
            size += program.audience_json[outcome.matching[i]].length
    for i in range(n):
        size += program.record_json[outcome.record[i]].length
        size += program.change_json[outcome.record[i]].length
    # Scanned texts are done with; given audiences are still in the input.
    reserve_spare(scratch, size)
    p = put(scratch.spare, b'{"audiences":', 13)
    if not trust:
        p = put(p, b"[", 1)
        for i in range(outcome.n_matching):
            fragment = &program.audience_json[outcome.matching[i]]
            p = put(p, fragment.text, fragment.length)
        p = close_list(p)
    elif scratch.profile.audiences == NULL:
        p = put(p, b"[]", 2)
    else:
        p = put(p, scratch.profile.audiences, scratch.profile.audiences_length)
    p = put(p, b',"experiences":[', 16)
    for i in range(n):
        fragment = &program.record_json[outcome.record[i]]
        p = put(p, fragment.text, fragment.length)
    p = close_list(p)
    p = put(p, b',"changes":[', 12)
    if outcome.may_have_changes:
        for i in range(n):
            fragment = &program.change_json[outcome.record[i]]
            p = put(p, fragment.text, fragment.length)
    p = close_list(p)
    p = put(p, b"}", 1)
    return PyBytes_FromStringAndSize(scratch.spare, p - scratch.spare)
