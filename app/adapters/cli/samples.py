"""The segment definitions that the demo creates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from app.domain.model import JsonObject


@dataclass(frozen=True, slots=True)
class Sample:
    """One sample definition.

    Attributes:
        key: Short name by which other samples refer to it.
        shows: What it demonstrates.
        pql: Expression; `{key}` stands for the segment id of an earlier sample.
    """

    key: str
    name: str
    shows: str
    pql: str

    def expression(self, segment_ids: Mapping[str, str]) -> str:
        """Return the PQL text, with the ids of the samples it asks."""
        text = self.pql
        for key, segment_id in segment_ids.items():
            text = text.replace("{" + key + "}", segment_id)
        return text

    def body(self, segment_ids: Mapping[str, str]) -> JsonObject:
        """Return the request body that creates the definition (API reference)."""
        value = self.expression(segment_ids)
        return {
            "name": self.name,
            "description": self.shows,
            "expression": {"type": "PQL", "format": "pql/text", "value": value},
            "schema": {"name": "_xdm.context.profile"},
            "evaluationInfo": {
                "batch": {"enabled": False},
                "continuous": {"enabled": True},
                "synchronous": {"enabled": False},
            },
        }


SAMPLES = (
    Sample("oslo", "Lives in Oslo", "attribute", 'homeAddress.city = "Oslo"'),
    Sample(
        "loyal",
        "Loyal in the Nordics",
        "attributes",
        'loyalty.tier in ["silver", "gold"]'
        ' and homeAddress.countryCode in ["NO", "SE", "DK", "FI", "IS"]',
    ),
    Sample(
        "browsing",
        "3 views in 15 s",
        "count in a window",
        'xEvent[eventType = "commerce.productViews"'
        " and (timestamp occurs <= 15 seconds before now)].count() >= 3",
    ),
    Sample(
        "journey",
        "Viewed, added, then bought",
        "ordered sequence",
        'chain(xEvent, timestamp, [V: WHAT(eventType = "commerce.productViews"),'
        ' A: WHAT(eventType = "commerce.productListAdds"),'
        ' P: WHAT(eventType = "commerce.purchases")])',
    ),
    Sample(
        "checkout",
        "Checkout in the last 10 s",
        "leaves by time",
        'xEvent[eventType = "commerce.checkouts"'
        " and (timestamp occurs <= 10 seconds before now)].count() >= 1",
    ),
    Sample(
        "abandoned",
        "Cart left for 12 s",
        "enters by time",
        'xEvent[eventType = "commerce.productListAdds"'
        " and (timestamp occurs >= 12 seconds before now)].count() >= 1"
        ' and not (xEvent[eventType = "commerce.purchases"].count() >= 1)',
    ),
    Sample(
        "spender",
        "Spent 500 in 7 days",
        "sum in a window",
        'xEvent[eventType = "commerce.purchases"'
        " and (timestamp occurs <= 7 days before now)].sum(commerce.order.priceTotal) >= 500",
    ),
    Sample(
        "vip",
        "Loyal, and spent 500",
        "segment of segments",
        'inSegment("{loyal}") and inSegment("{spender}")',
    ),
)
"""In an order in which each asks only earlier ones."""
