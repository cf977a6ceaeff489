"""Which definitions a number can satisfy: those whose interval it lies in."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from math import inf

from app.engine.tables import Number

# Cells hold each definition as often as its interval spans them; past so many, all are asked.
_CELLS_PER_INTERVAL = 64


class Intervals:
    """Intervals of definitions; bounds count as inside, which errs towards too many."""

    __slots__ = ("_cells", "_edges", "_intervals", "_lower", "_upper")

    def __init__(self) -> None:
        self._intervals: dict[int, tuple[Number, Number]] = {}
        self._lower: list[tuple[Number, int]] = []
        self._upper: list[tuple[Number, int]] = []
        self._edges: list[Number] = []
        self._cells: list[tuple[int, ...]] | None = None

    def narrow(self, rank: int, operator: str, bound: Number) -> None:
        """Add a condition `number <operator> bound` that has to hold for a definition to hold."""
        low, high = self._intervals.get(rank, (-inf, inf))
        if operator in (">", ">="):
            low = max(low, bound)
        else:
            high = min(high, bound)
        self._intervals[rank] = (low, high)
        self._cells = None

    def containing(self, number: Number, into: set[int]) -> None:
        """Add the definitions whose interval holds a number."""
        cells = self._cells
        if cells is None:
            cells = self._cells = self._built()
        for _, rank in self._lower[: bisect_right(self._lower, (number, inf))]:
            into.add(rank)
        for _, rank in self._upper[bisect_left(self._upper, (number, -1)) :]:
            into.add(rank)
        into.update(cells[bisect_right(self._edges, number)] if len(cells) > 1 else cells[0])

    def _built(self) -> list[tuple[int, ...]]:
        """Sort one-sided intervals; return what each cell between two edges touches."""
        sides = self._intervals.items()
        self._lower = sorted((low, rank) for rank, (low, high) in sides if high == inf)
        self._upper = sorted((high, rank) for rank, (low, high) in sides if low == -inf)
        closed = [(rank, low, high) for rank, (low, high) in sides if -inf < low <= high < inf]
        self._edges = sorted({edge for _, low, high in closed for edge in (low, high)})
        cells: list[list[int]] = [[] for _ in range(len(self._edges) + 1)]
        left = _CELLS_PER_INTERVAL * len(closed)
        for rank, low, high in closed:
            # Cell k begins with edge k - 1 and ends before edge k.
            first, last = bisect_right(self._edges, low), bisect_right(self._edges, high)
            left -= last - first
            if left < 0:
                return [tuple(rank for rank, _, _ in closed)]
            for cell in cells[first : last + 1]:
                cell.append(rank)
        return [tuple(cell) for cell in cells]
