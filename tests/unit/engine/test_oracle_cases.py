"""The oracle tells every case script as it is written."""

from __future__ import annotations

from typing import Any

import pytest

from app.domain.timestamps import iso_text
from app.engine.oracle import Event, Subject, matches
from app.pql.checker import check
from app.pql.parser import parse
from tests.cases.script import (
    START_MS,
    Case,
    Expected,
    Happens,
    Joins,
    Patches,
    all_cases,
    merged,
    read,
    transition,
)


def run_oracle(case: Case) -> list[Expected]:
    """Return what the oracle says at each step."""
    checked = check(parse(case.expression))
    assert checked.problems == (), case
    assert checked.expr is not None
    record: dict[str, Any] = {}
    events: list[Event] = []
    segments: set[str] = set()
    stored: dict[str, dict[str, Any]] = {"ups": {}}
    answers: list[Expected] = []
    is_member = False  # a profile of which nothing is known is a member of nothing
    for step in case.steps:
        action = step.action
        if isinstance(action, Happens):
            events.append(Event(action.at_ms, len(events), action.body))
        elif isinstance(action, Patches):
            record = merged(record, action.patch)
        elif isinstance(action, Joins):
            change = segments.add if action.is_member else segments.discard
            change(action.segment_id)
            status = "realized" if action.is_member else "exited"
            qualified = {"status": status, "lastQualificationTime": iso_text(step.at_ms)}
            stored["ups"][action.segment_id] = qualified
        subject = Subject(record, events, segments, step.at_ms, stored)
        answer = matches(checked.expr, subject)
        answers.append(transition(is_member, answer))
        is_member = answer
    return answers


@pytest.mark.parametrize("case", all_cases(), ids=str)
def test_oracle(case: Case) -> None:
    told = [f"line {step.line}: {step.expected}" for step in case.steps]

    found = [
        f"line {step.line}: {answer}"
        for step, answer in zip(case.steps, run_oracle(case), strict=True)
    ]

    assert found == told


def test_there_are_cases() -> None:
    assert len(all_cases()) >= 36


def test_a_script_is_read_line_by_line() -> None:
    (case,) = read(
        "# intro\ncase Title\nsegment  a = 1\n   and b = 2\n"
        '1d+2h  buy@1h price=10 items=[{"sku":"x"}]  -> enter  # note\n'
    )

    assert case.title == "Title"
    assert case.expression == "a = 1 and b = 2"
    (step,) = case.steps
    assert step.at_ms == START_MS + 26 * 3_600_000
    assert step.expected == "enter"
    assert step.action == Happens(
        START_MS + 3_600_000, {"eventType": "buy", "price": 10, "items": [{"sku": "x"}]}
    )


@pytest.mark.parametrize(
    "line", ["1d tick", "1d tick -> maybe", "soon tick -> in", "1d ! -> in", "0d tick -> in"]
)
def test_an_unreadable_line_is_refused(line: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read(f"segment a\n1h tick -> out\n{line}\n")
