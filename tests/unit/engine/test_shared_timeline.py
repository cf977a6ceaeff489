"""Windows of different lengths over one filter share its events, not their counts."""

from __future__ import annotations

from app.domain.limits import DAY_MS, EngineLimits
from app.domain.model import ProfileKey
from tests.property.engine_model import BASE_MS, TENANT, Store, make_update

KEY = ProfileKey(TENANT, "p")
WINDOW = 'xEvent[eventType = "a" and timestamp occurs <= {} days before now].count() >= {}'


def entered(store: Store, at_ms: int) -> list[str]:
    """Send an event; return the segments that were entered by it."""
    update = make_update(
        KEY, at_ms, BASE_MS + at_ms, event={"eventType": "a"}, event_ms=BASE_MS + at_ms
    )
    outcome = store.apply([update], BASE_MS + at_ms)
    return [one.segment_id for one in outcome.changes if one.status == "realized"]


def test_each_window_reaches_its_own_threshold() -> None:
    store = Store([WINDOW.format(1, 2), WINDOW.format(9, 4)], EngineLimits(), 10)

    assert len(store.catalogue.timelines) == 1
    assert entered(store, 0) == []
    assert entered(store, 5 * DAY_MS) == []
    assert entered(store, 5 * DAY_MS + 1) == ["s0"]
    assert entered(store, 8 * DAY_MS) == ["s1"]
