"""The end of a replay: the engine takes over what was published."""

from __future__ import annotations

import pytest

from app.domain.limits import EngineLimits
from app.domain.model import (
    DefinitionSet,
    Membership,
    Origin,
    ProfileKey,
    ProfileUpdate,
    SegmentDefinition,
    Tenant,
)
from app.engine.catalogue import compile_catalogue
from app.service.partition import PartitionEngine

TENANT = Tenant("o", "s")
KEY = ProfileKey(TENANT, "p-1")
AT = 1_767_607_200_000
LIMITS = EngineLimits()


@pytest.fixture
def engine():
    definition = SegmentDefinition("seg", 0, 3, 'person.name = "Ada"')
    engine = PartitionEngine(LIMITS, 10)
    engine.set_catalogue(
        TENANT, compile_catalogue(DefinitionSet(TENANT, "1-a", (definition,)), LIMITS)
    )
    engine.provide_states({KEY: None})
    return engine


def set_name(engine, name, at_ms=AT):
    update = ProfileUpdate(KEY, Origin("t", 0, 1), at_ms, attributes={"person": {"name": name}})
    engine.missing_events([KEY])
    return engine.apply([update], [], at_ms, at_ms)


def transitions(outcome):
    return [(c.sequence, c.previous_status, c.status) for c in outcome.changes]


def test_equal_status_takes_over_the_number(engine):
    set_name(engine, "Ada")
    outcome = engine.settle({KEY: {"seg": Membership("realized", AT - 1, 7)}}, AT)
    assert outcome.changes == []
    assert outcome.states[KEY]
    assert transitions(set_name(engine, "Bob")) == [(8, "realized", "exited")]


def test_another_status_is_a_further_change(engine):
    set_name(engine, "Ada")
    outcome = engine.settle({KEY: {"seg": Membership("exited", AT - 1, 4)}}, AT + 5)
    assert transitions(outcome) == [(5, "exited", "realized")]
    (change,) = outcome.changes
    assert (change.definition_version, change.at_ms, change.cause.kind) == (3, AT + 5, "time")
    assert b'"sequence":5' in (outcome.memberships[KEY] or b"")
    assert transitions(set_name(engine, "Bob")) == [(6, "realized", "exited")]


def test_what_was_never_published_starts_at_one(engine):
    set_name(engine, "Ada")
    set_name(engine, "Bob")
    set_name(engine, "Ada")
    assert transitions(engine.settle({KEY: {"seg": None}}, AT)) == [(1, None, "realized")]


def test_never_published_and_not_a_member_is_forgotten(engine):
    set_name(engine, "Ada")
    set_name(engine, "Bob")
    assert engine.settle({KEY: {"seg": None}}, AT).changes == []
    assert transitions(set_name(engine, "Ada")) == [(1, None, "realized")]


def test_a_profile_that_is_not_there_leaves(engine):
    outcome = engine.settle({KEY: {"seg": Membership("realized", AT - 1, 3)}}, AT)
    assert transitions(outcome) == [(4, "realized", "exited")]
    assert outcome.states[KEY], "the number must be kept"
