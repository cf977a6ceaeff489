"""What is reported of the evaluation of a definition."""

from __future__ import annotations

import pytest

from app.engine.report import NOMINAL_EVENTS, evaluation_of, report
from app.pql.ast import Expr
from app.pql.checker import check
from app.pql.parser import parse


def resolved(text: str) -> Expr:
    found = check(parse(text)).expr
    assert found is not None, text
    return found


@pytest.mark.parametrize(
    ("text", "evaluation"),
    [
        ("city = 1", "incremental"),
        ('xEvent[eventType = "a"].count() >= 2 or age > 3', "incremental"),
        ("chain(xEvent, timestamp, [A: WHAT(a = 1), B: WHAT(b = 2)])", "incremental"),
        ("let n = xEvent[a = 1].count() in n > 1 and n < 5", "incremental"),
        ("(P) => P.xEvent.filter(E => E.a = 1).map(E => E.b * 2).sum() > 5", "incremental"),
        ('segmentMembership.get("ups").get("s").status = "exited"', "incremental"),
        ("forall E from xEvent where E.a = 1", "incremental"),
        ("forall E from xEvent, I from E.items where I.a = 1", "history"),
        ("xEvent.groupBy(sku).count() > 1", "history"),
        ("xEvent.topN(price, 1).head().sku = 5", "history"),
        ("xEvent.map(mapEntry(a, b)).count() > 1", "history"),
        ("xEvent.sku.distinct().count() >= 2", "history"),
        ("exists A from xEvent, B from xEvent where A.x = B.y", "history"),
    ],
)
def test_what_reads_the_kept_events_is_told_from_what_does_not(text: str, evaluation: str) -> None:
    assert evaluation_of(resolved(text)) == evaluation


def test_the_size_grows_with_what_is_kept() -> None:
    sizes = [
        report(resolved(text)).state_bytes
        for text in (
            "city = 1",
            'xEvent[eventType = "a"].count() >= 2',
            'xEvent[eventType = "a"].sum(price) >= 2',
            "xEvent.sku.distinct().count() >= 2",
        )
    ]

    assert sizes[0] == 0
    assert sizes == sorted(set(sizes))
    assert sizes[1] < 8 * NOMINAL_EVENTS
