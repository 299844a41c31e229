"""Comparisons indexed by slot: how `leaves.pxd`'s tables are built, and who owns them.

Memory: each table owns an `Arena`; all C arrays and texts live there and are freed with it. An
arena also keeps the Python objects alive that C arrays point to.
"""
# cython: language_level=3

cimport cython
from cpython.unicode cimport PyUnicode_AsUTF8AndSize
from libc.math cimport isfinite
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t
from libc.stdlib cimport calloc, free
from libc.string cimport memcpy

from whichvariant._core.leaves cimport (
    NumberTable, SlotIndex, TableEntry, TextOp, TextTable, find_text,
)
from whichvariant._core.predicates cimport (
    OP_CONTAINS, OP_ENDS, OP_EXISTS, OP_GE, OP_IN, OP_LT, OP_MATCHES, OP_STARTS, order_key,
    wv_hash_text, wv_parse_number,
)

# Two to the 31st bounds every count, so that no 32-bit index can overflow.
DEF_LIMIT = 1 << 31

OPERATIONS = {
    "greaterThanInclusive": OP_GE,
    "lessThan": OP_LT,
    "in": OP_IN,
    "contains": OP_CONTAINS,
    "startsWith": OP_STARTS,
    "endsWith": OP_ENDS,
    "matches": OP_MATCHES,
    "exists": OP_EXISTS,
}


def numeric_text(str text not None):
    """The number that ``text`` spells as numeric text (docs/rules.md), a finite float, or None."""
    cdef double value
    cdef bint exact
    cdef const char *p
    cdef Py_ssize_t length
    p = PyUnicode_AsUTF8AndSize(text, &length)
    if not wv_parse_number(p, <size_t> length, &value, &exact):
        return None
    if not exact:
        value = float(text)
    return value if isfinite(value) else None


@cython.no_gc_clear
cdef class Arena:
    """Blocks of C memory and Python objects that live as long as this does."""

    def __cinit__(self):
        self._blocks = []
        self._objects = []

    def __dealloc__(self):
        for block in self._blocks:
            free(<void *> <size_t> block)

    cdef void *take(self, size_t count, size_t size) except NULL:
        """Zeroed, 64-byte aligned memory for ``count`` elements (at least one is always there)."""
        cdef size_t total
        cdef void *block
        cdef size_t address
        if count > DEF_LIMIT:
            raise ValueError("a table is too large")
        total = (count + 1) * size + 64
        block = calloc(total, 1)
        if block == NULL:
            raise MemoryError
        self._blocks.append(<size_t> block)
        address = (<size_t> block + 63) & ~(<size_t> 63)
        return <void *> address

    cdef void *copy(self, object buffer, size_t count, size_t size, str name) except NULL:
        """A copy of ``buffer``, which must hold exactly ``count`` elements of ``size`` bytes."""
        cdef const uint8_t[::1] view = memoryview(buffer).cast("B")
        cdef void *block
        if <size_t> view.shape[0] != count * size:
            raise ValueError(
                f"table {name}: {view.shape[0]} bytes, expected {count} elements of {size}")
        block = self.take(count, size)
        if count:
            memcpy(block, &view[0], count * size)
        return block

    cdef const char *text(self, object text, size_t *length) except NULL:
        """UTF-8 of a str (kept in the str itself) or the content of bytes; both are kept alive."""
        cdef Py_ssize_t n
        cdef const char *p
        if isinstance(text, str):
            p = PyUnicode_AsUTF8AndSize(text, &n)
        elif isinstance(text, bytes):
            p = <const char *> (<bytes> text)
            n = len(<bytes> text)
        else:
            raise ValueError(f"a table holds {type(text).__name__} where text belongs")
        self._objects.append(text)
        length[0] = <size_t> n
        return p


cdef int build_text_table(TextTable *table, list texts, list payloads, Arena arena) except -1:
    cdef uint32_t size = 4
    cdef uint32_t i, j, h
    cdef size_t n
    cdef const char *p
    cdef TableEntry *entry
    table.entries = NULL
    table.mask = 0
    table.shortest = 0
    table.longest = 0
    if not texts:
        return 0
    while size < 2 * len(texts) + 2:
        size *= 2
    table.entries = <TableEntry *> arena.take(size, sizeof(TableEntry))
    table.mask = size - 1
    table.shortest = <size_t> -1
    for i in range(len(texts)):
        p = arena.text(texts[i], &n)
        if find_text(table, p, n) >= 0:
            raise ValueError(f"table holds {texts[i]!r} twice")
        table.shortest = min(table.shortest, n)
        table.longest = max(table.longest, n)
        h = <uint32_t> wv_hash_text(p, n)
        j = h & table.mask
        while table.entries[j].text != NULL:
            j = (j + 1) & table.mask
        entry = &table.entries[j]
        entry.text = p
        entry.length = n
        entry.hash = h
        entry.payload = payloads[i]
    return 0


cdef class LeafTable:
    """Leaves on one set of slots, indexed as leaves.pxd describes.

    Parameters
    ----------
    paths : list of tuple of str
        One attribute path a slot, ascending.
    slot, op : buffers of uint32, uint8
        Per leaf: its slot, ascending, and its operation; within a slot operations ascend.
    number : buffer of float64
        Per leaf: the threshold of a GE or LT leaf (ascending within slot and operation).
    operands : list
        Per leaf: None, a text (contains, startsWith, endsWith), a compiled pattern (matches), or a
        list of texts and floats (in).
    """

    def __init__(self, list paths not None, slot, op, number, list operands not None):
        cdef uint32_t n = <uint32_t> len(operands)
        cdef uint32_t i, s
        cdef Arena arena = Arena()
        cdef const uint32_t *slots
        cdef const uint8_t *ops
        cdef const double *numbers
        cdef int64_t *keys
        self._arena = arena
        self.paths = tuple(tuple(path) for path in paths)
        self.n_slots = <uint32_t> len(paths)
        self.n_leaves = n
        if sorted(set(self.paths)) != list(self.paths):
            raise ValueError("slots are not in ascending order")
        slots = <const uint32_t *> arena.copy(slot, n, sizeof(uint32_t), "leaf_slot")
        ops = <const uint8_t *> arena.copy(op, n, sizeof(uint8_t), "leaf_op")
        numbers = <const double *> arena.copy(number, n, sizeof(double), "leaf_number")
        keys = <int64_t *> arena.take(n, sizeof(int64_t))
        for i in range(n):
            keys[i] = order_key(numbers[i])
            if slots[i] >= self.n_slots or ops[i] > OP_EXISTS:
                raise ValueError(f"leaf {i} has no such slot or operation")
            if i and slots[i] == slots[i - 1]:
                if ops[i] < ops[i - 1] or (ops[i] == OP_EXISTS and ops[i - 1] == OP_EXISTS):
                    raise ValueError(f"leaf {i} is out of order")
                if ops[i] == ops[i - 1] and ops[i] <= OP_LT and keys[i] <= keys[i - 1]:
                    raise ValueError(f"threshold of leaf {i} is out of order")
            elif i and slots[i] < slots[i - 1]:
                raise ValueError(f"leaf {i} is out of order")
            if ops[i] <= OP_LT and numbers[i] != numbers[i]:
                raise ValueError(f"threshold of leaf {i} is not a number")
        self.slots = <SlotIndex *> arena.take(self.n_slots, sizeof(SlotIndex))
        self._patterns = [None] * self.n_slots
        i = 0
        for s in range(self.n_slots):
            i = self._build_slot(s, i, slots, ops, keys, operands)

    cdef uint32_t _build_slot(
        self, uint32_t s, uint32_t first, const uint32_t *slots, const uint8_t *ops,
        const int64_t *keys, list operands,
    ) except? 0xFFFFFFFF:
        """Index the leaves of slot ``s``, from ``first`` on; returns the first leaf after."""
        cdef Arena arena = self._arena
        cdef SlotIndex *slot = &self.slots[s]
        cdef uint32_t i = first
        cdef dict texts = {}
        cdef dict text_numbers = {}
        cdef dict all_numbers = {}
        cdef list text_ops = []
        cdef list patterns = []
        cdef list flips = []
        cdef TextOp *table
        cdef uint32_t *starts
        slot.exists_leaf = -1
        slot.first_leaf = first
        slot.ge = keys + first
        slot.ge_leaf = first
        while i < self.n_leaves and slots[i] == s and ops[i] == OP_GE:
            i += 1
        slot.n_ge = i - first
        slot.lt = keys + i
        slot.lt_leaf = i
        while i < self.n_leaves and slots[i] == s and ops[i] == OP_LT:
            i += 1
        slot.n_lt = i - slot.lt_leaf
        while i < self.n_leaves and slots[i] == s:
            operand = operands[i]
            if ops[i] == OP_IN:
                for member in operand:
                    if isinstance(member, str):
                        texts.setdefault(member, []).append(i)
                        value = numeric_text(member)
                    elif isinstance(member, float) and isfinite(member):
                        value = member
                        text_numbers.setdefault(value, []).append(i)
                    else:
                        raise ValueError(f"leaf {i} has a member that is neither text nor number")
                    if value is not None:
                        # Leaves come in ascending order: a repetition can only be the last one.
                        leaves = all_numbers.setdefault(value, [])
                        if not leaves or leaves[len(leaves) - 1] != i:
                            leaves.append(i)
            elif ops[i] == OP_EXISTS:
                slot.exists_leaf = <int32_t> i
            elif ops[i] == OP_MATCHES:
                patterns.append((i, operand))
            else:
                text_ops.append((ops[i], operand, i))
            i += 1
        slot.n_leaves = i - first

        starts = <uint32_t *> arena.take(len(texts) + 1, sizeof(uint32_t))
        for row, leaves in enumerate(texts.values()):
            starts[row] = <uint32_t> len(flips)
            flips.extend(leaves)
        starts[len(texts)] = <uint32_t> len(flips)
        slot.text_flips = starts
        build_text_table(&slot.texts, list(texts), list(range(len(texts))), arena)
        self._build_numbers(&slot.text_numbers, text_numbers, flips)
        self._build_numbers(&slot.numbers, all_numbers, flips)
        starts = <uint32_t *> arena.take(len(flips), sizeof(uint32_t))
        for row, leaf in enumerate(flips):
            starts[row] = leaf
        slot.flips = starts

        table = <TextOp *> arena.take(len(text_ops), sizeof(TextOp))
        for row, (operation, needle, leaf) in enumerate(text_ops):
            if not isinstance(needle, str):
                raise ValueError(f"leaf {leaf} has no text")
            table[row].needle = arena.text(needle, &table[row].length)
            table[row].op = operation
            table[row].leaf = leaf
        slot.text_ops = table
        slot.n_text_ops = <uint32_t> len(text_ops)
        slot.n_patterns = <uint32_t> len(patterns)
        if patterns:
            self._patterns[s] = patterns
        slot.wants_number_of_text = slot.n_ge > 0 or slot.n_lt > 0 or slot.text_numbers.count > 0
        slot.wants_text_of_number = slot.n_text_ops > 0 or slot.n_patterns > 0
        return i

    cdef int _build_numbers(self, NumberTable *table, dict leaves, list flips) except -1:
        cdef int64_t *keys
        cdef uint32_t *starts
        keys = <int64_t *> self._arena.take(len(leaves), sizeof(int64_t))
        starts = <uint32_t *> self._arena.take(len(leaves) + 1, sizeof(uint32_t))
        for row, number in enumerate(sorted(leaves)):
            keys[row] = order_key(number)
            starts[row] = <uint32_t> len(flips)
            flips.extend(leaves[number])
        starts[len(leaves)] = <uint32_t> len(flips)
        table.keys = keys
        table.first_flip = starts
        table.count = <uint32_t> len(leaves)
        return 0

    cdef int match_patterns(
        self, uint32_t slot, const char *text, size_t n, uint8_t *leaf,
    ) except -1:
        """Set the bytes of the slot's `matches` leaves whose pattern is found in the text."""
        cdef str subject = text[:n].decode("utf-8")
        for number, pattern in self._patterns[slot]:
            leaf[<uint32_t> number] = pattern.search(subject) is not None
        return 0


def leaf_table(dict table not None, patterns):
    """A `LeafTable` from its tables; ``patterns`` compiles the operands of `matches` leaves."""
    cdef list operands = list(table["operands"])
    ops = bytes(memoryview(table["op"]).cast("B"))
    if len(ops) != len(operands):
        raise ValueError("table leaf_op: its length differs from the operands'")
    for i, op in enumerate(ops):
        if op == OP_MATCHES:
            operands[i] = patterns(operands[i])
    return LeafTable(
        [tuple(path) for path in table["paths"]], table["slot"], table["op"], table["number"],
        operands)
