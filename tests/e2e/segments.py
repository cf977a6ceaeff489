"""The fifty definitions of the fault tests: every kind that is supported.

`{n}` stands for the segment id of definition number n. Windows are either so short that they have
closed once the traffic has been over for `SETTLES_S`, or so long that they cannot close during a
test; so the answers at any settled instant are the same, and one look is enough to compare them.
Calendar windows (today, this week) are left out: they close at midnight.
"""

from __future__ import annotations

from collections.abc import Sequence

SETTLES_S = 8.0
"""Longer than the longest of the short windows and the farthest event in the future."""

TEXTS = (
    # Attributes
    'city = "Oslo"',
    'city != "Oslo"',
    'city.equals("oslo", false)',
    'city in ["Oslo", "Rome"] and age > 20',
    "age > 20",
    "age <= 20",
    'age = 30 or tier = "gold"',
    'tier notIn ["gold", "silver"]',
    "home.zip.isNotNull()",
    "tier.isNull()",
    'tags.includes("t")',
    'city.contains("o") and not(age > 30)',
    "age + 1 > 31",
    'if(city = "Oslo", age > 20, age > 30)',
    "birthday occurs <= 3 days before now",
    # Counts, in no window, a short one, a long one, and beyond one
    'xEvent[eventType = "view"].count() >= 3',
    'xEvent[eventType = "view" and timestamp occurs <= 3 seconds before now].count() >= 1',
    'xEvent[eventType = "view" and timestamp occurs <= 5 seconds before now].count() >= 2',
    'xEvent[eventType = "buy" and timestamp occurs <= 1 hours before now].count() >= 2',
    'xEvent[eventType = "buy" and timestamp occurs <= 7 days before now].count() = 3',
    'xEvent[eventType = "add" and timestamp occurs <= 1 days before now].count() < 2',
    'xEvent[eventType = "add" and price > 5].count() <= 1',
    "xEvent[timestamp occurs >= 4 seconds before now].count() >= 5",
    'xEvent[eventType = "view"].count() > xEvent[eventType = "buy"].count()',
    'xEvent[eventType = "buy" and timestamp occurs < 2 seconds before now]',
    # Sums, averages, least and greatest
    'xEvent[eventType = "buy" and timestamp occurs <= 7 days before now].sum(price) >= 25',
    "xEvent.average(price) > 5",
    "xEvent[timestamp occurs <= 1 days before now].min(price) < 2",
    'xEvent[eventType = "buy" and timestamp occurs <= 1 hours before now].max(price) >= 9',
    "xEvent[timestamp occurs <= 4 seconds before now].sum(price) > 10",
    'xEvent[eventType = "view"].min(price) >= 3',
    'xEvent[eventType = "add" and timestamp occurs <= 7 days before now].average(price) <= 5',
    'xEvent[eventType = "buy"].max(price) = 9',
    # Sequences
    'chain(xEvent, timestamp, [A: WHAT(eventType = "view"), B: WHAT(eventType = "buy")])',
    'chain(xEvent, timestamp, [A: WHAT(eventType = "view") WHEN(<= 7 days before now),'
    ' B: WHAT(eventType = "add") COUNT(2), C: WHAT(eventType = "buy")])',
    'chain(xEvent, timestamp, [A: WHAT(eventType = "view") WHEN(<= 5 seconds before now),'
    ' B: WHAT(eventType = "buy")])',
    'chain(xEvent, timestamp, [A: WHAT(eventType = "buy" and price > 2) COUNT(2)])',
    'not(chain(xEvent, timestamp, [A: WHAT(eventType = "buy"), B: WHAT(eventType = "view")]))',
    'chain(xEvent, timestamp, [A: WHAT(eventType = "add"), B: WHAT(eventType = "view"),'
    ' C: WHAT(eventType = "view")])',
    # Not, for all, exists; pairs of events need the history itself
    'not(xEvent[eventType = "buy"].count() >= 1)',
    'not(xEvent[eventType = "view" and timestamp occurs <= 4 seconds before now])',
    "(forall E from xEvent where E.price < 9)",
    "(exists E from xEvent where E.city = city)",
    "(exists F from xEvent where F.price > 2, G from xEvent where"
    " G.price > 2 and F != G and G.timestamp occurs <= 5 seconds after F.timestamp)",
    '(exists E from xEvent where E.price > 3, I from E.items where I.sku = "x")',
    # Segments of segments, also of ones that time ends
    'inSegment("{0}") and inSegment("{15}")',
    'inSegment("{45}") or inSegment("{25}")',
    'not(inSegment("{46}")) and inSegment("{33}")',
    'inSegment("{16}") and age > 20',
    'inSegment("{47}") or not(inSegment("{48}"))',
)


def text_with(text: str, segment_ids: Sequence[str]) -> str:
    """Return a definition that asks segments by these ids, in the order of `TEXTS`."""
    for number, segment_id in enumerate(segment_ids):
        text = text.replace(f"{{{number}}}", segment_id)
    return text


def model_texts() -> list[str]:
    """Return the definitions as the model names its segments: `s0`, `s1`, …"""
    names = [f"s{number}" for number in range(len(TEXTS))]
    return [text_with(text, names) for text in TEXTS]
