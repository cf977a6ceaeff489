"""When the answer for a profile changes by itself, and to what.

The oracle is asked at every instant at which something it looked at may change, until it answers
differently: at the edges of windows, at calendar boundaries, and where events leave the retention.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.engine.bounds import NEVER
from app.engine.explain_clock import Clock, Members
from app.engine.explain_watch import Budget, TooCostly
from app.engine.oracle import Subject
from app.pql.ast import Expr
from app.pql.calendar import LAST_MS

_MOST_INSTANTS = 5_000


@dataclass(frozen=True, slots=True)
class NextChange:
    """What becomes of an answer if nothing else arrives.

    Attributes:
        at_ms: The first instant with another answer; None for none found.
        qualifies: The answer from then on; meaningless without `at_ms`.
        searched_until_ms: Where the search was given up: the answer is the same until then. None
            where it was not.
    """

    at_ms: int | None
    qualifies: bool
    searched_until_ms: int | None = None


def next_change(
    expr: Expr, subject: Subject, members: Members, retention_ms: int, budget: Budget
) -> NextChange:
    """Find the next change.

    Args:
        expr: Resolved.
        subject: At the instant from which on to look.
        members: What its `member_of` is at other instants.
        retention_ms: From so long after an event on it is not seen.
        budget: What the search may take.
    """
    at_ms = subject.now_ms
    holds = False
    try:
        clock = Clock(subject, members, retention_ms, budget)
        clock.move_to(at_ms)
        holds = clock.qualifies(expr)
        for _ in range(_MOST_INSTANTS):
            following_ms = clock.until_ms
            if following_ms >= min(NEVER, LAST_MS):
                return NextChange(None, holds)
            clock.move_to(following_ms)
            is_other = clock.qualifies(expr) is not holds
            at_ms = following_ms
            if is_other:
                return NextChange(at_ms, not holds)
    except TooCostly:
        pass
    return NextChange(None, holds, at_ms)
