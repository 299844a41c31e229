"""Which columns a batch has: the attributes that the rules of one or several programs read.

Memory: a layout owns an `Arena` with its tree and tables. It never changes, and threads may share
it.
"""
# cython: language_level=3

from libc.stdint cimport uint32_t

from whichvariant._core.leaf_table cimport Arena, build_text_table
from whichvariant._core.program cimport Program
from whichvariant._core.trie cimport build_trie

from whichvariant._core.trie import ACTIVITY, DEVICE, RECORD_ROLES


cdef class Layout:
    """The union of what ``programs`` read of a profile.

    Counts of events are no columns of the layout: what is counted, each program numbers for
    itself.

    Parameters
    ----------
    programs : sequence of Program, at least one
    """

    def __init__(self, programs):
        cdef Arena arena = Arena()
        cdef Program program
        cdef uint32_t i, row
        if self._arena is not None:
            raise TypeError("a layout is immutable")
        self._arena = arena
        self.programs = tuple(programs)
        if not self.programs or not all([isinstance(one, Program) for one in self.programs]):
            raise ValueError("a layout needs programs")
        paths = sorted({
            path for one in self.programs for path in (<Program> one).leaves.paths
            if path[0] != ACTIVITY})
        numbers = {path: number for number, path in enumerate(paths)}
        self.paths = tuple(paths)
        self.n_columns = <uint32_t> len(paths)
        self.device_column = numbers.get(DEVICE, -1)
        self.columns_of = tuple([
            tuple([numbers.get(path, -1) for path in (<Program> one).leaves.paths])
            for one in self.programs])
        self.trie = build_trie(self.paths, RECORD_ROLES, arena, &self.n_trie)

        highest = {}
        found = []
        for one in self.programs:
            program = one
            rows = {}
            for i in range(program.n_experiences):
                if program.rows[i].sticky:
                    key = program.experience_ids[i]
                    rows[key] = i
                    highest[key] = max(highest.get(key, 0), program.rows[i].highest_index)
            found.append(rows)
        self.sticky_ids = tuple(highest)
        self.sticky_of = tuple([
            tuple([rows.get(key, -1) for key in self.sticky_ids]) for rows in found])
        build_text_table(
            &self.sticky_table, list(self.sticky_ids), list(range(len(self.sticky_ids))), arena)
        self.highest = <uint32_t *> arena.take(len(self.sticky_ids), sizeof(uint32_t))
        for row, key in enumerate(self.sticky_ids):
            self.highest[row] = highest[key]

        self.target.trie = self.trie
        self.target.n_slots = self.n_columns
        self.target.n_watched = 5
        self.target.sticky_table = &self.sticky_table
        self.target.highest = self.highest
