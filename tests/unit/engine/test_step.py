"""What becomes of one profile: duplicates, retention, deletion, order, and what is kept."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.limits import DAY_MS, EngineLimits
from app.domain.model import ProfileKey, RemovedDefinition
from app.engine.profile import ProfileState
from app.engine.state_codec import decode, encode
from app.service.outcome import Outcome
from tests.property.engine_model import BASE_MS, TENANT, Store, definition_set, make_update

KEY = ProfileKey(TENANT, "p")
COUNT = 'xEvent[eventType = "a"].count() >= {}'
WINDOW = 'xEvent[eventType = "a" and timestamp occurs <= 1 day before now].count() >= {}'


class Profile:
    """One profile with its store; times are ms after the base."""

    def __init__(self, *texts: str, limits: EngineLimits | None = None, cache: int = 0) -> None:
        self.store = Store(list(texts), limits or EngineLimits(), cache)
        self.number = 0

    def send(self, at: int = 0, **fields: Any) -> Outcome:
        self.number += 1
        if "event" in fields:
            fields["event_ms"] = BASE_MS + fields.pop("of", at)
        update = make_update(KEY, self.number, BASE_MS + at, **fields)
        return self.store.apply([update], BASE_MS + at)

    def event(self, at: int = 0, kind: str = "a", **fields: Any) -> Outcome:
        body = {"eventType": kind, **fields.pop("body", {})}
        return self.send(at, event=body, **fields)

    def tick(self, at: int) -> Outcome:
        return self.store.apply([], BASE_MS + at, idle=True)

    @property
    def state(self) -> ProfileState:
        packed = self.store.states[KEY]
        assert packed is not None
        return decode(packed)

    @property
    def members(self) -> set[str]:
        return self.store.members(KEY)

    @property
    def kept(self) -> list[int]:
        """Sizes of the timelines."""
        return sorted(len(one.orders) for one in self.state.matches.values())


def brief(outcome: Outcome) -> list[tuple[str, str, int, str]]:
    return [
        (one.segment_id, one.status, one.at_ms - BASE_MS, one.cause.kind) for one in outcome.changes
    ]


# -- duplicates ------------------------------------------------------------------------------


def test_a_duplicate_changes_nothing_and_is_counted() -> None:
    profile = Profile(COUNT.format(2))
    profile.event(event_id="e1")

    outcome = profile.event(5, event_id="e1")

    assert (outcome.applied, outcome.duplicates, outcome.expired) == (0, 1, 0)
    assert outcome.states == {}
    assert outcome.events == {}


def test_without_an_id_nothing_is_a_duplicate() -> None:
    profile = Profile(COUNT.format(2))
    profile.event()

    assert profile.event().applied == 1
    assert profile.members == {"s0"}


@pytest.mark.parametrize(("at", "duplicates"), [(999, 1), (1_000, 0)])
def test_an_id_is_remembered_for_its_window(at: int, duplicates: int) -> None:
    profile = Profile(limits=EngineLimits(dedup_ms=1_000))
    profile.event(event_id="e1")

    assert profile.event(at, event_id="e1").duplicates == duplicates


def test_only_the_newest_ids_are_remembered() -> None:
    profile = Profile(limits=EngineLimits(dedup_ids=2))
    for number in range(3):
        profile.event(event_id=f"e{number}")

    assert profile.event(event_id="e2").duplicates == 1
    assert profile.event(event_id="e1").duplicates == 1
    assert profile.event(event_id="e0").duplicates == 0
    assert len(profile.state.recent_ids) == 2


def test_ids_of_attribute_updates_count_too() -> None:
    profile = Profile("age = 1")
    profile.send(event_id="e1", attributes={"age": 2})

    assert profile.send(event_id="e1", attributes={"age": 1}).duplicates == 1
    assert profile.members == set()


# -- retention -------------------------------------------------------------------------------


@pytest.mark.parametrize(("age", "expired"), [(999, 0), (1_000, 1)])
def test_an_event_of_the_retention_age_is_not_kept(age: int, expired: int) -> None:
    profile = Profile(COUNT.format(1), limits=EngineLimits(retention_ms=1_000))

    outcome = profile.event(of=-age)

    assert outcome.expired == expired
    assert (KEY in outcome.states) is (expired == 0)


def test_attributes_of_an_expired_event_are_applied() -> None:
    profile = Profile("age = 1", COUNT.format(1), limits=EngineLimits(retention_ms=1_000))

    outcome = profile.event(of=-5_000, attributes={"age": 1})

    assert outcome.applied == 1
    assert profile.members == {"s0"}


@pytest.mark.parametrize("text", [COUNT.format(1), "(exists E from xEvent where E.n = n)"])
def test_an_event_is_forgotten_at_its_retention_age_without_an_update(text: str) -> None:
    profile = Profile(text, limits=EngineLimits(retention_ms=1_000))
    profile.event(attributes={"n": 1}, body={"n": 1})

    assert brief(profile.tick(999)) == []
    assert brief(profile.tick(5_000)) == [("s0", "exited", 1_000, "time")]


def test_only_the_newest_events_are_kept() -> None:
    profile = Profile(
        'xEvent[eventType = "old"].count() >= 1', limits=EngineLimits(retention_events=2)
    )
    profile.event(0, "old")
    profile.event(1)

    assert brief(profile.event(2)) == [("s0", "exited", 2, "event")]
    assert len(profile.state.orders) == 2


def test_what_no_count_keeps_is_found_behind_what_the_retention_has_passed() -> None:
    limits = EngineLimits(retention_ms=10_000, retention_events=2)
    profile = Profile('xEvent[eventType = "a"].count() > 2', limits=limits)
    profile.event()
    for at in (20_000, 20_001, 20_002):
        profile.event(at)
    assert (profile.members, profile.kept) == (set(), [2])


def test_an_event_older_than_all_of_a_full_profile_is_not_kept() -> None:
    profile = Profile(limits=EngineLimits(retention_events=2))
    profile.event(10)
    profile.event(11)

    assert profile.event(12, of=9).expired == 1
    # At the very instant of the oldest it arrived later, so it is newer.
    assert profile.event(12, of=10).applied == 1


def test_frames_of_forgotten_events_are_dropped_at_last() -> None:
    profile = Profile(
        "(exists E from xEvent where E.n = n)", limits=EngineLimits(retention_events=3)
    )
    for number in range(400):
        profile.event(number)

    assert profile.state.frames <= 2 * 3 + 65
    frames = profile.store.events[KEY]
    assert frames is not None
    assert len(frames) < 75 * (20 + len('{"eventType":"a"}'))


# -- deletion --------------------------------------------------------------------------------


def test_a_deleted_profile_leaves_everything_and_keeps_its_numbers() -> None:
    profile = Profile(COUNT.format(1), "not (age = 1)")
    profile.event()

    outcome = profile.send(7, deletes=True)

    assert sorted(brief(outcome)) == [
        ("s0", "exited", 7, "profile-deleted"),
        ("s1", "exited", 7, "profile-deleted"),
    ]
    assert outcome.memberships == {KEY: None}
    assert outcome.removed == [KEY]
    assert outcome.events == {KEY: None}
    assert (profile.state.created, profile.state.orders.tolist()) == (False, [])


@pytest.mark.parametrize(("of", "applied"), [(7, 0), (8, 1)])
def test_events_before_the_deletion_change_nothing(of: int, applied: int) -> None:
    profile = Profile(COUNT.format(1))
    profile.event()
    profile.send(7, deletes=True)

    outcome = profile.event(9, of=of)

    assert outcome.applied == applied
    assert [one.sequence for one in outcome.changes] == [3] * applied
    assert outcome.added == [KEY] * applied


def test_the_stub_holds_sequences_hashes_of_ids_and_the_time_of_the_deletion_alone() -> None:
    profile = Profile(COUNT.format(1))
    profile.event(body={"secret": 1}, event_id="u-1")
    profile.send(1, attributes={"secret": 2}, event_id="u-2")

    profile.send(7, deletes=True)

    stub = profile.state
    details = {ordinal: detail.sequence for ordinal, detail in stub.details.items()}
    assert (details, stub.deleted_ms) == ({0: 2}, BASE_MS + 7)
    ids = stub.recent_ids
    assert (len(ids), set(ids.times)) == (2, {BASE_MS + 7})
    only = ProfileState(
        tag=stub.tag, recent_ids=ids, details=stub.details, deleted_ms=stub.deleted_ms
    )
    assert encode(stub) == encode(only)


def test_ids_that_were_out_of_their_window_do_not_come_back_with_the_deletion() -> None:
    profile = Profile(limits=EngineLimits(dedup_ms=10))
    profile.send(0, attributes={"a": 1}, event_id="u-1")
    profile.send(5, attributes={"a": 1}, event_id="u-2")
    profile.send(10, deletes=True)

    assert profile.send(11, attributes={"a": 1}, event_id="u-1").applied == 1
    assert profile.send(19, attributes={"a": 1}, event_id="u-2").duplicates == 1
    assert profile.send(20, attributes={"a": 1}, event_id="u-2").applied == 1


def test_the_stub_is_forgotten_after_the_retention_time() -> None:
    profile = Profile(COUNT.format(1), limits=EngineLimits(retention_ms=1_000))
    profile.event()
    outcome = profile.send(7, deletes=True)

    assert outcome.timers == {KEY: BASE_MS + 1_007}
    assert profile.tick(1_006).states == {}
    assert profile.tick(1_007).states == {KEY: None}
    assert [one.sequence for one in profile.event(1_008).changes] == [1]


def test_nothing_of_a_deleted_profile_stays_beside_the_new_one() -> None:
    profile = Profile()
    profile.event(0, body={"secret": 1})
    updates = [
        make_update(KEY, 2, BASE_MS + 5, deletes=True),
        make_update(KEY, 3, BASE_MS + 6, event={"eventType": "b"}, event_ms=BASE_MS + 6),
    ]

    profile.store.apply(updates, BASE_MS + 6)

    assert b"secret" not in (profile.store.events[KEY] or b"")
    assert b'"b"' in (profile.store.events[KEY] or b"")


def test_deleting_what_is_not_there_says_nothing() -> None:
    outcome = Profile(COUNT.format(1)).send(deletes=True)

    assert (outcome.changes, outcome.removed, outcome.memberships) == ([], [], {})


# -- order -----------------------------------------------------------------------------------


def test_events_of_one_instant_are_in_order_of_arrival() -> None:
    limits = EngineLimits(retention_events=2)
    profile = Profile(*(f"xEvent[n = {n}].count() = 1" for n in range(3)), limits=limits)
    for number in range(3):
        profile.event(0, body={"n": number})

    assert profile.members == {"s1", "s2"}


def test_events_of_one_instant_are_no_sequence_whatever_arrives_first() -> None:
    text = 'chain(xEvent, timestamp, [A: WHAT(eventType = "a"), B: WHAT(eventType = "b")])'
    profile = Profile(text)
    profile.event(0, "a")
    profile.event(0, "b")

    assert profile.members == set()


def test_a_cascade_comes_after_its_cause_in_one_update() -> None:
    profile = Profile('inSegment("s1")', COUNT.format(1), 'inSegment("s0")')
    profile.event(kind="b")

    assert brief(profile.event(1)) == [
        ("s1", "realized", 1, "event"),
        ("s0", "realized", 1, "cascade"),
        ("s2", "realized", 1, "cascade"),
    ]


def test_each_due_time_is_its_own_now() -> None:
    profile = Profile(WINDOW.format(1), WINDOW.format(2))
    profile.event(0)
    profile.event(10)

    assert brief(profile.tick(3 * DAY_MS)) == [
        ("s1", "exited", DAY_MS + 1, "time"),
        ("s0", "exited", DAY_MS + 11, "time"),
    ]


def test_dues_are_fired_before_the_next_update() -> None:
    profile = Profile(WINDOW.format(1))
    profile.event(0)

    assert brief(profile.event(2 * DAY_MS)) == [
        ("s0", "exited", DAY_MS + 1, "time"),
        ("s0", "realized", 2 * DAY_MS, "event"),
    ]


# -- what is kept ----------------------------------------------------------------------------


@pytest.mark.parametrize("needed", [1, 3])
def test_a_count_in_a_window_keeps_as_many_events_as_it_needs(needed: int) -> None:
    profile = Profile(WINDOW.format(needed), WINDOW.format(1))
    for number in range(50):
        profile.event(number)

    assert profile.kept == [needed]
    assert profile.members == {"s0", "s1"}


def test_a_sum_keeps_its_window_and_no_more() -> None:
    text = 'xEvent[eventType = "a" and timestamp occurs <= 10 milliseconds before now].sum(n) > 5'
    profile = Profile(text)
    for number in range(50):
        profile.event(number, body={"n": 1})

    assert profile.kept == [11]


def test_events_to_come_are_kept_beside_the_newest() -> None:
    profile = Profile(WINDOW.format(1).replace("<= 1 day before", "<= 5 milliseconds after"))
    for number in (3, 1, 2, 50):
        profile.event(0, of=number)

    assert profile.kept == [4]

    plain = Profile('xEvent[eventType = "a"].count() >= 1')
    for number in (30, 10, 20):
        plain.event(0, of=number)

    assert plain.kept == [3]


def test_what_has_left_every_window_is_not_stored() -> None:
    profile = Profile(WINDOW.format(1))
    profile.event(0)
    outcome = profile.tick(2 * DAY_MS)

    assert not profile.state.matches
    assert profile.state.dues == {}
    assert outcome.timers == {KEY: None}


def test_one_definition_more_costs_nothing_that_it_does_not_touch() -> None:
    profile = Profile(*(f'xEvent[eventType = "t{n}"].count() >= 1' for n in range(100)))
    profile.event(0, "t5")

    assert profile.kept == [1]
    assert len(profile.state.dues) == 1


def test_the_cache_holds_no_more_profiles_than_it_may() -> None:
    store = Store([COUNT.format(1)], EngineLimits(), 2)
    keys = [ProfileKey(TENANT, f"p{number}") for number in range(3)]
    for number, key in enumerate(keys):
        event = {"eventType": "a"}
        store.apply([make_update(key, number, BASE_MS, event=event, event_ms=BASE_MS)], BASE_MS)

    assert store.engine.missing_states(keys) == keys[:1]


# -- definitions that are gone ---------------------------------------------------------------


def test_a_removed_definition_is_left_with_its_version() -> None:
    profile = Profile(COUNT.format(1), "not (age = 1)")
    profile.event()
    kept = definition_set([COUNT.format(1)]).definitions
    profile.store.define(kept, [RemovedDefinition("s1", 1, 4)], "2-b")

    (change,) = profile.event(5).changes

    assert brief(profile.tick(6)) == []
    assert (change.segment_id, change.status, change.sequence) == ("s1", "exited", 2)
    assert (change.definition_version, change.cause.kind) == (4, "definition")
    assert profile.members == {"s0"}


def test_an_inactive_definition_that_comes_back_goes_on_with_its_sequence() -> None:
    profile = Profile(COUNT.format(1), "not (age = 1)")
    profile.event()
    both = profile.store.catalogue.analysed["s0"], profile.store.catalogue.analysed["s1"]
    kept, away = (one.definition for one in both)
    inactive = RemovedDefinition("s1", 1, 1, is_inactive=True)

    profile.store.define([kept], [inactive], "2-b")
    (left,) = profile.event(5).changes
    profile.store.define([kept], [inactive], "3-c")
    assert profile.event(6).changes == []
    profile.store.define([kept, away], [], "4-d")
    (entered,) = profile.event(7).changes

    assert (left.status, left.sequence, left.cause.kind) == ("exited", 2, "definition")
    assert (entered.status, entered.sequence, entered.segment_id) == ("realized", 3, "s1")
    assert (entered.previous_status, profile.members) == ("exited", {"s0", "s1"})


def test_who_was_not_touched_while_a_definition_was_inactive_stays_in() -> None:
    profile = Profile("not (age = 1)")
    profile.event()
    away = profile.store.catalogue.analysed["s0"].definition

    profile.store.define([], [RemovedDefinition("s0", 0, 1, is_inactive=True)], "2-b")
    profile.store.define([away], [], "3-c")

    assert profile.event(5).changes == []
    assert profile.members == {"s0"}


def test_a_segment_that_nobody_knows_any_more_is_forgotten_without_a_word() -> None:
    profile = Profile(COUNT.format(1), "not (age = 1)")
    profile.event()
    profile.store.define(definition_set([COUNT.format(1)]).definitions, [], "2-b")

    assert profile.event(5).changes == []
    assert profile.state.members == b"\x01"
    assert dict(profile.state.details.items()).keys() == {0}


def test_who_asks_for_a_removed_segment_is_asked_again() -> None:
    profile = Profile(COUNT.format(1), 'inSegment("s0")', cache=10)
    profile.event()
    kept = profile.store.catalogue.analysed["s1"].definition
    profile.store.define([kept], [RemovedDefinition("s0", 0, 1)], "2-b")

    left = [(one.segment_id, one.status) for one in profile.event(5).changes]

    assert left == [("s0", "exited"), ("s1", "exited")]


# -- clock and timers ------------------------------------------------------------------------


def test_the_clock_never_runs_back() -> None:
    profile = Profile(COUNT.format(2))
    profile.event(1_000)

    outcome = profile.event(0)

    assert outcome.clock_ms == BASE_MS + 1_000
    assert brief(outcome) == [("s0", "realized", 1_000, "event")]


def test_the_clock_never_runs_ahead_of_the_wall() -> None:
    profile = Profile(COUNT.format(1))
    update = make_update(KEY, 1, BASE_MS + 9_000, event={"eventType": "a"}, event_ms=BASE_MS)

    outcome = profile.store.apply([update], BASE_MS + 5)

    assert outcome.clock_ms == BASE_MS + 5
    assert brief(outcome) == [("s0", "realized", 5, "event")]


def test_a_timer_that_fires_in_vain_is_written_again() -> None:
    profile = Profile(WINDOW.format(1))
    profile.event(0)
    profile.store.timers[KEY] = BASE_MS + 1  # as the stored one, had it been early

    assert profile.tick(2).timers == {KEY: BASE_MS + DAY_MS + 1}


def test_each_new_profile_begins_with_the_answers_of_its_time() -> None:
    store = Store(["currentDayOfMonth() > 15"], EngineLimits(), 0)
    found = []
    for number, day in enumerate((0, 20, 20)):
        key, at_ms = ProfileKey(TENANT, f"p{number}"), BASE_MS + day * DAY_MS
        store.apply([make_update(key, number, at_ms, attributes={})], at_ms)
        found.append(store.members(key))

    assert found == [set(), {"s0"}, {"s0"}]


@pytest.mark.parametrize("cache", [0, 10])
def test_a_rule_over_the_events_themselves_does_not_see_forgotten_ones(cache: int) -> None:
    text = "(exists E from xEvent where E.n = n)"
    profile = Profile(text, limits=EngineLimits(retention_events=2), cache=cache)
    profile.event(0, attributes={"n": 1}, body={"n": 1})
    profile.event(1)

    assert profile.members == {"s0"}
    assert brief(profile.event(2)) == [("s0", "exited", 2, "event")]


def test_an_earlier_due_time_is_noticed_by_a_profile_in_memory() -> None:
    hour = 'xEvent[eventType = "b" and timestamp occurs <= 1 hour before now]'
    profile = Profile(WINDOW.format(1), hour, cache=10)
    profile.event(0)
    profile.event(1, "c")
    profile.event(2, "b")

    assert brief(profile.event(2 * 3_600_000, "c")) == [("s1", "exited", 3_600_003, "time")]


@pytest.mark.parametrize(
    "text",
    [
        WINDOW.format(1),
        "chain(xEvent, timestamp, [A: WHAT(true) WHEN(<= 1 day before now),"
        " B: WHAT(true) WHEN(<= 1 day before now)])",
    ],
)
def test_what_is_overdue_when_the_definitions_change_is_not_lost(text: str) -> None:
    profile = Profile(text, cache=10)
    profile.event(0)
    profile.event(1)
    more = definition_set([text, "age = 1"]).definitions
    profile.store.define(more, [], "2-b")

    assert profile.members == {"s0"}
    assert brief(profile.send(3 * DAY_MS, attributes={})) == [("s0", "exited", 3 * DAY_MS, "time")]


def test_a_duplicate_from_before_the_deletion_stays_one() -> None:
    profile = Profile("age = 1")
    profile.send(event_id="e1", attributes={"age": 1})
    profile.send(5, deletes=True)

    assert profile.send(6, event_id="e1", attributes={"age": 1}).duplicates == 1
    assert profile.members == set()
