from __future__ import annotations

import pytest

from app.domain.errors import UserError
from app.service.property_filter import parse_filter

EVENT = {
    "eventType": "commerce.purchases",
    "timestamp": "2026-01-05T09:59:58Z",
    "commerce": {"order": {"priceTotal": 99.5, "gift": False}},
    "items": [{"sku": "a", "price": 1}, {"sku": "b", "price": 20}],
    "count": 3,
    "day": "2026-01-05",
    "nothing": None,
}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("commerce.order.priceTotal=99.5", True),
        ("commerce.order.priceTotal>99", True),
        ("commerce.order.priceTotal>99.5", False),
        ("commerce.order.priceTotal >= 99.5", True),
        ("commerce.order.priceTotal<99.5", False),
        ("commerce.order.priceTotal<=99.5", True),
        ("commerce.order.priceTotal!=99.5", False),
        ("commerce.order.gift=false", True),
        ("commerce.order.gift!=true", True),
        ("commerce.order.gift=0", False),  # another type
        ("count=3", True),
        ('count="3"', False),
        ("eventType=commerce.purchases", True),
        ('eventType="commerce.purchases"', True),
        ("eventType='commerce.purchases'", True),
        ("eventType>commerce", True),
        ("items.sku=b", True),  # any item
        ("items.price>10", True),
        ("items.price>100", False),
        ("items.sku!=a", True),
        ("absent=1", False),
        ("absent!=1", False),
        ("nothing!=1", False),
        ("commerce=1", False),
        ("eventType.more=1", False),
        ('timestamp<="2026-01-05"', True),  # the day of it
        ('timestamp<"2026-01-05"', False),
        ('timestamp="20260105"', True),
        ("timestamp>20260104", False),  # a number without quotes
        ("day>='2026-01-05'", True),
        ('eventType<"2026-01-05"', False),
    ],
)
def test_a_filter_compares_what_is_at_its_path(text: str, matches: bool) -> None:
    assert parse_filter(text).matches(EVENT) is matches


@pytest.mark.parametrize(
    "text", ["", "a", "=1", "a=", "a..b=1", ".a=1", "a b=1", "a==1", "gift>true", "a=<1"]
)
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(UserError, match="property is"):
        parse_filter(text)
