"""Memberships of external audiences: told by updates, ended by time, asked by `inSegment`."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from app.domain.limits import DAY_MS, EngineLimits
from app.domain.model import ExternalMembership, RemovedDefinition
from app.service.membership import segment_membership
from app.service.outcome import Outcome
from tests.property.engine_model import BASE_MS, EXTERNAL
from tests.unit.engine.test_step import KEY, Profile, brief

NAMESPACE = "CustomerAudienceUpload"
AWAY = RemovedDefinition("s0", 0, 1, is_inactive=True, namespace=NAMESPACE)


def tell(profile: Profile, at: int, ttl_ms: int, **fields: Any) -> Outcome:
    until_ms = BASE_MS + at + ttl_ms if ttl_ms else 0
    return profile.send(at, external=ExternalMembership("s0", until_ms), **fields)


@pytest.mark.parametrize("limits", [EngineLimits(), EngineLimits(whole_state_bytes=0)])
def test_a_membership_is_told_cascades_and_ends_by_itself(limits: EngineLimits) -> None:
    profile = Profile(EXTERNAL, 'inSegment("s0") and age > 1', limits=limits)
    profile.send(0, attributes={"age": 2})

    entered = tell(profile, 1, DAY_MS, event_id="run-1")
    again = tell(profile, 2, DAY_MS, event_id="run-1")
    left = profile.tick(2 * DAY_MS)

    assert brief(entered) == [("s0", "realized", 1, "external"), ("s1", "realized", 1, "cascade")]
    assert {one.cause.event_id for one in entered.changes} == {"run-1"}
    assert [one.namespace for one in entered.changes] == [NAMESPACE, "ups"]
    assert (again.duplicates, again.changes) == (1, [])
    assert brief(left) == [
        ("s0", "exited", 1 + DAY_MS, "time"),
        ("s1", "exited", 1 + DAY_MS, "cascade"),
    ]
    assert profile.state.external == {}
    assert profile.store.timers[KEY] is None


def test_the_last_word_counts_and_its_end_is_published() -> None:
    profile = Profile(EXTERNAL)
    tell(profile, 0, DAY_MS)

    renewed = tell(profile, 5, 3 * DAY_MS)

    assert renewed.changes == []
    (record,) = renewed.memberships.values()
    assert record is not None
    assert orjson.loads(record)["segmentMembership"] == {
        "ups": {},
        NAMESPACE: {
            "s0": {
                "status": "realized",
                "validUntil": "2026-01-08T10:00:00.005Z",
                "lastQualificationTime": "2026-01-05T10:00:00Z",
                "sequence": 1,
            }
        },
    }
    assert segment_membership(profile.state, {0: "s0"}, {0: NAMESPACE})[NAMESPACE]["s0"] == {
        "status": "realized",
        "validUntil": "2026-01-08T10:00:00.005Z",
        "lastQualificationTime": "2026-01-05T10:00:00Z",
    }
    assert profile.tick(2 * DAY_MS).changes == []
    assert brief(tell(profile, 2 * DAY_MS, 0)) == [("s0", "exited", 2 * DAY_MS, "external")]


def test_what_names_no_such_audience_or_is_over_makes_no_profile() -> None:
    profile = Profile("not(age = 1)", EXTERNAL)

    unknown = tell(profile, 0, DAY_MS)
    over = profile.send(1, external=ExternalMembership("s1", BASE_MS))
    gone = profile.send(2, external=ExternalMembership("s1", 0))

    assert (unknown.unknown, over.expired, gone.expired) == (1, 1, 1)
    assert not unknown.states
    assert not over.states
    assert not gone.states
    made = profile.send(3, external=ExternalMembership("s1", BASE_MS + DAY_MS))
    assert made.added == [KEY]
    assert profile.members == {"s0", "s1"}


def test_an_audience_that_comes_back_has_those_members_whose_time_is_not_over() -> None:
    profile = Profile(EXTERNAL)
    tell(profile, 0, DAY_MS)
    back = profile.store.catalogue.analysed["s0"].definition
    profile.store.define([], [AWAY], "2-b")

    left = profile.send(1, attributes={"a": 1})
    ignored = tell(profile, 2, 5 * DAY_MS)
    profile.store.define([back], [], "3-c")
    entered = profile.send(3, attributes={"a": 2})

    assert brief(left) == [("s0", "exited", 1, "definition")]
    assert left.changes[0].namespace == NAMESPACE
    assert ignored.unknown == 1
    assert brief(entered) == [("s0", "realized", 3, "backfill")]
    assert brief(profile.tick(2 * DAY_MS)) == [("s0", "exited", DAY_MS, "time")]


def test_of_a_deleted_audience_nothing_stays() -> None:
    profile = Profile(EXTERNAL)
    tell(profile, 0, DAY_MS)
    profile.store.define([], [RemovedDefinition("s0", 0, 1, namespace=NAMESPACE)], "2-b")

    left = profile.store.apply([], BASE_MS + 1, scans=True)

    assert brief(left) == [("s0", "exited", 0, "definition")]
    assert profile.state.external == {}
    assert profile.tick(2 * DAY_MS).changes == []


def test_an_end_that_a_new_catalogue_finds_is_of_time() -> None:
    profile = Profile(EXTERNAL)
    tell(profile, 0, DAY_MS)
    same = profile.store.catalogue.analysed["s0"].definition
    profile.store.define([same], [], "2-b")

    assert brief(profile.tick(2 * DAY_MS)) == [("s0", "exited", 2 * DAY_MS, "time")]
