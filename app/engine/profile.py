"""The packed state of one profile and its codec.

A state is one version byte and a MessagePack array (shape: the fields of `ProfileState` in order).
Everything a rule needs is in it but the bodies of past events, which `app.engine.history` keeps.
"""

from __future__ import annotations

from typing import Any

import msgspec
import orjson

from app.domain.errors import ConfigurationError
from app.domain.model import JsonObject

STATE_VERSION = 1
_VERSION_BYTE = bytes([STATE_VERSION])

# An event's order: its time in ms, then its arrival number in the profile. One integer, so that
# sorting, searching and storing need no pairs. 43 + 20 bits fit a signed 64-bit integer.
ORDER_BITS = 20
_ARRIVAL_MASK = (1 << ORDER_BITS) - 1
MAX_EVENT_MS = 1 << 43
MAX_ORDER = 1 << 63
"""Above the order of every event."""


def order_of(at_ms: int, arrival: int) -> int:
    """Return the order of the event that is number `arrival` of its profile.

    Arrival numbers wrap after 2**20; two events tie only within one millisecond and 2**20 events
    apart, and then either may come first.
    """
    return at_ms << ORDER_BITS | arrival & _ARRIVAL_MASK


def first_order(at_ms: int) -> int:
    """Return the smallest order of the instant `at_ms`; below every event at or after it."""
    return at_ms << ORDER_BITS


class Matches(msgspec.Struct, array_like=True, gc=False):
    """The kept events that match one filter.

    Attributes:
        orders: Ascending.
        values: The extracted number of each, parallel to `orders`; empty for plain counting.
    """

    orders: list[int]
    values: list[int | float]


class Detail(msgspec.Struct, array_like=True, gc=False):
    """What is remembered of one membership beside its bit."""

    at_ms: int
    sequence: int


class ProfileState(msgspec.Struct, array_like=True):
    """One profile.

    Attributes:
        tag: Tag of the catalogue the state was migrated to.
        attributes_json: The profile record as JSON; stale while `attributes` is set.
        arrivals: Events ever applied.
        orders: Orders of all kept events, ascending.
        frames: Event frames stored, kept or not.
        recent_ids: Hash of an applied event id → partition clock at that time; oldest first.
        matches: Timeline key → matching events; absent while there are none.
        dues: Key of a timeline or leaf → next instant at which its answer can change by itself.
        members: Bit set over segment ordinals, little endian: the profile is in these segments.
        details: Segment ordinal → detail, for every segment the profile ever was in.
        deleted_ms: Partition clock of the deletion; 0 while the profile exists. A deleted profile
            is a stub: only `details` and `recent_ids` are kept.
        created: False until the first update was applied.
    """

    tag: str = ""
    attributes_json: bytes = b"{}"
    arrivals: int = 0
    orders: list[int] = []
    frames: int = 0
    recent_ids: dict[int, int] = {}
    matches: dict[int, Matches] = {}
    dues: dict[int, int] = {}
    members: bytes = b""
    details: dict[int, Detail] = {}
    deleted_ms: int = 0
    created: bool = False


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(ProfileState)


def encode(state: ProfileState) -> bytes:
    """Pack a state."""
    return _VERSION_BYTE + _encoder.encode(state)


def decode(packed: bytes) -> ProfileState:
    """Unpack a state.

    Raises:
        ConfigurationError: The bytes were written by a version this one cannot read.
    """
    if packed[:1] != _VERSION_BYTE:
        raise ConfigurationError(
            f"a stored profile has state version {packed[:1]!r}, this program reads "
            f"{STATE_VERSION}; run the version of the program that wrote it"
        )
    try:
        return _decoder.decode(memoryview(packed)[1:])
    except msgspec.DecodeError as error:
        raise ConfigurationError(f"a stored profile cannot be read: {error}") from error


def load_attributes(state: ProfileState) -> JsonObject:
    """Return the profile record of a state."""
    record: Any = orjson.loads(state.attributes_json)
    return record  # type: ignore[no-any-return]  # written by us: always an object


def next_due(state: ProfileState) -> int | None:
    """Return the earliest instant at which some answer can change without an event."""
    dues = state.dues
    return min(dues.values()) if dues else None
