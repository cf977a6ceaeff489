"""The kept events of a profile: a string of frames, appended to by every event.

A frame is the length of the body (uint32), the order of the event (int64), when it was applied in
ms (int64), all little endian, and the body as JSON. The highest bit of the length says that the
third number is there: frames of older versions lack it. Frames of events that are no longer kept
stay until the string is rewritten.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import orjson

from app.engine.profile import ORDER_BITS
from app.pql.values import EventItem

_HEAD = struct.Struct("<Iq")
_STAMP = struct.Struct("<q")
_STAMPED = 1 << 31


@dataclass(frozen=True, slots=True)
class KeptEvent:
    """One event; `body["timestamp"]` is the time in ms whatever the producer wrote there.

    Attributes:
        applied_ms: Partition clock when it was applied; its own time where that is not known.
    """

    order: int
    body: EventItem
    applied_ms: int = 0

    @property
    def at_ms(self) -> int:
        """Time of the event in ms."""
        return self.order >> ORDER_BITS


def frame(order: int, body_json: bytes, applied_ms: int | None = None) -> bytes:
    """Return the frame of one event."""
    if applied_ms is None:
        return _HEAD.pack(len(body_json), order) + body_json
    return _HEAD.pack(len(body_json) | _STAMPED, order) + _STAMP.pack(applied_ms) + body_json


class _Frame(NamedTuple):
    """Where a frame and its body begin in a string of frames, and where both end."""

    order: int
    applied_ms: int
    first: int
    body: int
    end: int


def read_frames(frames: bytes, kept: Iterable[int]) -> list[KeptEvent]:
    """Return the events whose order is in `kept`, oldest first."""
    wanted = set(kept)
    events: list[KeptEvent] = []
    for one in _split(frames):
        order = one.order
        if order in wanted:
            wanted.discard(order)
            body = EventItem(orjson.loads(frames[one.body : one.end]))
            body["timestamp"] = order >> ORDER_BITS
            events.append(KeptEvent(order, body, one.applied_ms))
    events.sort(key=lambda event: event.order)
    return events


def rewrite_frames(frames: bytes, kept: Sequence[int]) -> tuple[bytes, int]:
    """Return the frames of the orders in `kept` alone, and how many they are."""
    wanted = set(kept)
    parts: list[bytes] = []
    for one in _split(frames):
        if one.order in wanted:
            wanted.discard(one.order)
            parts.append(frames[one.first : one.end])
    return b"".join(parts), len(parts)


def _split(frames: bytes) -> Iterable[_Frame]:
    position = 0
    end = len(frames)
    while position < end:
        first = position
        length, order = _HEAD.unpack_from(frames, first)
        start = first + _HEAD.size
        applied_ms = order >> ORDER_BITS
        if length & _STAMPED:
            (applied_ms,) = _STAMP.unpack_from(frames, start)
            start += _STAMP.size
        position = start + (length & ~_STAMPED)
        yield _Frame(order, applied_ms, first, start, position)
