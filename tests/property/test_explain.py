"""What is explained is what the oracle says, and what is said of other instants and data is so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from app.domain.limits import DAY_MS
from app.engine.explain import Explanation, explain
from app.engine.explain_clock import Members
from app.engine.explain_flip import applied
from app.engine.explain_tree import Explained
from app.engine.oracle import Event, Subject, evaluate, matches
from app.engine.profile import order_of
from app.pql.ast import Expr
from app.pql.checker import check
from app.pql.parser import parse
from app.pql.printer import to_text
from tests.property.engine_model import BASE_MS
from tests.property.examples import WHOLE_GRAMMAR
from tests.property.pql_strategies import attributes, conditions, event_bodies
from tests.property.test_engine_grammar import as_decoded

RETENTION_MS = 30 * DAY_MS
ages = st.sampled_from((0, 1, 1_000, 59_000, 3_600_000, DAY_MS - 1, DAY_MS, 9 * DAY_MS, -5_000))


@st.composite
def profiles(draw: st.DrawFn) -> tuple[dict[str, Any], list[Event]]:
    events = []
    for number in range(draw(st.integers(0, 5))):
        at_ms = BASE_MS - draw(ages)
        body = as_decoded(draw(event_bodies()))
        events.append(Event(at_ms, order_of(at_ms, number), body))
    return as_decoded(draw(attributes())), events


def resolved(tree: Expr) -> tuple[str, Expr]:
    text = to_text(tree)
    checked = check(parse(text))
    assert checked.expr is not None
    return text, checked.expr


def seen_at(subject: Subject, members: Members, at_ms: int) -> Subject:
    kept = [event for event in subject.events if event.at_ms > at_ms - RETENTION_MS]
    return Subject(subject.attributes, kept, members.at(at_ms), at_ms)


def check_change(expr: Expr, subject: Subject, members: Members, said: Explanation) -> None:
    change = said.next_change
    end_ms = change.at_ms or change.searched_until_ms or BASE_MS + 400 * DAY_MS
    for at_ms in (BASE_MS + 1, *range(BASE_MS, end_ms, (end_ms - BASE_MS) // 12 + 1), end_ms - 1):
        if BASE_MS <= at_ms < end_ms:
            found = matches(expr, seen_at(subject, members, at_ms))
            assert found is said.qualifies, at_ms - BASE_MS
    if change.at_ms is not None:
        found = matches(expr, seen_at(subject, members, change.at_ms))
        assert (found, change.qualifies) == (not said.qualifies, found)


def nodes(node: Explained) -> Iterator[Explained]:
    yield node
    for child in node.children:
        yield from nodes(child)


@settings(max_examples=WHOLE_GRAMMAR // 4)
@given(conditions(), profiles(), st.sampled_from((0, 1, 90_000)), st.booleans())
def test_an_explanation_is_the_oracles(
    tree: Expr, profile: tuple[dict[str, Any], list[Event]], until_ms: int, is_in: bool
) -> None:
    text, expr = resolved(tree)
    ends = {"s2": BASE_MS + until_ms} if until_ms else {}
    members = Members(frozenset({"s1"} if is_in else ()), ends, BASE_MS)
    subject = Subject(*profile, members, BASE_MS)

    said = explain(expr, text, subject, members, RETENTION_MS)

    assert said.qualifies is matches(expr, subject)
    check_change(expr, subject, members, said)
    for node in nodes(said.tree):
        assert text[node.span.start : node.span.end].split() == node.text.split()
        if node.has_value and node.frames[0].items == () and not node.frames[0].variables:
            # Events are equal only to themselves: those of another evaluation are others.
            assert repr(node.value) == repr(evaluate(node.node, subject))
    for way in said.flip.alternatives:
        changed = applied(subject, way.needs)
        assert (changed is None) is (way.checked is None)
        if changed is not None:
            flipped = matches(expr, changed) is not said.qualifies
            assert flipped is way.checked
            assert flipped or len(way.needs) > 1, way


SIMPLE = st.sampled_from(
    (
        'city = "Oslo"',
        'city != "Oslo"',
        "age > 25",
        "age <= 10",
        'name.startsWith("b")',
        "score.isNull()",
        'tags.includes("x")',
        'code in ["a", "b"]',
        "birthday occurs <= 3 days before now",
        "flag",
        'inSegment("s1")',
        'xEvent[eventType = "a" and price > 3].count() >= 2',
        '(exists X from xEvent where X.eventType = "b" and X.timestamp occurs today)',
        'xEvent[eventType = "c" and (price < 2 or not (sku = "x"))]',
    )
)
PARTS = st.recursive(
    SIMPLE,
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"({' and '.join(parts)})"),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"({' or '.join(parts)})"),
    ),
    max_leaves=4,
)


@settings(max_examples=WHOLE_GRAMMAR // 5)
@given(PARTS, st.fixed_dictionaries({}, optional={"city": st.just("Oslo"), "age": st.just(30)}))
def test_what_is_missing_of_simple_conditions_is_enough(text: str, record: dict[str, Any]) -> None:
    text, expr = resolved(parse(text))
    members = Members(frozenset(), {}, BASE_MS)
    subject = Subject(record, (), members, BASE_MS)

    said = explain(expr, text, subject, members, RETENTION_MS)

    if said.qualifies:
        return
    best = said.flip.alternatives[0]
    words = re.findall("city|age|tags|score|s1", text)
    in_the_way = len(set(words)) < len(words)
    assert best.checked or in_the_way, best
    if best.checked:
        # Nothing in it is there for nothing.
        for left_out in range(len(best.needs)):
            rest = (*best.needs[:left_out], *best.needs[left_out + 1 :])
            changed = applied(subject, rest)
            assert changed is not None
            assert not matches(expr, changed)
