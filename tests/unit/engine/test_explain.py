"""Explanations of single expressions: what decides, what counted, what comes, what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from app.domain.limits import DAY_MS
from app.engine.explain import Explanation, explain
from app.engine.explain_clock import Members
from app.engine.explain_needs import nearest_count
from app.engine.explain_tree import Explained
from app.engine.explain_watch import TooCostly
from app.engine.oracle import Event, Subject
from app.engine.profile import order_of
from app.pql.checker import check
from app.pql.parser import parse

NOW_MS = 1_767_607_200_000  # 2026-01-05T10:00:00Z
RETENTION_MS = 30 * DAY_MS
RECORD: dict[str, Any] = {"age": 20, "city": "Oslo", "a": {"b": 1}, "tags": ["x"]}
RECORD["soon"] = NOW_MS + 2 * DAY_MS
EVENTS = [
    Event(
        NOW_MS - days * DAY_MS, order_of(NOW_MS - days * DAY_MS, 0), {"_id": str(days), "n": days}
    )
    for days in range(7, -1, -1)
]


def explained(text: str, events: list[Event] | None = None) -> Explanation:
    expr = check(parse(text)).expr
    assert expr is not None, text
    members = Members(frozenset({"in"}), {"ends": NOW_MS + 5}, NOW_MS)
    subject = Subject(RECORD, EVENTS if events is None else events, members, NOW_MS)
    return explain(expr, text, subject, members, RETENTION_MS)


def nodes(node: Explained) -> Iterator[Explained]:
    yield node
    for child in node.children:
        yield from nodes(child)


@pytest.mark.parametrize(
    ("text", "deciding"),
    [
        ("age > 18 and city = 'B' and a.b = 2", ["city = 'B'", "a.b = 2"]),
        ("age > 18 or city = 'B'", ["age > 18"]),
        ("not (age > 18 and city = 'Oslo')", ["age > 18 and city = 'Oslo'", "age > 18"]),
        ("if(age > 18, city = 'B', city = 'Oslo')", ["age > 18", "city = 'B'"]),
    ],
)
def test_what_decides_is_marked(text: str, deciding: list[str]) -> None:
    marked = [node.text for node in nodes(explained(text).tree) if node.deciding]
    assert marked[0] == text
    assert marked[1 : 1 + len(deciding)] == deciding


def test_nothing_below_a_method_decides() -> None:
    text = "city.equals(city, a.b) and age > 18"
    marked = [node.text for node in nodes(explained(text).tree) if node.deciding]
    assert marked == [text, "city.equals(city, a.b)", "age > 18"]


def test_what_a_short_circuit_left_aside_has_a_value_too() -> None:
    tree = explained("city = 'B' and age > 18").tree
    assert [child.value for child in tree.children] == [False, True]


def test_a_condition_on_items_is_tallied() -> None:
    found = {
        node.text: node.tally and (node.tally.items, node.tally.holds)
        for node in nodes(explained("xEvent[n > 5 and n < 7].count() > 0").tree)
    }
    assert found["n > 5 and n < 7"] == (8, 1)
    assert (found["n > 5"], found["n < 7"]) == ((8, 2), (8, 7))
    nothing = explained("xEvent[n > 5].count() > 0", []).tree
    assert [node.tally.items for node in nodes(nothing) if node.tally] == [0]


@pytest.mark.parametrize(
    ("text", "counted"),
    [
        ("xEvent[n > 5].count() > 0", {"xEvent[n > 5]": ["7", "6"]}),
        ("xEvent.exists(n > 5)", {"n > 5": ["7", "6"]}),
        ("(exists X from xEvent where X.n > 5)", {"X.n > 5": ["7", "6"]}),
        ("(sum X.n over X from xEvent where X.n > 6) > 1", {"X.n > 6": ["7"]}),
        ("xEvent.count() > 7", {"xEvent": ["7", "6", "5", "4", "3", "2", "1", "0"]}),
    ],
)
def test_the_events_that_counted_are_told(text: str, counted: dict[str, list[str]]) -> None:
    found = explained(text).counted
    assert {one.text: [event.body["_id"] for event in one.events] for one in found} == counted


def test_the_steps_of_a_sequence_tell_what_fills_them() -> None:
    text = "chain(xEvent, timestamp, [A: WHAT(n = 5), B: WHAT(n > 1) COUNT(2), C: WHAT(n > 8)])"
    said = explained(text)
    (chain,) = said.chains
    assert chain.steps is not None
    filled = [(one.label, [event.body["_id"] for event in one.events]) for one in chain.steps]
    assert filled == [("A", ["5"]), ("B", ["4", "3"]), ("C", [])]
    assert chain.stands_at is not None
    assert chain.stands_at.label == "C"
    (need,) = said.flip.alternatives[0].needs
    assert (need.kind, "1 more event that satisfies `n > 8` (step C)" in need.words) == (
        "sequence",
        True,
    )


@pytest.mark.parametrize(
    ("text", "days", "ms"),
    [
        # The newest of three events that are needed leaves its window.
        ("xEvent[timestamp occurs <= 7 days before now].count() >= 8", 0, 1),
        ("xEvent[timestamp occurs <= 7 days before now].count() >= 7", 1, 1),
        # Past the retention an event is not seen.
        ("xEvent[n = 7].count() >= 1", 23, 0),
        ('inSegment("ends")', 0, 5),
        # The later end of the window comes to the newest event.
        ("xEvent[timestamp occurs between now and date(2026, 1, 9)].count() >= 1", 0, 1),
        ("soon occurs between date(2026, 1, 1) and now", 2, 0),
    ],
)
def test_the_next_change_is_exact(text: str, days: int, ms: int) -> None:
    assert explained(text).next_change.at_ms == NOW_MS + days * DAY_MS + ms


def test_the_next_change_at_a_calendar_boundary() -> None:
    change = explained("currentMonth() = 2").next_change
    assert (change.at_ms, change.qualifies) == (1_769_904_000_000, True)  # 2026-02-01
    never = explained("age > 18").next_change
    assert (never.at_ms, never.searched_until_ms) == (None, None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a.b = 2", ["`a.b` must be equal to 2; it is 1"]),
        ("zip > 5", ["`zip` must be greater than 5; it is missing"]),
        ("not (age >= 18)", ["`age` must be less than 18 (or be missing); it is 20"]),
        ('"y" in tags', ['`tags` must include "y"; it is ["x"]']),
        ("tags.count() > 1", ["`tags.count()` must be greater than 1; it is 1"]),
        ("xEvent[n > 5].count() >= 4", ["2 more events that satisfy `n > 5`"]),
        ("xEvent[n = 9]", ["1 more event that satisfies `n = 9`"]),
        (
            "xEvent[n > 5].count() < 2",
            [
                "of the 2 kept events that satisfy `n > 5` at most 1 may stay;"
                " only time takes events away"
            ],
        ),
        ('not inSegment("in")', ["the profile must leave segment in"]),
        ("currentMonth() = 5", ["`currentMonth() = 5` must be true: time decides"]),
        ("age + 1 > a.b * 99", ["`age + 1 > a.b * 99` must become true"]),
        ("a.b = 2 and age = 20 and zip = 1", ["`a.b` must", "`zip` must"]),
        ("a.b = 2 and zip = 1 or city = 'B'", ["`city` must be equal to 'B'"]),
        ("false", None),
    ],
)
def test_what_is_missing_is_said(text: str, words: list[str] | None) -> None:
    flip = explained(text).flip
    if words is None:
        assert flip.alternatives == ()
        return
    said = [need.words for need in flip.alternatives[0].needs]
    assert len(said) == len(words), said
    for found, wanted in zip(said, words, strict=True):
        assert found.startswith(wanted)


def test_needs_in_each_others_way_are_told_as_such() -> None:
    (way,) = explained("age > 25 and age < 10").flip.alternatives
    assert way.checked is False


def test_an_event_is_made_up_that_is_enough() -> None:
    text = "xEvent[type = 'buy' and price > 5 and timestamp occurs yesterday].count() >= 2"
    (way,) = explained(text).flip.alternatives
    assert way.checked is True
    (need,) = way.needs
    assert need.event is not None
    assert (need.count, need.event["type"], need.event["price"]) == (2, "buy", 6)
    assert -DAY_MS * 2 < need.event["timestamp"] - NOW_MS < 0


def test_what_takes_too_long_is_refused_or_left_open(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "(exists A from xEvent, B from xEvent where A.n + B.n > 99)"
    monkeypatch.setattr("app.engine.explain.CHANGE_EVALUATIONS", 300)
    monkeypatch.setattr("app.engine.explain.FLIP_EVALUATIONS", 300)
    said = explained(text)
    assert (said.qualifies, said.flip.is_complete) == (False, False)
    assert said.next_change.searched_until_ms == NOW_MS
    monkeypatch.setattr("app.engine.explain.TREE_EVALUATIONS", 300)
    with pytest.raises(TooCostly, match="too many evaluations"):
        explained(text)


@pytest.mark.parametrize(
    ("operator", "bound", "count", "wanted", "nearest"),
    [("<", 1, 5, True, 0), ("<=", 0, 5, True, 0), (">", 3, 0, True, 4), ("=", 2, 2, False, 1)],
)
def test_the_nearest_count_that_answers_otherwise(
    operator: str, bound: int, count: int, wanted: bool, nearest: int
) -> None:
    assert nearest_count(operator, bound, count, wanted=wanted) == nearest
