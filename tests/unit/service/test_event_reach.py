"""A window longer than the retention is accepted with a warning that names the setting."""

from __future__ import annotations

import pytest

from app.domain.limits import DAY_MS
from app.domain.model import Tenant
from app.service.expressions import AcceptedExpression, ExpressionRules, accept, parsed

BUYS = 'xEvent[eventType = "buy" and timestamp occurs {}].count() >= 2'


def accepted(text: str, days: int = 30) -> AcceptedExpression:
    return accept(Tenant("o", "s"), text, parsed(text), (), ExpressionRules(days * DAY_MS))


@pytest.mark.parametrize(
    "text",
    [
        BUYS.format("<= 31 days before now"),
        BUYS.format("> 31 days before now"),
        BUYS.format("< 1 month before now"),
        BUYS.format("< 2 years from now"),
        BUYS.format("this year"),
        BUYS.format("last month"),
        "xEvent.timestamp occurs < 50 days before now",
        "exists E from xEvent where E.timestamp occurs < 5 weeks before now",
    ],
)
def test_a_longer_window_is_warned_of(text: str) -> None:
    (warning,) = accepted(text).warnings

    assert warning.code == "beyond-retention"
    assert "30 days" in warning.message
    assert "SEG_RETENTION_DAYS" in warning.hint
    assert warning.line == 1
    assert warning.column is not None
    assert not accepted(text, days=800).warnings


@pytest.mark.parametrize(
    "text",
    [
        BUYS.format("<= 30 days before now"),
        BUYS.format("< 90 days after now"),
        BUYS.format("this week"),
        BUYS.format("next year"),
        BUYS.format("before now"),
        'xEvent[eventType = "buy"].count() >= 2',
        "birthDate occurs < 90 years before now",
    ],
)
def test_what_the_retention_holds_is_not(text: str) -> None:
    assert not accepted(text).warnings


def test_the_place_is_that_of_the_window() -> None:
    text = "xEvent[\n  timestamp occurs <= 31 days before now].count() > 0"
    (warning,) = accepted(text).warnings

    assert (warning.line, warning.column) == (2, 3)
