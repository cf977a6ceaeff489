"""Loops over the events of a profile, nested in each other."""

from __future__ import annotations

import pytest

from app.domain.model import Tenant
from app.pql.checker import check
from app.pql.event_loops import event_loops
from app.pql.parser import parse
from app.service.expressions import (
    DEFAULT_RULES,
    RefusedDefinition,
    accept,
)

THREE = "exists A from xEvent, B from xEvent, C from xEvent where A.x = B.x and B.x = C.x"
TENANT = Tenant("org", "prod")


@pytest.mark.parametrize(
    ("text", "loops"),
    [
        ("city = 1", 0),
        ("xEvent[a = 1].count() > 1", 1),
        ("xEvent.a.count() > 1 and xEvent.b.count() > 1", 1),
        ("exists A from xEvent[x = 1][y = 2] where A.z = 1", 1),
        ("exists A from xEvent, B from A.items where B.x = 1", 1),
        ("sum X.a over X from xEvent[b = 1] > 5", 1),
        ("chain(xEvent, timestamp, [A: WHAT(a = 1), B: WHAT(b = 2)])", 1),
        ("exists A from xEvent, B from xEvent where A.x = B.x", 2),
        ("xEvent[id in xEvent.other].count() > 0", 2),
        ("xEvent.filter(E => E.x in xEvent.y).map(E => E.z).sum() > 0", 2),
        ("exists A from xEvent where A.x = (max X.y over X from xEvent)", 2),
        ("let e = xEvent[a = 1] in e[b in e.c].count() > 1", 2),
        ("let e = 1 in xEvent[b = e].count() > 1", 1),
        ("xEvent[xEvent[xEvent[a = 1].count() > 1].count() > 1].count() > 1", 3),
        (THREE, 3),
    ],
)
def test_loops_within_loops_are_counted(text: str, loops: int) -> None:
    found = check(parse(text)).expr
    assert found is not None
    assert event_loops(found) == loops


def test_too_many_are_refused_with_what_to_do() -> None:
    with pytest.raises(RefusedDefinition) as refused:
        accept(TENANT, THREE, parse(THREE), (), DEFAULT_RULES)
    (problem,) = refused.value.details
    assert problem.code == "too-many-event-loops"
    assert "3 loops" in problem.message
    assert "chain" in problem.hint
    accept(TENANT, THREE, parse(THREE), (), DEFAULT_RULES.for_what_is_stored())
