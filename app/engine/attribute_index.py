"""From the attributes that changed to the definitions that may answer differently.

A trie over the paths that definitions read. At each path, conditions with a constant are filed
under that constant, so that a change from "Oslo" to "Bergen" only finds what asks for either;
whatever does not fit a file is found by every change of the path.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.domain.model import JsonObject
from app.engine.intervals import Intervals
from app.engine.merge import AttributeChange
from app.engine.terms import Breakpoints
from app.pql.library import fold
from app.pql.values import leaves, project

Ranks = set[int]


@dataclass(slots=True)
class PathReaders:
    """The definitions that read one path.

    Attributes:
        strings, numbers: By equality constant.
        folded: By constant compared without regard to case.
        ranges: By bound of an ordering comparison.
        intervals: Those that hold only for numbers in an interval.
        in_ranges: Those with other ordering comparisons.
        on_null: Those that answer differently for null and for any other value.
        always: Those that no constant describes.
        everyone: All of them: for values of a type that no file was made for.
    """

    strings: dict[str, Ranks] = field(default_factory=dict)
    numbers: dict[float, Ranks] = field(default_factory=dict)
    folded: dict[str, Ranks] = field(default_factory=dict)
    ranges: Breakpoints = field(default_factory=Breakpoints)
    intervals: Intervals = field(default_factory=Intervals)
    in_ranges: Ranks = field(default_factory=set)
    on_null: Ranks = field(default_factory=set)
    always: Ranks = field(default_factory=set)
    everyone: Ranks = field(default_factory=set)
    by_number: Ranks = field(default_factory=set)
    by_odd_string: Ranks = field(default_factory=set)

    def add_constant(self, constant: str | int | float, rank: int) -> None:
        """File a definition under an equality constant."""
        self.everyone.add(rank)
        if isinstance(constant, str):
            self.strings.setdefault(constant, set()).add(rank)
            if may_be_coerced(constant):
                self.by_odd_string.add(rank)
        else:
            self.numbers.setdefault(constant, set()).add(rank)
            self.by_number.add(rank)

    def add_folded(self, constant: str, rank: int) -> None:
        """File a definition under a constant compared without regard to case."""
        self.everyone.add(rank)
        self.folded.setdefault(fold(constant), set()).add(rank)

    def add_range(
        self, operator: str, bound: int | float, rank: int, *, is_needed: bool = False
    ) -> None:
        """File a definition under the bound of `<`, `<=`, `>` or `>=`.

        Args:
            operator: Which one.
            bound: What the value is compared with.
            rank: Of the definition.
            is_needed: The definition holds only where this comparison does.
        """
        self.everyone.add(rank)
        if is_needed:
            self.intervals.narrow(rank, operator, bound)
        else:
            self.in_ranges.add(rank)
        if operator in (">=", "<"):
            _file(self.ranges.at, self.ranges.at_definitions, bound, rank)
        else:
            _file(self.ranges.above, self.ranges.above_definitions, bound, rank)

    def add_always(self, rank: int) -> None:
        """File a definition that every change concerns."""
        self.everyone.add(rank)
        self.always.add(rank)

    def changed(self, old: Any, new: Any, into: set[int]) -> None:
        """Add the definitions that may answer differently for the two values."""
        old_type, new_type = type(old), type(new)
        if old_type is new_type and old == new and old_type not in (dict, list):
            return
        into |= self.always
        if (old is None) is not (new is None):
            into |= self.on_null
        self._find(old, old_type, into)
        self._find(new, new_type, into)
        self._find_ranges(old, new, into)

    def _find_ranges(self, old: Any, new: Any, into: set[int]) -> None:
        is_old, is_new = type(old) in _NUMBERS, type(new) in _NUMBERS
        if is_old and is_new:
            self.ranges.crossed(old, new, into)
        elif (is_old or old is None) and (is_new or new is None):
            # Null satisfies no comparison: what held, or will hold, has the number in it.
            into |= self.in_ranges
            self.intervals.containing(old if is_old else new, into)
        elif self.ranges.at or self.ranges.above:
            into |= self.everyone

    def _find(self, value: Any, kind: type, into: set[int]) -> None:
        if kind is str:
            into |= self.strings.get(value, _NONE)
            if self.folded:
                into |= self.folded.get(fold(value), _NONE)
            # A string field is compared with a number as text or as a number: not worth filing.
            into |= self.by_number
        elif kind in _NUMBERS:
            into |= self.numbers.get(value, _NONE)
            into |= self.by_odd_string
        elif value is not None:
            into |= self.everyone


_NUMBERS = (int, float)
_NONE: Ranks = set()


def may_be_coerced(constant: str) -> bool:
    """Tell whether a string constant can equal a number or a Boolean."""
    if constant.strip().lower() in ("true", "false"):
        return True
    try:
        float(constant)
    except ValueError:
        return False
    return True


def _file(
    bounds: list[int | float], ranks: list[tuple[int, ...]], bound: int | float, rank: int
) -> None:
    if bound not in bounds:
        insort(bounds, bound)
        ranks.insert(bounds.index(bound), ())
    index = bounds.index(bound)
    if rank not in ranks[index]:
        ranks[index] = (*ranks[index], rank)


class _Node:
    __slots__ = ("below", "children", "readers")

    def __init__(self) -> None:
        self.children: dict[str, _Node] = {}
        self.readers: PathReaders | None = None
        # Readers strictly below, with the rest of their path.
        self.below: list[tuple[tuple[str, ...], PathReaders]] = []


class AttributeIndex:
    """All paths of a catalogue.

    A definition that begins with `city = "Oslo" and …` cannot hold anywhere else, so what else it
    reads is filed in an index of its own, which is only asked for profiles in Oslo. Moving there or
    away is noticed by the condition on the city itself.
    """

    def __init__(self) -> None:
        self._root = _Node()
        self._guarded: dict[tuple[str, ...], dict[str, AttributeIndex]] = {}

    def guarded(self, path: tuple[str, ...], constant: str) -> AttributeIndex:
        """Return the index for profiles whose `path` equals a constant, made on first use."""
        return self._guarded.setdefault(path, {}).setdefault(constant, AttributeIndex())

    def readers(self, path: tuple[str, ...]) -> PathReaders:
        """Return the readers of a path, made on first use."""
        node = self._root
        above = [(node, path)]
        for depth, name in enumerate(path, start=1):
            node = node.children.setdefault(name, _Node())
            above.append((node, path[depth:]))
        if node.readers is None:
            node.readers = PathReaders()
            for ancestor, rest in above[:-1]:
                ancestor.below.append((rest, node.readers))
        return node.readers

    def affected(
        self,
        changes: Sequence[AttributeChange],
        before: JsonObject,
        after: JsonObject,
        into: set[int],
    ) -> None:
        """Add the definitions that may answer differently after a merge patch.

        Args:
            changes: What the patch changed, see `merge_patch`; not empty.
            before: The record as it was.
            after: The record as it is.
            into: Ranks are added here.
        """
        if self._root.readers is not None:
            self._root.readers.changed(before, after, into)
        for change in changes:
            self._descend(change, before, after, into)
        for path, indexes in self._guarded.items():
            value = _follow(after, path)
            for constant in (value,) if isinstance(value, str) else _strings(value):
                index = indexes.get(constant)
                if index is not None:
                    index.affected(changes, before, after, into)

    def _descend(
        self, change: AttributeChange, before: JsonObject, after: JsonObject, into: set[int]
    ) -> None:
        """Ask the readers of every object on the way to a change, of the changed, and below it."""
        path, old, new = change
        node = self._root
        for depth, name in enumerate(path, start=1):
            child = node.children.get(name)
            if child is None:
                return
            node = child
            if node.readers is None:
                continue
            if depth == len(path):
                node.readers.changed(old, new, into)
            else:
                above = path[:depth]
                node.readers.changed(_follow(before, above), _follow(after, above), into)
        for rest, readers in node.below:
            readers.changed(_follow(old, rest), _follow(new, rest), into)


def _strings(value: Any) -> Iterable[str]:
    if not isinstance(value, list):
        return ()
    return {one for one in leaves(value) if isinstance(one, str)}


def _follow(value: Any, path: Iterable[str]) -> Any:
    for name in path:
        if value is None:
            return None
        value = project(value, name)
    return value
