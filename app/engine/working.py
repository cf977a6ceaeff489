"""A profile unpacked, while a batch works on it."""

from __future__ import annotations

import orjson

from app.domain.model import JsonObject
from app.engine.history import KeptEvent
from app.engine.profile import ProfileState, load_attributes
from app.engine.state_codec import encode, encode_change, is_appendable


class Profile:
    """One profile between two batches.

    Attributes:
        members: The bit set of `state.members` as an integer; the one in `state` is stale.
        events: The kept events, oldest first, where they were loaded.
        new_frames: Frames to append to the stored ones.
        is_dirty: The state differs from the stored one.
        stored_due_ms: The timer as stored; None for none.
        replaces_events: Stored frames are void: what comes next overwrites them.
        event_bytes: Size of the stored frames, where it is known.
        stored_frames: The frames as stored, where they were loaded for this batch.
        was_used: Since the cache last looked for what to forget.
    """

    __slots__ = (
        "_attributes",
        "_is_patched",
        "event_bytes",
        "events",
        "is_dirty",
        "members",
        "new_frames",
        "replaces_events",
        "state",
        "stored_due_ms",
        "stored_frames",
        "was_used",
    )

    def __init__(self, state: ProfileState) -> None:
        self.state = state
        self.members = int.from_bytes(state.members, "little")
        self._attributes: JsonObject | None = None
        self._is_patched = False
        self.events: list[KeptEvent] | None = None
        self.event_bytes: int | None = None
        self.new_frames: list[bytes] = []
        self.is_dirty = False
        self.stored_due_ms: int | None = None
        self.stored_frames: bytes | None = None
        self.replaces_events = False
        self.was_used = True

    @property
    def attributes(self) -> JsonObject:
        """The profile record; decoded when first asked for."""
        if self._attributes is None:
            self._attributes = load_attributes(self.state)
        return self._attributes

    @attributes.setter
    def attributes(self, record: JsonObject) -> None:
        self._attributes = record
        self._is_patched = True

    def forget_attributes(self) -> None:
        """Take over the record of the state, after `state` was replaced."""
        self._attributes = None
        self._is_patched = False

    def pack(self, whole_bytes: int) -> tuple[bytes, bool]:
        """Return the packed state, or what to append to the stored one, and whether it is that.

        Args:
            whole_bytes: See `is_appendable`.
        """
        state, is_patched = self.state, self._is_patched
        if is_patched:
            # Once a batch, however often it was patched.
            state.attributes_json = orjson.dumps(self._attributes)
            self._is_patched = False
        members = self.members.to_bytes((self.members.bit_length() + 7) // 8, "little")
        has_moved = members != state.members
        state.members = members
        if not is_appendable(state, whole_bytes):
            return encode(state), False
        new_members = members if has_moved else None
        return encode_change(state, has_attributes=is_patched, members=new_members), True
