from collections import Counter, defaultdict

import pytest

from app.adapters.cli.shop import Shop, ShopUpdate, iso_timestamp

START_MS = 1_767_607_200_000  # 2026-01-05T10:00:00Z
STEPS = (
    "commerce.productViews",
    "commerce.productListAdds",
    "commerce.checkouts",
    "commerce.purchases",
)


def updates(count: int = 3_000, *, seed: int = 7, profiles: int = 200) -> list[ShopUpdate]:
    shop = Shop(seed=seed, profiles=profiles, start_ms=START_MS, org_id="o", sandbox_name="prod")
    return [shop.update(START_MS + 10 * number) for number in range(count)]


def test_equal_seed_and_clock_give_equal_updates() -> None:
    assert updates(seed=3) == updates(seed=3)


def test_another_seed_gives_other_updates() -> None:
    assert updates(seed=3) != updates(seed=4)


def test_a_later_start_gives_other_event_ids() -> None:
    first = Shop(seed=1, profiles=5, start_ms=START_MS).update(START_MS)
    second = Shop(seed=1, profiles=5, start_ms=START_MS + 1).update(START_MS)
    assert first.body["eventId"] != second.body["eventId"]


def test_only_duplicates_repeat_an_event_id() -> None:
    made = updates()
    fresh = [update for update in made if update.kind != "duplicate"]
    seen = {update.body["eventId"]: update.body for update in fresh}
    again = [update for update in made if update.kind == "duplicate"]
    assert len(seen) == len(fresh)
    assert again
    assert all(seen[update.body["eventId"]] == update.body for update in again)


def test_a_customer_registers_before_anything_else() -> None:
    first: dict[str, ShopUpdate] = {}
    for update in updates():
        first.setdefault(update.profile_id, update)
    assert {update.kind for update in first.values()} == {"registration"}
    assert all("homeAddress" in update.body["attributes"] for update in first.values())


def test_each_step_of_a_visit_follows_the_one_before() -> None:
    last: dict[str, str] = {}
    for update in updates():
        if update.kind == "duplicate" or "event" not in update.body:
            continue
        step = STEPS.index(update.body["event"]["eventType"])
        if step:
            assert STEPS.index(last[update.profile_id]) == step - 1
        last[update.profile_id] = STEPS[step]
    assert STEPS[3] in {update.body.get("event", {}).get("eventType") for update in updates()}


def test_an_order_costs_what_was_in_the_cart() -> None:
    carts: dict[str, float] = defaultdict(float)
    orders = 0
    for update in updates():
        event = update.body.get("event", {})
        if update.kind == "duplicate" or not event:
            continue
        if event["eventType"] == STEPS[0]:
            carts[update.profile_id] = 0.0
        elif event["eventType"] == STEPS[1]:
            carts[update.profile_id] += event["productListItems"][0]["priceTotal"]
        elif event["eventType"] == STEPS[3]:
            orders += 1
            total = event["commerce"]["order"]["priceTotal"]
            assert total == pytest.approx(carts[update.profile_id])
    assert orders > 10


def test_a_purchase_brings_points_along() -> None:
    bought = [
        update.body
        for update in updates()
        if update.body.get("event", {}).get("eventType") == STEPS[3]
    ]
    assert bought
    assert all(body["attributes"]["loyalty"]["points"] >= 0 for body in bought)


def test_late_events_are_of_some_time_ago() -> None:
    made = updates(10_000)
    late = [update.body for update in made if update.kind == "late"]
    assert 0.01 < len(late) / len(made) < 0.04
    assert all(body["event"]["timestamp"] < body["timestamp"] for body in late)


def test_who_visits_follows_zipf() -> None:
    counts = Counter(update.profile_id for update in updates(20_000, profiles=1_000))
    top = sum(count for _, count in counts.most_common(100))
    assert top > 0.3 * 20_000
    assert len(counts) > 400


def test_one_customer_is_enough() -> None:
    assert {update.profile_id for update in updates(100, profiles=1)} == {"shopper-000001"}


def test_no_customer_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        Shop(seed=1, profiles=0, start_ms=START_MS)


@pytest.mark.parametrize(
    ("at_ms", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (START_MS + 7, "2026-01-05T10:00:00.007Z"),
        (START_MS + 999, "2026-01-05T10:00:00.999Z"),
    ],
)
def test_timestamps_have_milliseconds(at_ms: int, text: str) -> None:
    assert iso_timestamp(at_ms) == text
