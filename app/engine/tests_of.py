"""Small tests and how they combine; each is a closure over one frame."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

from app.engine.frame import Evaluator, Frame, Test
from app.engine.tables import Number
from app.engine.terms import Term
from app.pql.values import ORDERINGS, truth

_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    **ORDERINGS,
}


def all_of(tests: Sequence[Test]) -> Test:
    """Return the conjunction; operands after the first false one are not evaluated."""
    if len(tests) == 1:
        return tests[0]
    if len(tests) == 2:
        first, second = tests
        return lambda frame: first(frame) and second(frame)
    kept = tuple(tests)

    def test(frame: Frame) -> bool:
        for one in kept:  # noqa: SIM110  # a generator costs a third more here
            if not one(frame):
                return False
        return True

    return test


def any_of(tests: Sequence[Test]) -> Test:
    """Return the disjunction; operands after the first true one are not evaluated."""
    if len(tests) == 1:
        return tests[0]
    if len(tests) == 2:
        first, second = tests
        return lambda frame: first(frame) or second(frame)
    kept = tuple(tests)

    def test(frame: Frame) -> bool:
        for one in kept:  # noqa: SIM110  # as above
            if one(frame):
                return True
        return False

    return test


def negation(test: Test) -> Test:
    """Return the opposite."""
    return lambda frame: not test(frame)


def membership(ordinal: int | None) -> Test:
    """Return whether the profile is in a segment; in one that is not known it never is."""
    if ordinal is None:
        return lambda frame: False
    return lambda frame: bool(frame.members >> ordinal & 1)


def truth_of(key: int) -> Test:
    """Return the truth of a tracked leaf, which was evaluated into the memo before."""
    return lambda frame: truth(frame.memo[key])


def external_membership(ordinal: int) -> Evaluator:
    """Return whether the profile still is in an external audience; tells when that ends."""

    def evaluate(frame: Frame) -> bool:
        until_ms = frame.external.get(ordinal, 0)
        if until_ms <= frame.now_ms:
            return False
        frame.next_ms = min(frame.next_ms, until_ms)
        return True

    return evaluate


def compare_term(term: Term, timeline_key: int, symbol: str, constant: Number) -> Test:
    """Return the comparison of a term with a constant; null compares false."""
    compare = _COMPARE[symbol]

    def test(frame: Frame) -> bool:
        number = term.value(frame.matches.get(timeline_key), frame.now_ms)
        return number is not None and compare(number, constant)

    return test
