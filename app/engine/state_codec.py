"""How the state of a profile is stored.

A state is one version byte, the length of what follows (uint32, little endian), and a MessagePack
array (shape: `_Packed`). Long columns of integers are stored as machine words, so that the state
of a busy profile is copied rather than encoded number by number.

Behind it come changes, each with its length (uint32): what batches since then have added to the
state (shape: `_Change`). The state of a busy profile is large and changes with every batch, by
little: writing only that costs a small part of writing all of it. Once the changes together have
half the size of the state it is written anew.

Version 1 is the MessagePack array alone, without length and changes. Version 3 is version 2 with
one more part, the memberships in external audiences; only profiles that have some are written so,
and a program that does not know them refuses those.
"""

from __future__ import annotations

import struct
from array import array
from bisect import bisect_right

import msgspec

from app.domain.errors import ConfigurationError
from app.engine.profile import ProfileState
from app.engine.recent_ids import RecentIds
from app.engine.tables import Detail, DetailTable, Matches, MatchTable, Number

STATE_VERSION = 2
_VERSION_BYTE = bytes([STATE_VERSION])
_EXTERNAL_BYTE = b"\x03"
_LENGTH = struct.Struct("<I")
_HEAD_BYTES = 1 + _LENGTH.size


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
    # Not in states of older versions, which go on reading those of this one.
    updated_ms: int = 0
    external: dict[int, int] = {}


_MatchesChange = tuple[int, bytes, list[Number]]
"""How many of the oldest to drop (-1: all), then orders and numbers to append."""


class _Change(msgspec.Struct, array_like=True, gc=False):
    """What a batch did to a state; None for what it left as it was.

    Attributes:
        cut_orders, cut_ids: So many of the oldest are to be dropped, after the new ones are in.
        late_orders: Belong among the old ones; `orders` come behind them.
        matches, dues, details: None for what is gone.
    """

    attributes_json: bytes | None
    arrivals: int
    frames: int
    cut_orders: int
    late_orders: list[int]
    orders: bytes
    cut_ids: int
    id_hashes: bytes
    id_times: bytes
    matches: dict[int, _MatchesChange | None]
    dues: dict[int, int | None]
    members: bytes | None
    details: dict[int, Detail | None]
    updated_ms: int = 0


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Packed)
_change_decoder = msgspec.msgpack.Decoder(_Change)


def encode(state: ProfileState) -> bytes:
    """Pack a state as a whole, and take note that it is stored."""
    ids = state.recent_ids
    last = (state.external,) if state.external else ()
    packed = _encoder.encode(
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
            state.updated_ms,
            *last,
        )
    )
    state.mark_saved(len(packed) + _HEAD_BYTES, 0)
    return (_EXTERNAL_BYTE if last else _VERSION_BYTE) + _LENGTH.pack(len(packed)) + packed


def is_appendable(state: ProfileState, whole_bytes: int) -> bool:
    """Tell whether a change of the state is better appended than written with all the rest.

    Args:
        state: As it is now.
        whole_bytes: States below this size are always written whole: that is as cheap.
    """
    base_bytes = state.base_bytes
    return base_bytes > 0 and base_bytes >= whole_bytes and state.log_bytes < base_bytes // 2


def encode_change(state: ProfileState, *, has_attributes: bool, members: bytes | None) -> bytes:
    """Pack what has changed since the state was stored, and take note that this is stored.

    Args:
        state: For which `is_appendable` holds.
        has_attributes: The record has changed.
        members: The new bit set, None where it is the stored one.
    """
    ids, dues, details = state.recent_ids, state.dues, state.details
    packed = _encoder.encode(
        (
            state.attributes_json if has_attributes else None,
            state.arrivals,
            state.frames,
            state.cut_orders,
            state.late_orders,
            state.orders[state.saved_orders :].tobytes(),
            ids.cut,
            ids.hashes[ids.saved :].tobytes(),
            ids.times[ids.saved :].tobytes(),
            {key: _matches_change(state.matches.get(key)) for key in state.matches.changed},
            {key: dues.get(key) for key in state.changed_dues},
            members,
            {ordinal: details.get(ordinal) for ordinal in details.changed},
            state.updated_ms,
        )
    )
    state.mark_saved(state.base_bytes, state.log_bytes + len(packed) + _LENGTH.size)
    return _LENGTH.pack(len(packed)) + packed


def _matches_change(matches: Matches | None) -> _MatchesChange | None:
    if matches is None:
        return None
    saved = matches.saved
    if saved < 0:
        return -1, matches.orders.tobytes(), matches.values
    return matches.cut, matches.orders[saved:].tobytes(), matches.values[saved:]


def decode(packed: bytes) -> ProfileState:
    """Unpack a state.

    Raises:
        ConfigurationError: The bytes were written by a version this one cannot read.
    """
    version = packed[:1]
    if version not in (_VERSION_BYTE, _EXTERNAL_BYTE, b"\x01"):
        raise ConfigurationError(
            f"a stored profile has state version {version!r}, this program reads "
            "1, 2 and 3; run the version of the program that wrote it"
        )
    view = memoryview(packed)
    try:
        if version == b"\x01":
            return _state(view[1:])
        end = _HEAD_BYTES + _length_at(view, 1)
        state = _state(view[_HEAD_BYTES:end])
        log_bytes = len(view) - end
        while end < len(view):
            start = end + _LENGTH.size
            end = start + _length_at(view, end)
            _apply(state, _change_decoder.decode(view[start:end]))
        state.mark_saved(len(view) - log_bytes, log_bytes)
        return state
    except (msgspec.DecodeError, struct.error, ValueError) as error:
        raise ConfigurationError(f"a stored profile cannot be read: {error}") from error


def whole_part(packed: bytes) -> bytes | None:
    """Return the MessagePack array of a state that is nothing else; None for any other state."""
    if packed[:1] != _VERSION_BYTE or len(packed) < _HEAD_BYTES:
        return None
    has_more = _LENGTH.unpack_from(packed, 1)[0] != len(packed) - _HEAD_BYTES
    # Copied, not viewed: for the small states that these are it takes a third of the time.
    return None if has_more else packed[_HEAD_BYTES:]


def _length_at(view: memoryview, at: int) -> int:
    length: int = _LENGTH.unpack_from(view, at)[0]
    if at + _LENGTH.size + length > len(view):
        raise ValueError("it was cut off")
    return length


def _state(view: memoryview) -> ProfileState:
    found = _decoder.decode(view)
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
        found.updated_ms,
        external=found.external,
    )


def _apply(state: ProfileState, change: _Change) -> None:
    if change.attributes_json is not None:
        state.attributes_json = change.attributes_json
    if change.members is not None:
        state.members = change.members
    state.arrivals, state.frames = change.arrivals, change.frames
    state.updated_ms = change.updated_ms or state.updated_ms
    for order in change.late_orders:
        state.orders.insert(bisect_right(state.orders, order), order)
    state.orders.frombytes(change.orders)
    del state.orders[: change.cut_orders]
    ids = state.recent_ids
    ids.hashes.frombytes(change.id_hashes)
    ids.times.frombytes(change.id_times)
    del ids.hashes[: change.cut_ids]
    del ids.times[: change.cut_ids]
    for key, matches in change.matches.items():
        _apply_matches(state.matches, key, matches)
    for key, due_ms in change.dues.items():
        if due_ms is None:
            state.dues.pop(key, None)
        else:
            state.dues[key] = due_ms
    for ordinal, detail in change.details.items():
        if detail is None:
            state.details.pop(ordinal)
        else:
            state.details[ordinal] = detail


def _apply_matches(table: MatchTable, key: int, change: _MatchesChange | None) -> None:
    if change is None:
        table.drop(key)
        return
    cut, orders, values = change
    matches = table.get(key) if cut >= 0 else None
    if matches is None:
        matches = Matches()
    matches.orders.frombytes(orders)
    matches.values.extend(values)
    matches.drop(max(cut, 0))
    table[key] = matches
