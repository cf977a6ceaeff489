"""The engine brings profiles to changed definitions that no update asks for."""

from __future__ import annotations

import pytest

from app.domain.limits import EngineLimits
from app.domain.model import (
    DefinitionSet,
    Membership,
    Origin,
    ProfileKey,
    ProfileUpdate,
    RemovedDefinition,
    SegmentDefinition,
    Tenant,
)
from app.engine.catalogue import compile_catalogue
from app.service.outcome import Outcome
from app.service.partition import PartitionEngine
from app.service.restoration import restored_state

TENANT = Tenant("o", "s")
KEY = ProfileKey(TENANT, "p-1")
GHOST = ProfileKey(TENANT, "p-2")
AT = 1_767_607_200_000
LIMITS = EngineLimits()
ADULT = SegmentDefinition("adult", 0, 1, "age > 18")
OLD = SegmentDefinition("old", 1, 1, "age > 60")


class Bench:
    """An engine with one profile of 40 years, under no definition yet."""

    def __init__(self) -> None:
        self.engine = PartitionEngine(LIMITS, 10)
        self.define("1-a")
        self.states: dict[ProfileKey, bytes | None] = {}
        self.apply(ProfileUpdate(KEY, Origin("t", 0, 1), AT, attributes={"age": 40}))

    def define(self, tag: str, *live: SegmentDefinition, removed: tuple[int, ...] = ()) -> None:
        gone = tuple(RemovedDefinition(f"gone-{one}", one, 1) for one in removed)
        wanted = DefinitionSet(TENANT, tag, live, gone)
        self.engine.set_catalogue(TENANT, compile_catalogue(wanted, LIMITS))

    def apply(self, *updates: ProfileUpdate, scanned: tuple[ProfileKey, ...] = ()) -> Outcome:
        asked = [*(one.key for one in updates), *scanned]
        missing = self.engine.missing_states(asked)
        self.engine.provide_states({key: self.states.get(key) for key in missing})
        outdated = self.engine.outdated(scanned)
        self.engine.provide_events(dict.fromkeys(self.engine.missing_events(asked)))
        outcome = self.engine.apply(updates, [], AT, AT, outdated)
        self.states.update(outcome.states)
        return outcome

    def scan(self, *keys: ProfileKey) -> Outcome:
        return self.apply(scanned=keys or (KEY, GHOST))


@pytest.fixture
def bench() -> Bench:
    return Bench()


def told(outcome: Outcome) -> list[tuple[str, int, str, str]]:
    return [(one.segment_id, one.sequence, one.status, one.cause.kind) for one in outcome.changes]


def test_a_profile_without_updates_enters_a_new_definition(bench: Bench):
    bench.define("2-b", ADULT, OLD)
    outcome = bench.scan()
    assert told(outcome) == [("adult", 1, "realized", "backfill")]
    assert set(outcome.states) == set(outcome.memberships) == {KEY}


def test_an_edit_moves_it_out_and_in(bench: Bench):
    bench.define("2-b", ADULT, OLD)
    bench.scan()
    young = SegmentDefinition("adult", 0, 2, "age < 18")
    forty = SegmentDefinition("old", 1, 2, "age >= 40")
    bench.define("3-c", young, forty)
    assert sorted(told(bench.scan())) == [
        ("adult", 2, "exited", "definition"),
        ("old", 1, "realized", "definition"),
    ]


def test_a_deletion_takes_it_out(bench: Bench):
    bench.define("2-b", SegmentDefinition("gone-0", 0, 1, "age > 18"))
    bench.scan()
    bench.define("3-c", removed=(0,))
    assert told(bench.scan()) == [("gone-0", 2, "exited", "definition")]


def test_what_is_up_to_date_costs_and_writes_nothing(bench: Bench):
    bench.define("2-b", ADULT)
    bench.scan()
    outcome = bench.scan()
    assert (outcome.changes, outcome.states, outcome.appended) == ([], {}, {})
    assert (outcome.events, outcome.timers, outcome.memberships) == ({}, {}, {})


def test_an_update_in_the_same_batch_comes_first_and_once(bench: Bench):
    bench.define("2-b", ADULT, OLD)
    update = ProfileUpdate(KEY, Origin("t", 0, 2), AT, attributes={"age": 61})
    outcome = bench.apply(update, scanned=(KEY,))
    assert sorted(told(outcome)) == [
        ("adult", 1, "realized", "backfill"),
        ("old", 1, "realized", "attribute"),
    ]


def test_a_profile_deleted_in_the_same_batch_stays_deleted(bench: Bench):
    bench.define("2-b", ADULT)
    outcome = bench.apply(ProfileUpdate(KEY, Origin("t", 0, 2), AT, deletes=True), scanned=(KEY,))
    assert [one.status for one in outcome.changes] == ["realized", "exited"]
    assert outcome.removed == [KEY]
    assert bench.scan().changes == []


def test_a_restored_profile_keeps_its_memberships_until_an_update(bench: Bench):
    """Nothing else is known of it: evaluated now, it would leave everything."""
    in_both = {0: Membership("realized", AT, 3), 1: Membership("realized", AT, 1)}
    bench.states[GHOST] = restored_state(in_both)
    bench.define("2-b", ADULT, OLD)
    assert bench.scan(GHOST).changes == []
    bench.define("3-c", ADULT, removed=(1,))
    assert told(bench.scan(GHOST)) == [("gone-1", 2, "exited", "definition")]
    assert bench.scan(GHOST).changes == []
