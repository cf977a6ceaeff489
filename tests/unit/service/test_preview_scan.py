from __future__ import annotations

from array import array

import orjson
import pytest

from app.domain.errors import InvalidDefinition, NotFound
from app.domain.limits import DAY_MS, EngineLimits
from app.domain.model import Tenant
from app.domain.previews import PreviewTask, ScannedProfiles, Share
from app.engine.history import frame
from app.engine.predicate import Predicate
from app.engine.profile import ProfileState, order_of
from app.engine.state_codec import encode, encode_change
from app.service.preview_scan import Look, Turns, begun, related_ids
from app.service.previews import _query_id, preview_id_of

TASK = PreviewTask("q-1", "age > 18", {}, is_stitched=False)
LIMITS = EngineLimits()
NOW_MS = 100 * DAY_MS


def packed(**attributes: object) -> bytes:
    return encode(ProfileState(attributes_json=orjson.dumps(attributes), created=True))


def look(states: list[bytes | None], share: Share, following: int | None, kept: int = 10) -> Look:
    found = Look.at(TASK, Predicate(TASK.expression, {}, LIMITS), share, kept)
    ids = [f"p-{number}" for number in range(len(states))]
    found.over(ScannedProfiles(ids, states, (), following, 0), 0, len(ids))
    found.finish(following)
    return found


def test_what_is_gone_or_deleted_is_not_counted() -> None:
    stub = encode(ProfileState(deleted_ms=5))
    found = look([packed(age=20), None, stub, packed(age=3)], begun(4, 100, 7), None)
    after = found.after
    assert (after.read, after.matched, after.skipped) == (2, 1, 0)
    assert (after.total, after.wanted, after.cursor) == (2, 2, None)
    assert [one.profile_id for one in found.found] == ["p-0"]


def test_a_slice_leaves_the_share_it_began_with_as_it_was() -> None:
    share = begun(100, 3, 7)
    found = look([packed(age=20), b"?"], share, 55)
    assert share == begun(100, 3, 7)
    assert (found.after.read, found.after.skipped, found.after.cursor) == (1, 1, 55)
    assert found.failure is not None
    last = look([packed(age=1)], found.after, 66)
    assert (last.after.cursor, last.after.total, last.after.read) == (None, 100, 2)


def test_only_so_many_matches_of_a_partition_are_kept() -> None:
    found = look([packed(age=20)] * 5, begun(5, 100, 7), None, kept=2)
    assert (found.after.matched, len(found.found)) == (5, 2)


def test_a_partition_without_profiles_is_done_at_once() -> None:
    assert begun(0, 100, 7).cursor is None


def test_tenants_then_previews_then_partitions_take_turns() -> None:
    one, two, turns = Tenant("o", "a"), Tenant("o", "b"), Turns()
    waiting = [(one, "x", 0), (one, "x", 1), (one, "y", 0), (two, "z", 0)]
    chosen = [turns.choose(waiting) for _ in range(8)]
    assert [part and part[0] for part in chosen] == [one, two] * 4
    assert [part for part in chosen if part and part[0] == one] == [
        (one, "x", 0),
        (one, "y", 0),
        (one, "x", 1),
        (one, "y", 0),
    ]
    turns.keep(["y"])
    assert turns.choose([]) is None


def test_events_past_the_retention_are_not_seen() -> None:
    predicate = Predicate('xEvent[eventType = "buy"].count() >= 2', {}, LIMITS)
    orders = [order_of(NOW_MS - age * DAY_MS, age) for age in (31, 2, 1)]
    state = ProfileState(created=True, orders=array("q", sorted(orders)))
    frames = b"".join(frame(order, b'{"eventType":"buy"}') for order in orders)
    assert predicate.holds(encode(state), frames, NOW_MS) is True
    assert predicate.holds(encode(state), frames, NOW_MS + 29 * DAY_MS) is False
    assert predicate.holds(encode(state), None, NOW_MS) is False
    # The second newest is two days old: it is seen until the retention is over, exactly.
    last_ms = NOW_MS + 28 * DAY_MS - 1
    assert predicate.holds(encode(state), frames, last_ms) is True
    assert predicate.holds(encode(state), frames, last_ms + 1) is False


def test_memberships_are_those_kept_in_the_state_and_its_changes() -> None:
    predicate = Predicate('inSegment("a")', {"a": 3}, LIMITS)
    state = ProfileState(created=True, members=b"\x00")
    whole = encode(state)
    assert predicate.holds(whole, None, NOW_MS) is False
    changed = whole + encode_change(state, has_attributes=False, members=b"\x08")
    assert predicate.holds(changed, None, NOW_MS) is True


def test_a_general_opt_out_is_left_out_where_that_is_asked() -> None:
    out = packed(age=20, privacyOptOuts=[{"optOutType": "general_opt_out", "optOutValue": "out"}])
    other = packed(age=20, privacyOptOuts=[{"optOutType": "general_opt_out", "optOutValue": "in"}])
    for excludes, expected in ((True, [False, True, True]), (False, [True, True, True])):
        predicate = Predicate("age > 18", {}, LIMITS, excludes_opt_out=excludes)
        states = (out, other, packed(age=20))
        assert [predicate.holds(one, None, NOW_MS) for one in states] == expected
    assert TASK.excludes_opt_out, "as of a definition that says nothing"


def test_a_predicate_that_cannot_be_evaluated_is_refused() -> None:
    with pytest.raises(InvalidDefinition):
        Predicate('inSegment("unknown")', {}, LIMITS)
    with pytest.raises(InvalidDefinition):
        Predicate("age >", {}, LIMITS)


def test_related_ids_are_all_others_whatever_the_map_is() -> None:
    record = {"identityMap": {"A": [{"id": "p"}, {"id": "x"}, 7], "B": "no", "C": [{"id": "x"}]}}
    assert related_ids("p", record) == ("x",)
    assert related_ids("p", {}) == ()


def test_the_preview_id_reads_back_padded_or_not() -> None:
    query_id = "8a1e2f30-5b1d-4c0b-8e6d-b2a7d1c4f901"
    preview_id = preview_id_of(query_id)
    assert "=" not in preview_id
    assert _query_id(preview_id) == query_id == _query_id(preview_id + "=")
    for wrong in ("", "x", "é", query_id, preview_id[:-4], preview_id + "AA"):
        with pytest.raises(NotFound):
            _query_id(wrong)
