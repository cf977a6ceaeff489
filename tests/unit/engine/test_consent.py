"""Profiles with a general opt-out are left out where the definition says so."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.limits import EngineLimits
from app.domain.model import MembershipChange, ProfileKey, SegmentDefinition
from app.engine.consent import with_consent
from app.engine.oracle import Event, Subject, matches
from app.pql.checker import check
from app.pql.parser import parse
from tests.property.engine_model import BASE_MS, TENANT, Store, make_update

KEY = ProfileKey(TENANT, "p")
OUT = {"optOutType": "general_opt_out", "optOutValue": "out"}
TEXT = 'xEvent[eventType = "buy"].count() >= 1'


def changed(store: Store, number: int, **update: Any) -> list[tuple[str, str]]:
    made = make_update(KEY, number, BASE_MS + number, event_ms=BASE_MS + number, **update)
    changes: list[MembershipChange] = store.apply([made], made.record_ms).changes
    return [(change.segment_id, change.status) for change in changes]


def test_an_opt_out_takes_a_profile_out_and_its_end_lets_it_in() -> None:
    store = Store([], EngineLimits(), 10)
    policies = {"excluding": True, "any": False}
    definitions = [
        SegmentDefinition(name, number, 1, TEXT, excludes_opt_out=excludes)
        for number, (name, excludes) in enumerate(policies.items())
    ]
    asking = SegmentDefinition("asking", 2, 1, 'inSegment("excluding")')
    store.define([*definitions, asking], (), "2-b")

    bought = changed(store, 1, event={"eventType": "buy"})
    partly = changed(store, 2, attributes={"privacyOptOuts": [{**OUT, "optOutValue": "pending"}]})
    opted_out = changed(store, 3, attributes={"privacyOptOuts": [{"optOutType": "x"}, OUT]})
    again = changed(store, 4, event={"eventType": "buy"})
    opted_in = changed(store, 5, attributes={"privacyOptOuts": None})

    assert sorted(bought) == [
        ("any", "realized"),
        ("asking", "realized"),
        ("excluding", "realized"),
    ]
    assert partly == []
    assert sorted(opted_out) == [("asking", "exited"), ("excluding", "exited")]
    assert again == []
    assert sorted(opted_in) == [("asking", "realized"), ("excluding", "realized")]


@pytest.mark.parametrize(
    ("opt_outs", "expected"),
    [([OUT], False), ([], True), ("out", True), ([{**OUT, "optOutValue": "in"}], True)],
)
def test_the_oracle_says_the_same(opt_outs: Any, expected: bool) -> None:
    expr = check(parse(TEXT)).expr
    assert expr is not None
    subject = Subject(
        {"privacyOptOuts": opt_outs}, [Event(BASE_MS, 0, {"eventType": "buy"})], (), BASE_MS
    )

    assert matches(with_consent(expr), subject) is expected
