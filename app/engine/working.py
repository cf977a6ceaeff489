"""A profile unpacked, while a batch works on it."""

from __future__ import annotations

import orjson

from app.domain.model import JsonObject
from app.engine.history import KeptEvent
from app.engine.profile import ProfileState, encode, load_attributes


class Profile:
    """One profile between two batches.

    Attributes:
        members: The bit set of `state.members` as an integer; the one in `state` is stale.
        events: The kept events, oldest first, where they were loaded.
        new_frames: Frames to append to the stored ones.
        is_dirty: The state differs from the stored one.
        stored_due_ms: The timer as stored; None for none.
        replaces_events: Stored frames are void: what comes next overwrites them.
        stored_frames: The frames as stored, where they were loaded for this batch.
    """

    __slots__ = (
        "_attributes",
        "events",
        "is_dirty",
        "members",
        "new_frames",
        "replaces_events",
        "state",
        "stored_due_ms",
        "stored_frames",
    )

    def __init__(self, state: ProfileState) -> None:
        self.state = state
        self.members = int.from_bytes(state.members, "little")
        self._attributes: JsonObject | None = None
        self.events: list[KeptEvent] | None = None
        self.new_frames: list[bytes] = []
        self.is_dirty = False
        self.stored_due_ms: int | None = None
        self.stored_frames: bytes | None = None
        self.replaces_events = False

    @property
    def attributes(self) -> JsonObject:
        """The profile record; decoded when first asked for."""
        if self._attributes is None:
            self._attributes = load_attributes(self.state)
        return self._attributes

    @attributes.setter
    def attributes(self, record: JsonObject) -> None:
        self._attributes = record
        self.state.attributes_json = orjson.dumps(record)

    def forget_attributes(self) -> None:
        """Take over the record of the state, after `state` was replaced."""
        self._attributes = None

    def pack(self) -> bytes:
        """Return the packed state."""
        size = (self.members.bit_length() + 7) // 8
        self.state.members = self.members.to_bytes(size, "little")
        return encode(self.state)
