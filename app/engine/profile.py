"""The state of one profile and its codec.

Stored, a state is one version byte and a MessagePack array (shape: `_Packed`). Everything a rule
needs is in it but the bodies of past events, which `app.engine.history` keeps. Long columns of
integers are stored as machine words, so that the state of a busy profile is copied rather than
encoded number by number.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Any

import msgspec
import orjson

from app.domain.errors import ConfigurationError
from app.domain.model import JsonObject
from app.engine.recent_ids import RecentIds
from app.engine.tables import DetailTable, MatchTable

STATE_VERSION = 1
_VERSION_BYTE = bytes([STATE_VERSION])

# An event's order: its time in ms, then its arrival number in the profile. One integer, so that
# sorting, searching and storing need no pairs. 43 + 20 bits fit a signed 64-bit integer;
# ingestion refuses instants from 2248 on.
ORDER_BITS = 20
_ARRIVAL_MASK = (1 << ORDER_BITS) - 1
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


@dataclass(slots=True)
class ProfileState:
    """One profile.

    Attributes:
        tag: Tag of the catalogue the state was migrated to.
        attributes_json: The profile record as JSON.
        arrivals: Events ever applied.
        orders: Orders of all kept events, ascending.
        frames: Event frames stored, kept or not.
        recent_ids: Ids of events applied lately.
        matches: Matching events by timeline key.
        dues: Key of a timeline or leaf → next instant at which its answer can change by itself.
        members: Bit set over segment ordinals, little endian: the profile is in these segments.
        details: By segment ordinal, for every segment the profile ever was in.
        deleted_ms: Partition clock of the deletion; 0 while the profile exists. A deleted profile
            is a stub: only `details` and `recent_ids` are kept.
        created: False until the first update was applied.
        due_floor_ms: No due is earlier; not stored.
    """

    tag: str = ""
    attributes_json: bytes = b"{}"
    arrivals: int = 0
    orders: array[int] = field(default_factory=lambda: array("q"))
    frames: int = 0
    recent_ids: RecentIds = field(default_factory=RecentIds)
    matches: MatchTable = field(default_factory=MatchTable)
    dues: dict[int, int] = field(default_factory=dict)
    members: bytes = b""
    details: DetailTable = field(default_factory=DetailTable)
    deleted_ms: int = 0
    created: bool = False
    due_floor_ms: int = 0


class _Packed(msgspec.Struct, array_like=True, gc=False):
    """The stored shape; words are in the byte order of the machine, which is little endian."""

    tag: str
    attributes_json: bytes
    arrivals: int
    orders: bytes
    frames: int
    id_hashes: bytes
    id_times: bytes
    matches: dict[int, bytes]
    dues: dict[int, int]
    members: bytes
    details: bytes
    deleted_ms: int
    created: bool


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Packed)


def encode(state: ProfileState) -> bytes:
    """Pack a state."""
    ids = state.recent_ids
    return _VERSION_BYTE + _encoder.encode(
        (
            state.tag,
            state.attributes_json,
            state.arrivals,
            state.orders.tobytes(),
            state.frames,
            ids.hashes.tobytes(),
            ids.times.tobytes(),
            state.matches.packed(),
            state.dues,
            state.members,
            state.details.packed(),
            state.deleted_ms,
            state.created,
        )
    )


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
        found = _decoder.decode(memoryview(packed)[1:])
        return ProfileState(
            found.tag,
            found.attributes_json,
            found.arrivals,
            array("q", found.orders),
            found.frames,
            RecentIds(array("Q", found.id_hashes), array("q", found.id_times)),
            MatchTable(found.matches),
            found.dues,
            found.members,
            DetailTable(packed=found.details),
            found.deleted_ms,
            found.created,
        )
    except (msgspec.DecodeError, ValueError) as error:
        raise ConfigurationError(f"a stored profile cannot be read: {error}") from error


def load_attributes(state: ProfileState) -> JsonObject:
    """Return the profile record of a state."""
    record: Any = orjson.loads(state.attributes_json)
    return record  # type: ignore[no-any-return]  # written by us: always an object


def next_due(state: ProfileState) -> int | None:
    """Return the earliest instant at which some answer can change without an event."""
    dues = state.dues
    return min(dues.values()) if dues else None
