"""The kept events of a profile: a string of frames, appended to by every event.

A frame is the length of the body (uint32), the order of the event (int64), both little endian, and
the body as JSON. Frames of events that are no longer kept stay until the string is rewritten.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import orjson

from app.engine.profile import ORDER_BITS
from app.pql.values import EventItem

_HEAD = struct.Struct("<Iq")


@dataclass(frozen=True, slots=True)
class KeptEvent:
    """One event; `body["timestamp"]` is the time in ms whatever the producer wrote there."""

    order: int
    body: EventItem

    @property
    def at_ms(self) -> int:
        """Time of the event in ms."""
        return self.order >> ORDER_BITS


def frame(order: int, body_json: bytes) -> bytes:
    """Return the frame of one event."""
    return _HEAD.pack(len(body_json), order) + body_json


def read_frames(frames: bytes, kept: Iterable[int]) -> list[KeptEvent]:
    """Return the events whose order is in `kept`, oldest first."""
    wanted = set(kept)
    events: list[KeptEvent] = []
    for order, body_json in _split(frames):
        if order in wanted:
            wanted.discard(order)
            body = EventItem(orjson.loads(body_json))
            body["timestamp"] = order >> ORDER_BITS
            events.append(KeptEvent(order, body))
    events.sort(key=lambda event: event.order)
    return events


def rewrite_frames(frames: bytes, kept: Sequence[int]) -> tuple[bytes, int]:
    """Return the frames of the orders in `kept` alone, and how many they are."""
    wanted = set(kept)
    parts: list[bytes] = []
    for order, body_json in _split(frames):
        if order in wanted:
            wanted.discard(order)
            parts.append(frame(order, body_json))
    return b"".join(parts), len(parts)


def _split(frames: bytes) -> Iterable[tuple[int, bytes]]:
    position = 0
    end = len(frames)
    while position < end:
        length, order = _HEAD.unpack_from(frames, position)
        start = position + _HEAD.size
        position = start + length
        yield order, frames[start:position]
