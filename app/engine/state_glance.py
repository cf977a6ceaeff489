"""The parts of a stored state that are looked at where nothing of it changes."""

from __future__ import annotations

import msgspec

from app.domain.errors import ConfigurationError
from app.engine.state_codec import decode, whole_part


class StateGlance(msgspec.Struct, array_like=True, gc=False):
    """The stored shape (`app.engine.state_codec`) with what is not needed left packed.

    Attributes:
        orders: Of all kept events, ascending, as machine words.
        dues: As of a `ProfileState`.
    """

    tag: str
    attributes_json: bytes
    arrivals: int
    orders: bytes
    frames: int
    id_hashes: msgspec.Raw
    id_times: msgspec.Raw
    matches: msgspec.Raw
    dues: dict[int, int]
    members: bytes
    details: bytes
    deleted_ms: int
    created: bool

    def memberships(self) -> tuple[int, tuple[int, ...]]:
        """Return the bit set of the profile's segments, and the ordinals of those it has left."""
        members = int.from_bytes(self.members, "little")
        if members.bit_count() == _entries(self.details):
            # There is one for each member: those are all.
            return members, ()
        ordinals = _details_decoder.decode(self.details)
        return members, tuple(ordinal for ordinal in ordinals if not members >> ordinal & 1)

    def is_settled(self, tag: str, until_ms: int) -> bool:
        """Tell whether it is as the definitions `tag` want it, and time changes nothing till then.

        Args:
            until_ms: In epoch milliseconds, inclusive.
        """
        return self.tag == tag and (not self.dues or min(self.dues.values()) > until_ms)


def _entries(packed: bytes) -> int:
    """Return how many entries a MessagePack map has; -1 where there are tens of thousands."""
    head = packed[0]
    if head & 0xF0 == 0x80:
        return head & 0x0F
    return int.from_bytes(packed[1:3], "big") if head == 0xDE else -1


_details_decoder = msgspec.msgpack.Decoder(dict[int, msgspec.Raw])
_decoder = msgspec.msgpack.Decoder(StateGlance)
_NONE = msgspec.Raw()


def glance_at_whole(packed: bytes) -> StateGlance | None:
    """Unpack only what is needed of a state; None for one that takes more to read.

    Raises:
        ConfigurationError: As `decode`.
    """
    whole = whole_part(packed)
    if whole is None:
        return None
    try:
        return _decoder.decode(whole)
    except msgspec.DecodeError as error:
        raise ConfigurationError(f"a stored profile cannot be read: {error}") from error


def glance(packed: bytes) -> StateGlance:
    """Unpack only what is needed of a state: some times faster than `decode`.

    Raises:
        ConfigurationError: As `decode`.
    """
    found = glance_at_whole(packed)
    if found is not None:
        return found
    # Changes were appended to it, or an older version wrote it.
    state = decode(packed)
    return StateGlance(
        state.tag,
        state.attributes_json,
        state.arrivals,
        state.orders.tobytes(),
        state.frames,
        _NONE,
        _NONE,
        _NONE,
        state.dues,
        state.members,
        state.details.packed(),
        state.deleted_ms,
        state.created,
    )
