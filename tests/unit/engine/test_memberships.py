"""Stored memberships read by other definitions: order, cascades, cycles, new profiles."""

from __future__ import annotations

from app.domain.limits import DAY_MS, EngineLimits
from app.domain.model import ExternalMembership, ProfileKey, SegmentDefinition
from app.engine.catalogue import compile_catalogue
from tests.property.engine_model import BASE_MS, TENANT, Store, definition_set, make_update

KEY = ProfileKey(TENANT, "p")
IN_S0 = 'segmentMembership.get("ups").get("s0")'


def test_a_change_is_seen_in_the_same_update_whatever_the_order_of_definitions() -> None:
    store = Store([], EngineLimits(), 10)
    store.define(
        [
            SegmentDefinition("last", 0, 1, 'segmentMembership.ups.next.status = "realized"'),
            SegmentDefinition("next", 1, 1, f'{IN_S0}.status = "realized" and age > 1'),
            SegmentDefinition("s0", 2, 1, "age > 0"),
        ],
        (),
        "2-b",
    )

    changes = store.apply([make_update(KEY, 1, BASE_MS, attributes={"age": 2})], BASE_MS).changes

    assert [change.segment_id for change in changes] == ["s0", "next", "last"]
    assert {change.cause.kind for change in changes[1:]} <= {"cascade", "attribute"}


def test_a_cycle_is_refused() -> None:
    texts = ['inSegment("s1")', f'{IN_S0}.status = "exited"', f"{IN_S0}.isNull()"]

    catalogue = compile_catalogue(definition_set(texts), EngineLimits())

    assert catalogue.failures.keys() == {"s0", "s1", "s2"}


def test_what_is_left_of_a_deleted_profile_counts_when_it_comes_back() -> None:
    store = Store(["age > 0", f'{IN_S0}.status = "exited"'], EngineLimits(), 10)
    store.apply([make_update(KEY, 1, BASE_MS, attributes={"age": 1})], BASE_MS)
    store.apply([make_update(KEY, 2, BASE_MS + 1, deletes=True)], BASE_MS + 1)
    assert store.members(KEY) == set()

    store.apply([make_update(KEY, 3, BASE_MS + 2, attributes={"age": 0})], BASE_MS + 2)

    assert store.members(KEY) == {"s1"}


def test_the_time_of_a_membership_is_that_of_the_profile_at_hand() -> None:
    recent = f"{IN_S0}.lastQualificationTime occurs on date(2026, 1, 6)"
    store = Store(["age.isNull()", recent], EngineLimits(), 10)
    other = ProfileKey(TENANT, "q")

    store.apply([make_update(KEY, 1, BASE_MS, attributes={"city": "x"})], BASE_MS)
    later_ms = BASE_MS + DAY_MS
    store.apply([make_update(other, 2, later_ms, attributes={"city": "x"})], later_ms)

    assert store.members(KEY) == {"s0"}
    assert store.members(other) == {"s0", "s1"}


def test_an_external_audience_is_read_in_its_own_namespace() -> None:
    store = Store([], EngineLimits(), 10)
    told = 'segmentMembership.get("upload").get("s0").status = "realized"'
    wrong = 'segmentMembership.get("ups").get("s0").status = "realized"'
    store.define(
        [
            SegmentDefinition("s0", 0, 1, "", namespace="upload"),
            SegmentDefinition("told", 1, 1, told),
            SegmentDefinition("wrong", 2, 1, wrong),
        ],
        (),
        "2-b",
    )
    entry = make_update(KEY, 1, BASE_MS, external=ExternalMembership("s0", BASE_MS + DAY_MS))
    store.apply([entry], BASE_MS)
    assert store.members(KEY) == {"s0", "told"}

    store.apply([], BASE_MS + DAY_MS, idle=True)
    assert store.members(KEY) == set()
