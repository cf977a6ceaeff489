"""`segmentation explain` against the real API."""

from __future__ import annotations

import pytest

from tests.integration.cli.control_harness import Control
from tests.integration.http.stored_profiles import SECOND, store_profile

pytestmark = pytest.mark.redis

DAY = 86_400 * SECOND
TEXT = (
    'age > 17 and xEvent[eventType = "buy" and timestamp occurs <= 7 days before now].count() >= 2'
)
SHOWN = """\
profile    p/1
segment    Buyers ({id})
answer     not in the segment
at         2026-01-05T10:00:00Z
stored     never a member
agrees     yes
lifecycle  published
state      BACKFILLING
changes    never by itself

false  age > 17 and xEvent[eventType = "buy" and timestamp occurs <…  ← decides
├── true  age > 17
│   └── 30  age
└── false  xEvent[eventType = "buy" and timestamp occurs <= 7 days befo…  ← decides
    └── 1  xEvent[eventType = "buy" and timestamp occurs <= 7 days befo…
        └── 1 item  xEvent[eventType = "buy" and timestamp occurs <= 7 days befo…
            ├── 1 item  xEvent
            └── 1 of 1  eventType = "buy" and timestamp occurs <= 7 days before now
                ├── 1 of 1  eventType = "buy"
                └── 1 of 1  timestamp occurs <= 7 days before now  \
[2025-12-29T10:00:00Z to 2026-01-05T10:00:00.001Z)

Events that counted
  xEvent[eventType = "buy" and timestamp occurs <= 7 days befo…: 1
    2026-01-04T10:00:00Z  buy  e-1

What would bring it in
  1 more event that satisfies \
`eventType = "buy" and timestamp occurs <= 7 days before now`
"""


def test_an_explanation_is_a_tree_for_people_and_json_for_programs(control: Control) -> None:
    segment_id = control.create("Buyers", TEXT)
    events = [{"at": DAY, "eventType": "buy", "_id": "e-1"}]
    control.portal.call(store_profile, control.plane, "p/1", {"age": 30}, events)

    assert control.good("explain", "p/1", segment_id).out == SHOWN.format(id=segment_id)

    document = control.good("explain", "p/1", segment_id, "--json").document
    assert (document["qualifies"], document["tree"]["deciding"]) == (False, True)
    later = control.good("explain", "p/1", segment_id, "--at", "2026-02-20T00:00:00Z", "--json")
    assert later.document["eventCount"] == 0
    unknown = control.run("explain", "p-2", segment_id)
    assert unknown.status == 1
    assert "SEG-PROFILE-NOT-FOUND-404" in unknown.err
