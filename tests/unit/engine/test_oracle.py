"""The oracle on whole expressions: scopes, quantifiers, aggregates, chains, segments."""

from __future__ import annotations

from typing import Any

import pytest

from app.engine.oracle import Event, Subject, evaluate, matches
from app.pql.checker import check
from app.pql.parser import parse

NOW_MS = 1_767_607_200_000
HOUR = 3_600_000

PROFILE: dict[str, Any] = {
    "age": 30,
    "city": "Oslo",
    "sku": "profile-sku",
    "tags": ["x", "y"],
    "numbers": [1, 5, None, "9"],
    "empty": [],
    "map": {"one": {"state": "active"}, "two": {"state": "gone"}},
    "gone": None,
}
EVENTS = [
    Event(NOW_MS - 3 * HOUR, 0, {"_id": "1", "type": "view", "price": 5, "items": [{"sku": "a"}]}),
    Event(NOW_MS - 2 * HOUR, 1, {"_id": "2", "type": "buy", "price": 20.5, "items": []}),
    Event(NOW_MS - HOUR, 2, {"_id": "3", "type": "view", "timestamp": "ignored"}),
]


def value(text: str, events: list[Event] | None = None, **more: Any) -> Any:
    checked = check(parse(text))
    assert checked.problems == ()
    assert checked.expr is not None
    subject = Subject({**PROFILE, **more}, EVENTS if events is None else events, {"member"}, NOW_MS)
    return evaluate(checked.expr, subject)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # null and truth
        ("gone = 1", False),
        ("gone != 1", False),
        ("not(gone = 1)", True),
        ("not gone", True),
        ("gone.a.b.isNull()", True),
        ("gone + 1", None),
        ("(gone + 1).isNull()", True),
        ("age and city", True),
        ("empty or gone", False),
        ("if(gone, 1, 2)", 2),
        ("if(age > 18, city, 2)", "Oslo"),
        # short circuit keeps the wrong side unseen, the answer is the same
        ("gone.count() > 0 and gone.head().x > 1", False),
        # arithmetic and lists
        ("age % 7 = 2 and -age < 0 and age / 4 = 7.5", True),
        ("[age, 2] = [30, 2]", True),
        ('tags.intersection(["y", "z"]) = ["y"]', True),
        ("age in [29, 30]", True),
        ('"x" in tags', True),
        ("numbers.sum()", 6),
        ("numbers.average()", 3.0),
        ("numbers.max()", 5),
        ("empty.min()", None),
        ("(sum N from numbers where N > 1)", 5),
        ("(average N from empty)", None),
        # maps
        ('map.get("one").state', "active"),
        ("map.keys()", ["one", "two"]),
        ('map.values().exists(state = "gone")', True),
        ('map.values()[state = "lost"].count()', 0),
        # scopes
        ('xEvent[items[sku = "a"]].count()', 1),
        ('xEvent[items[^.price = 5 and ^^.city = "Oslo"]].count()', 1),
        ('tags[this = "x"]', ["x"]),
        ('tags.filter(this != "x")', ["y"]),
        ('xEvent[sku = "profile-sku"].count()', 0),
        ("gone[this = 1]", None),
        ("city[this = 1].count()", 0),
        # events
        ("xEvent.count()", 3),
        ("xEvent.price", [5, 20.5]),
        ("xEvent.price > 20", True),
        ("xEvent.nothing.isNull()", True),
        ("xEvent.sum(price)", 25.5),
        ('xEvent[type = "buy"].average(price)', 20.5),
        ('xEvent[type = "sell"].sum(price)', 0),
        ("xEvent.head()._id", "1"),
        ("xEvent.max(timestamp)", NOW_MS - HOUR),
        ("xEvent.max(timestamp) occurs <= 1 hour before now", True),
        ("xEvent.max(timestamp) occurs < 1 hour before now", False),
        # comprehensions
        ('(select X from xEvent where X.type = "view").count()', 2),
        ("(select X from xEvent where X.price)._id", ["1", "2"]),
        ("(select X from xEvent, Y from xEvent where X != Y).count()", 6),
        ("(select X from xEvent, Y from X.items).count()", 1),
        ("exists X from xEvent where X.price > 20, Y from xEvent where Y = X", True),
        ("exists X from gone", False),
        ("forall X from xEvent where X.type.isNotNull()", True),
        ("forall X from xEvent : X.price > 0", False),
        ("forall X from empty where false", True),
        ("forall X from gone where true", False),
        ('forall X from xEvent where X._id, Y from X.items where Y.sku = "a"', False),
        ('sum X.price over X from xEvent where X.type = "view"', 5),
        ("max X.price + Y.price over X from xEvent, Y from xEvent", 41.0),
        # segments and clock
        ('inSegment("member")', True),
        ('inSegment("other")', False),
        ("currentMonth()", 1),
        ("currentYear() = 2026 and currentDayOfMonth() = 5", True),
        ("date(2020, 3, 14)", 1_584_144_000_000),
    ],
)
def test_values(text: str, expected: Any) -> None:
    found = value(text)

    assert found == expected
    assert isinstance(found, bool) is isinstance(expected, bool)


def _chain(*steps: str) -> str:
    labelled = ", ".join(f"S{index}: {step}" for index, step in enumerate(steps))
    return f"chain(xEvent, timestamp, [{labelled}])"


def _history(*types: str, gap_ms: int = HOUR) -> list[Event]:
    first = NOW_MS - gap_ms * len(types)
    return [
        Event(first + gap_ms * index, index, {"type": kind}) for index, kind in enumerate(types)
    ]


A, B = 'WHAT(type = "a")', 'WHAT(type = "b")'


@pytest.mark.parametrize(
    ("steps", "types", "expected"),
    [
        ((A,), "a", True),
        ((A,), "b", False),
        ((A, B), "ab", True),
        ((A, B), "ba", False),
        ((A, B), "bab", True),
        ((A, A), "a", False),
        ((A, A), "aa", True),
        ((A + " COUNT(2)", B), "aba", False),
        ((A + " COUNT(2)", B), "abab", True),
        ((A, B + " COUNT(2)"), "bab", False),
        ((A, B + " COUNT(2)"), "abb", True),
        ((A + " WHEN(<= 1 hour before now)",), "ab", False),
        ((A + " WHEN(<= 2 hours before now)",), "ab", True),
        ((A + ' WHERE(type = "b")',), "ab", False),
    ],
)
def test_chains(steps: tuple[str, ...], types: str, expected: bool) -> None:
    assert value(_chain(*steps), _history(*types)) is expected


def test_steps_at_one_instant_are_not_in_order() -> None:
    assert value(_chain(A, B), _history(*"ab", gap_ms=0)) is False
    assert value(_chain(A + " COUNT(2)"), _history(*"aa", gap_ms=0)) is True


def test_a_chain_follows_time_not_arrival() -> None:
    late = [Event(NOW_MS, 0, {"type": "b"}), Event(NOW_MS - 1, 1, {"type": "a"})]

    assert value(_chain(A, B), late) is True
    assert value("xEvent.head().type", late) == "b"


def test_the_timestamp_of_an_event_is_the_one_ingestion_understood() -> None:
    found = value('xEvent[type = "view"].timestamp')

    assert found == [NOW_MS - 3 * HOUR, NOW_MS - HOUR]


def test_two_equal_events_are_two() -> None:
    twins = [Event(NOW_MS, 0, {"type": "a"}), Event(NOW_MS, 1, {"type": "a"})]

    assert value("(select X from xEvent, Y from xEvent where X != Y).count()", twins) == 2
    assert value("xEvent.distinct().count()", twins) == 2


def test_matches_is_the_truth_of_the_value() -> None:
    checked = check(parse("empty"))
    assert checked.expr is not None

    assert matches(checked.expr, Subject({"empty": []}, [], (), 0)) is False
    assert matches(checked.expr, Subject({"empty": [0]}, [], (), 0)) is True
