"""What is stored of a profile: the packed state and the frames of its events."""

from __future__ import annotations

from array import array
from dataclasses import Field, fields, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.errors import ConfigurationError
from app.engine.history import frame, read_frames, rewrite_frames
from app.engine.profile import ProfileState, next_due, order_of
from app.engine.recent_ids import RecentIds
from app.engine.state_codec import decode, encode, encode_change, is_appendable
from app.engine.tables import Detail, DetailTable, Matches, MatchTable

GOLDEN = Path(__file__).with_name("state-v2-updated.hex")
SHORT_GOLDEN = Path(__file__).with_name("state-v2.hex")
OLD_GOLDEN = Path(__file__).with_name("state-v1.hex")
EXAMPLE = ProfileState(
    tag="12-9f3a",
    attributes_json=b'{"city":"Oslo"}',
    arrivals=3,
    orders=array("q", [1_767_607_200_000 << 20, 1_767_607_200_001 << 20 | 2]),
    frames=3,
    recent_ids=RecentIds(array("Q", [(1 << 64) - 1]), array("q", [1_767_607_200_000])),
    matches=MatchTable(
        {(1 << 63) - 1: Matches(array("q", [5, 6])), 7: Matches(array("q", [5]), [2.5])}
    ),
    dues={7: 1_767_607_200_500},
    members=b"\x05",
    details=DetailTable({0: Detail(1_767_607_200_000, 3), 2: Detail(1_767_607_200_000, 1)}),
    deleted_ms=0,
    created=True,
    updated_ms=1_767_607_200_400,
)
# The times of updates were not stored at first.
OLD_EXAMPLE = replace(EXAMPLE, updated_ms=0)
Steps = list[tuple[int, int | float, int]]
integers = st.integers(0, (1 << 63) - 1)
numbers = st.one_of(st.integers(-(1 << 63), (1 << 63) - 1), st.floats(allow_nan=False))
words = st.lists(integers, max_size=3).map(lambda found: array("q", found))
hashes = st.lists(st.integers(0, (1 << 64) - 1), max_size=3).map(lambda found: array("Q", found))
states = st.builds(
    ProfileState,
    tag=st.text(max_size=5),
    attributes_json=st.binary(max_size=8),
    arrivals=integers,
    orders=words,
    frames=integers,
    recent_ids=st.builds(RecentIds, hashes, words),
    matches=st.dictionaries(
        integers,
        st.builds(Matches, words, st.lists(numbers, max_size=3)),
        max_size=3,
    ).map(MatchTable),
    dues=st.dictionaries(integers, integers, max_size=3),
    members=st.binary(max_size=4),
    details=st.dictionaries(integers, st.builds(Detail, integers, integers), max_size=3).map(
        DetailTable
    ),
    deleted_ms=integers,
    created=st.booleans(),
    updated_ms=integers,
)


def fields_of(state: ProfileState) -> list[tuple[str, Field[Any]]]:
    return [(one.name, one) for one in fields(state)]


def plain(state: ProfileState) -> dict[str, Any]:
    """Return all stored fields, those of the ids apart: they compare by identity."""
    found = {name: getattr(state, name) for name, one in fields_of(state) if one.compare}
    ids = found.pop("recent_ids")
    del found["due_floor_ms"]
    return found | {"hashes": ids.hashes, "times": ids.times}


@given(state=states)
def test_a_state_survives_its_packing(state: ProfileState) -> None:
    assert plain(decode(encode(state))) == plain(state)


def test_a_stored_state_is_read_for_ever() -> None:
    """A failure here means: stored profiles of users can no longer be read.

    Give the new format a new version, and this one a way to be read.
    """
    whole, change = (bytes.fromhex(line) for line in GOLDEN.read_text().split())
    state = decode(whole)

    assert encode(EXAMPLE) == whole
    assert plain(state) == plain(EXAMPLE)
    amend(state)
    assert encode_change(state, has_attributes=True, members=b"\x01") == change
    assert plain(decode(whole + change)) == plain(state)


def test_a_state_without_time_of_update_is_read_with_changes() -> None:
    whole, change = (bytes.fromhex(line) for line in SHORT_GOLDEN.read_text().split())
    state = decode(whole)

    assert plain(state) == plain(OLD_EXAMPLE)
    amend(state)
    assert plain(decode(whole + change)) == {**plain(state), "updated_ms": 0}


def test_a_state_of_version_1_is_read_and_written_anew() -> None:
    state = decode(bytes.fromhex(OLD_GOLDEN.read_text()))

    assert plain(state) == plain(OLD_EXAMPLE)
    assert not is_appendable(state, 0)
    assert plain(decode(encode(state))) == plain(OLD_EXAMPLE)


def amend(state: ProfileState) -> None:
    """Change everything that a change can say."""
    state.attributes_json, state.members = b'{"city":"Rome"}', b"\x01"
    state.arrivals, state.frames = 5, 5
    late, newest = 1_767_607_200_000 << 20 | 1, 1_767_607_200_009 << 20
    assert not state.add_order(late)
    assert state.add_order(newest)
    state.drop_orders(1)
    state.recent_ids.add(7, 1_767_607_200_009)
    state.recent_ids.trim(1, 0)
    longer = state.matches.get((1 << 63) - 1)
    assert longer is not None
    longer.insert(2, newest, None)
    longer.drop(1)
    state.matches[(1 << 63) - 1] = longer
    state.matches.drop(7)
    state.matches[9] = Matches(array("q", [newest]), [3])
    state.clear_due(7)
    state.set_due(9, 1_767_607_200_600)
    state.details[0] = Detail(1_767_607_200_009, 4)
    state.details.pop(2)
    state.updated_ms = 1_767_607_200_009


steps = st.lists(st.tuples(integers, numbers, st.integers(0, 3)), max_size=6)


@given(first=steps, second=steps)
def test_appended_changes_give_the_state_they_came_from(first: Steps, second: Steps) -> None:
    state = ProfileState()
    for step in first:
        take(state, step)
    stored = encode(state)
    for step in second:
        take(state, step)
        stored += encode_change(state, has_attributes=False, members=None)

        assert plain(decode(stored)) == plain(state)


def take(state: ProfileState, step: tuple[int, int | float, int]) -> None:
    """Add an event, anywhere, and forget some of the oldest."""
    order, number, drop = step
    state.add_order(order)
    state.drop_orders(min(drop, len(state.orders) - 1))
    state.recent_ids.add(order, order)
    state.recent_ids.trim(max(len(state.recent_ids) - drop, 0), -1)
    matches = state.matches.get(order % 2) or Matches()
    matches.insert(len(matches.orders) * (order % 3) // 2, order, number)
    matches.drop(drop)
    state.matches[order % 2] = matches
    state.set_due(order, order)
    if drop:
        state.clear_due(order)
        state.matches.drop((order + 1) % 2)


def test_changes_are_appended_to_large_states_until_they_are_half_their_size() -> None:
    state = decode(encode(EXAMPLE))
    base_bytes = state.base_bytes

    assert is_appendable(state, base_bytes)
    assert not is_appendable(state, base_bytes + 1)
    while state.log_bytes < base_bytes // 2:
        assert is_appendable(state, base_bytes)
        encode_change(state, has_attributes=True, members=None)
    assert not is_appendable(state, base_bytes)
    encode(state)
    assert is_appendable(state, base_bytes)


@pytest.mark.parametrize("packed", [b"", b"\x00\x90", b"\x04\x90", b"{}"])
def test_another_version_is_refused_with_what_to_do(packed: bytes) -> None:
    with pytest.raises(ConfigurationError, match=r"state version .*run the version"):
        decode(packed)


@pytest.mark.parametrize(
    "packed",
    [
        b"\x01",
        b"\x01\xc1",
        b"\x01\x91\x05",
        b"\x01\x05",
        b"\x02",
        b"\x02\x01\x00\x00\x00\xc1",
        encode(EXAMPLE) + b"\x01",
        encode(EXAMPLE) + b"\x01\x00\x00\x00\xc1",
    ],
)
def test_a_broken_state_is_refused(packed: bytes) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        decode(packed)


@pytest.mark.parametrize("cut", [1, 9, 40])
def test_a_state_that_was_cut_off_is_refused(cut: int) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        decode(encode(EXAMPLE)[:-cut])


def test_the_next_due_is_the_earliest() -> None:
    assert next_due(ProfileState()) is None
    assert next_due(ProfileState(dues={1: 30, 2: 10, 3: 20})) == 10


def test_events_are_ordered_by_time_then_by_arrival() -> None:
    assert order_of(5, 9) < order_of(6, 0)
    assert order_of(5, 1) < order_of(5, 2)
    assert order_of(5, (1 << 20) - 1) < order_of(6, 0)


A, B, C = order_of(3, 0), order_of(1, 1), order_of(2, 2)
FRAMES = frame(A, b'{"n":1}') + frame(B, b'{"n":2,"timestamp":"x"}') + frame(C, b'{"n":3}')


def test_kept_frames_are_read_oldest_first_with_their_time() -> None:
    found = read_frames(FRAMES, [C, A])

    assert [(one.order, one.at_ms) for one in found] == [(C, 2), (A, 3)]
    assert [dict(one.body) for one in found] == [
        {"n": 3, "timestamp": 2},
        {"n": 1, "timestamp": 3},
    ]


def test_the_time_of_an_event_is_ours() -> None:
    (only,) = read_frames(FRAMES, [B])

    assert only.body["timestamp"] == 1


def test_a_frame_says_when_its_event_was_applied() -> None:
    frames = frame(A, b'{"n":1}', 70) + frame(B, b'{"n":2}') + frame(C, b'{"n":3}', 90)

    assert [one.applied_ms for one in read_frames(frames, [A, B, C])] == [1, 90, 70]
    kept, count = rewrite_frames(frames, [A, C])
    assert count == 2
    assert kept == frame(A, b'{"n":1}', 70) + frame(C, b'{"n":3}', 90)


def test_a_frame_that_was_appended_twice_is_one_event() -> None:
    twice = FRAMES + frame(A, b'{"n":1}')

    assert [one.order for one in read_frames(twice, [A, B])] == [B, A]
    assert rewrite_frames(twice, [A, B]) == (FRAMES[: -len(frame(C, b'{"n":3}'))], 2)


def test_rewriting_keeps_what_is_kept() -> None:
    frames, count = rewrite_frames(FRAMES, [B])

    assert count == 1
    assert frames == frame(B, b'{"n":2,"timestamp":"x"}')
    assert rewrite_frames(FRAMES, []) == (b"", 0)
    assert rewrite_frames(b"", [A]) == (b"", 0)
