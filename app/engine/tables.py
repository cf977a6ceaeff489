"""Parts of a stored profile that are only unpacked when something looks at them.

Most updates look at few of a profile's timelines and change none of its memberships. What was not
looked at is written back as the bytes that were read.
"""

from __future__ import annotations

from array import array
from collections.abc import ItemsView, Iterator, KeysView, Mapping
from dataclasses import dataclass, field
from math import inf

import msgspec

Number = int | float


@dataclass(slots=True)
class Matches:
    """The kept events that match one filter.

    Attributes:
        orders: Ascending.
        values: The extracted number of each, parallel to `orders`; empty for plain counting.
        packed: The stored form, None after a change. Whoever changes `orders` clears it.
        quiet: So many further events that come last, and not from the future, change no answer
            while their numbers stay below `headroom`; -1 as long as nobody looked.
        headroom: What those numbers may add up to.
        saved: So many of the events, from the oldest on, are in the stored state,
        cut: which begins with so many more; `saved` is -1 where it holds another list.
    """

    orders: array[int] = field(default_factory=lambda: array("q"))
    values: list[Number] = field(default_factory=list)
    packed: bytes | None = field(default=None, compare=False, repr=False)
    quiet: int = field(default=-1, compare=False, repr=False)
    headroom: float = field(default=inf, compare=False, repr=False)
    saved: int = field(default=-1, compare=False, repr=False)
    cut: int = field(default=0, compare=False, repr=False)

    def drop(self, count: int) -> None:
        """Forget so many of the oldest."""
        self.packed = None
        del self.orders[:count]
        if self.values:
            del self.values[:count]
        if self.saved >= 0:
            stored = min(count, self.saved)
            self.cut += stored
            self.saved -= stored

    def insert(self, index: int, order: int, number: Number | None) -> None:
        """Add an event before the one at `index`."""
        self.packed = None
        self.orders.insert(index, order)
        if number is not None:
            self.values.insert(index, number)
        if index < self.saved:
            self.saved = -1

    def mark_saved(self) -> None:
        """Take note that the stored state holds them all."""
        self.saved = len(self.orders)
        self.cut = 0


class Detail(msgspec.Struct, array_like=True, gc=False):
    """What is remembered of one membership beside its bit."""

    at_ms: int
    sequence: int


class _PackedMatches(msgspec.Struct, array_like=True, gc=False):
    orders: bytes
    values: list[Number]


_encoder = msgspec.msgpack.Encoder()
_matches_decoder = msgspec.msgpack.Decoder(_PackedMatches)
_details_decoder = msgspec.msgpack.Decoder(dict[int, Detail])


def _pack(matches: Matches) -> bytes:
    packed = matches.packed
    if packed is None:
        packed = _encoder.encode((matches.orders.tobytes(), matches.values))
        matches.packed = packed
    return packed


def _unpack(packed: bytes) -> Matches:
    found = _matches_decoder.decode(packed)
    orders = array("q", found.orders)
    return Matches(orders, found.values, packed, saved=len(orders))


class MatchTable:
    """Timeline key → matching events; absent while there are none.

    Attributes:
        changed: Keys set or dropped since the state was stored.
    """

    __slots__ = ("_entries", "changed")

    def __init__(self, entries: Mapping[int, Matches | bytes] | None = None) -> None:
        self._entries: dict[int, Matches | bytes] = dict(entries or {})
        self.changed: set[int] = set()

    def get(self, key: int) -> Matches | None:
        """Return the matches of a timeline, None if there are none."""
        found = self._entries.get(key)
        if type(found) is bytes:
            found = self._entries[key] = _unpack(found)
        return found  # type: ignore[return-value]  # bytes were unpacked above

    def __setitem__(self, key: int, matches: Matches) -> None:
        self._entries[key] = matches
        self.changed.add(key)

    def drop(self, key: int) -> None:
        """Forget a timeline."""
        self._entries.pop(key, None)
        self.changed.add(key)

    def mark_saved(self) -> None:
        """Take note that the stored state holds them all."""
        for key in self.changed:
            matches = self._entries.get(key)
            if type(matches) is Matches:
                matches.mark_saved()
        self.changed.clear()

    def keys(self) -> KeysView[int]:
        """Return the keys; the table may be changed while they are looked at."""
        return dict.fromkeys(self._entries).keys()

    def values(self) -> Iterator[Matches]:
        """Yield the matches of every timeline."""
        for key in self.keys():
            found = self.get(key)
            if found is not None:
                yield found

    def packed(self) -> dict[int, bytes]:
        """Return the stored form."""
        return {
            key: one if type(one) is bytes else _pack(one)  # type: ignore[arg-type]  # the other type
            for key, one in self._entries.items()
        }

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[int]:
        return iter(self.keys())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MatchTable):
            return NotImplemented
        return self.keys() == other.keys() and all(self.get(key) == other.get(key) for key in self)

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"MatchTable({ ({key: self.get(key) for key in self})!r})"


class DetailTable:
    """Segment ordinal → detail, for every segment the profile ever was in.

    Attributes:
        changed: Ordinals set or forgotten since the state was stored.
        rendered: Whatever text somebody made of a detail; gone when the detail changes.
    """

    __slots__ = ("_entries", "_packed", "changed", "rendered")

    def __init__(
        self, entries: Mapping[int, Detail] | None = None, packed: bytes | None = None
    ) -> None:
        self._entries = None if packed is not None else dict(entries or {})
        self._packed = packed
        self.changed: set[int] = set()
        self.rendered: dict[int, bytes] = {}

    def _open(self) -> dict[int, Detail]:
        if self._entries is None:
            assert self._packed is not None
            self._entries = _details_decoder.decode(self._packed)
        return self._entries

    def get(self, ordinal: int) -> Detail | None:
        """Return the detail of a segment, None if the profile never was in it."""
        return self._open().get(ordinal)

    def __setitem__(self, ordinal: int, detail: Detail) -> None:
        self._open()[ordinal] = detail
        self._packed = None
        self.changed.add(ordinal)
        self.rendered.pop(ordinal, None)

    def pop(self, ordinal: int) -> Detail | None:
        """Forget a segment; return its detail."""
        entries = self._open()
        self._packed = None
        self.changed.add(ordinal)
        self.rendered.pop(ordinal, None)
        return entries.pop(ordinal, None)

    def items(self) -> ItemsView[int, Detail]:
        """Return all pairs, oldest first."""
        return self._open().items()

    def ordinals(self) -> KeysView[int]:
        """Return the segments, oldest first."""
        return self._open().keys()

    def packed(self) -> bytes:
        """Return the stored form."""
        if self._packed is None:
            self._packed = _encoder.encode(self._entries)
        return self._packed

    def __len__(self) -> int:
        return len(self._open())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DetailTable):
            return NotImplemented
        return self._open() == other._open()

    __hash__ = None  # type: ignore[assignment]  # it changes

    def __repr__(self) -> str:
        return f"DetailTable({self._open()!r})"
