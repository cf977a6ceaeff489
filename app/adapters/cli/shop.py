"""A seeded web shop: profile updates as its visitors would cause them.

Pure: the clock is an argument, and equal seeds and clocks give equal updates.
"""

from __future__ import annotations

import random
from bisect import bisect
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any, Literal

from app.domain.model import JsonObject

Kind = Literal["registration", "event", "attributes", "duplicate", "late"]

_CITIES = (
    ("Oslo", "NO"), ("Bergen", "NO"), ("Stockholm", "SE"), ("Gothenburg", "SE"),
    ("Copenhagen", "DK"), ("Aarhus", "DK"), ("Helsinki", "FI"), ("Tampere", "FI"),
    ("Reykjavik", "IS"), ("Hamburg", "DE"),
)  # fmt: skip
_FIRST_NAMES = ("Ada", "Bo", "Ebba", "Finn", "Ida", "Jens", "Liv", "Maja", "Nils", "Signe")
_PRODUCTS = (
    ("SKU-BOOT", "Hiking boots", 149.0), ("SKU-TENT", "Two-person tent", 329.0),
    ("SKU-STOVE", "Camping stove", 89.5), ("SKU-SOCK", "Wool socks", 14.9),
    ("SKU-PACK", "Rucksack 45 l", 119.0), ("SKU-LAMP", "Head lamp", 39.9),
    ("SKU-MUG", "Enamel mug", 12.5), ("SKU-MAP", "Trail map", 19.0),
)  # fmt: skip
_CHANNELS = ("web", "mobile", "mobile", "email")
_TIERS = ((1_500, "gold"), (400, "silver"), (0, "bronze"))

_VIEW, _ADD, _CHECKOUT, _PURCHASE = (
    "commerce.productViews",
    "commerce.productListAdds",
    "commerce.checkouts",
    "commerce.purchases",
)
# How likely a visitor is to take the next step after an event of that type, instead of leaving.
_GOES_ON = {_VIEW: 0.6, _ADD: 0.7, _CHECKOUT: 0.8}
_NEXT = {_VIEW: _ADD, _ADD: _CHECKOUT, _CHECKOUT: _PURCHASE}

_LATE_SHARE = 0.02
_LATE_MS = (2_000, 15 * 60_000)
_DUPLICATE_SHARE = 0.01
_MOVE_SHARE = 0.01
_RECENT = 50
_MAX_SESSIONS = 100


@dataclass(frozen=True, slots=True)
class ShopUpdate:
    """One profile update, as it goes to the profile update topic.

    Attributes:
        profile_id: Also the record key.
        body: The plain profile update (docs/topics.md).
        kind: Why it was made; for counting only.
    """

    profile_id: str
    body: JsonObject
    kind: Kind


@dataclass(slots=True, eq=False)
class _Session:
    """A visit: where it stands and what is in the cart."""

    visitor: int
    views_left: int
    last: str = ""
    cart: list[JsonObject] = field(default_factory=list)


@dataclass(slots=True)
class _Customer:
    points: int
    registered: bool = False


class Shop:
    """Makes one update after the other.

    Who visits follows Zipf's law; a visit is views, then perhaps add to cart, checkout and
    purchase, in this order. A first visit begins with a registration (attributes only), a purchase
    brings loyalty points along, some customers move. About 2 % of the events carry a timestamp of
    some time ago, about 1 % of the updates are sent twice.
    """

    def __init__(
        self,
        *,
        seed: int,
        profiles: int,
        start_ms: int,
        org_id: str = "",
        sandbox_name: str = "",
        exponent: float = 0.9,
    ) -> None:
        """Open the shop.

        Args:
            seed: Equal seeds (with equal clocks) give equal updates.
            profiles: How many customers there are; at least 1.
            start_ms: Epoch ms; part of every event id, so that a second run with the same seed is
                not taken for a repetition of the first.
            org_id: Written into every update unless empty; so `sandbox_name`.
            sandbox_name: See `org_id`.
            exponent: Of Zipf's law; 0 makes all customers equally likely.

        Raises:
            ValueError: If `profiles` is less than 1.
        """
        if profiles < 1:
            raise ValueError(f"profiles is {profiles}: give at least 1")
        # Repeatable data, nothing secret hangs on it.
        self._random = random.Random(seed)  # noqa: S311
        self._weights = list(accumulate(rank**-exponent for rank in range(1, profiles + 1)))
        self._id_prefix = f"{start_ms:x}-{seed & 0xFFFF:04x}"
        self._tenant = {
            name: value
            for name, value in (("orgId", org_id), ("sandboxName", sandbox_name))
            if value
        }
        self._customers: dict[int, _Customer] = {}
        self._sessions: list[_Session] = []
        self._visiting: set[int] = set()
        self._session_target = max(1, min(_MAX_SESSIONS, profiles // 5))
        self._recent: deque[ShopUpdate] = deque(maxlen=_RECENT)
        self._number = 0

    def update(self, now_ms: int) -> ShopUpdate:
        """Return the next update, made at `now_ms` (epoch ms)."""
        if self._recent and self._random.random() < _DUPLICATE_SHARE:
            again = self._random.choice(self._recent)
            return ShopUpdate(again.profile_id, again.body, "duplicate")
        made = self._fresh(now_ms)
        self._recent.append(made)
        return made

    def _fresh(self, now_ms: int) -> ShopUpdate:
        session = self._session()
        customer = self._customers.setdefault(
            session.visitor, _Customer(points=self._random.randrange(0, 900))
        )
        if not customer.registered:
            customer.registered = True
            return self._registration(session, customer, now_ms)
        if self._random.random() < _MOVE_SHARE:
            return self._made(session, now_ms, "attributes", {"attributes": self._address()})
        return self._event(session, customer, now_ms)

    def _session(self) -> _Session:
        """Return a visit that goes on, or a new one while too few are under way."""
        if len(self._sessions) < self._session_target:
            visitor = bisect(self._weights, self._random.random() * self._weights[-1])
            if visitor not in self._visiting:
                session = _Session(visitor, views_left=self._random.randint(1, 4))
                self._sessions.append(session)
                self._visiting.add(visitor)
                return session
        return self._random.choice(self._sessions)

    def _leave(self, session: _Session) -> None:
        self._sessions.remove(session)
        self._visiting.discard(session.visitor)

    def _registration(self, session: _Session, customer: _Customer, now_ms: int) -> ShopUpdate:
        name = self._random.choice(_FIRST_NAMES)
        address = f"{name.lower()}.{session.visitor + 1}@example.com"
        attributes: JsonObject = {
            "person": {
                "name": {"firstName": name},
                "birthYear": self._random.randint(1950, 2007),
                "gender": self._random.choice(("female", "male", None)),
            },
            "personalEmail": {"address": address},
            "loyalty": _loyalty(customer.points),
            **self._address(),
        }
        identities = {"Email": [{"id": address, "primary": True}]}
        return self._made(
            session, now_ms, "registration", {"attributes": attributes, "identityMap": identities}
        )

    def _address(self) -> JsonObject:
        city, country = self._random.choice(_CITIES)
        return {"homeAddress": {"city": city, "countryCode": country}}

    def _event(self, session: _Session, customer: _Customer, now_ms: int) -> ShopUpdate:
        event_type = self._step(session)
        late = self._random.random() < _LATE_SHARE
        at_ms = now_ms - (self._random.randint(*_LATE_MS) if late else 0)
        event: JsonObject = {
            "eventType": event_type,
            "timestamp": iso_timestamp(at_ms),
            "channel": self._random.choice(_CHANNELS),
            **self._details(session, event_type),
        }
        body: JsonObject = {"event": event}
        if event_type == _PURCHASE:
            customer.points += int(event["commerce"]["order"]["priceTotal"] // 2)
            body["attributes"] = {"loyalty": _loyalty(customer.points)}
        made = self._made(session, now_ms, "late" if late else "event", body)
        event["_id"] = made.body["eventId"]
        if event_type == _PURCHASE or self._random.random() > self._goes_on(session):
            self._leave(session)
        return made

    def _step(self, session: _Session) -> str:
        """Advance the visit and return the type of its next event."""
        if session.views_left > 0:
            session.views_left -= 1
            session.last = _VIEW
        else:
            session.last = _NEXT[session.last]
        return session.last

    def _goes_on(self, session: _Session) -> float:
        return 1.0 if session.views_left > 0 else _GOES_ON[session.last]

    def _details(self, session: _Session, event_type: str) -> JsonObject:
        if event_type in (_VIEW, _ADD):
            items = [self._item()]
            if event_type == _ADD:
                session.cart += items
            return {"productListItems": items}
        total = round(sum(item["priceTotal"] for item in session.cart), 2)
        commerce: JsonObject = {"order": {"priceTotal": total, "currencyCode": "EUR"}}
        return {"productListItems": list(session.cart), "commerce": commerce}

    def _item(self) -> JsonObject:
        sku, name, price = self._random.choice(_PRODUCTS)
        quantity = self._random.choice((1, 1, 1, 2))
        return {
            "SKU": sku,
            "name": name,
            "quantity": quantity,
            "priceTotal": round(price * quantity, 2),
        }

    def _made(self, session: _Session, now_ms: int, kind: Kind, body: dict[str, Any]) -> ShopUpdate:
        self._number += 1
        profile_id = f"shopper-{session.visitor + 1:06d}"
        head: JsonObject = {
            "eventId": f"{self._id_prefix}-{self._number}",
            **self._tenant,
            "profileId": profile_id,
            "timestamp": iso_timestamp(now_ms),
        }
        return ShopUpdate(profile_id, head | body, kind)


def _loyalty(points: int) -> JsonObject:
    tier = next(name for floor, name in _TIERS if points >= floor)
    return {"points": points, "tier": tier}


def iso_timestamp(at_ms: int) -> str:
    """Return epoch ms as ISO 8601 in UTC with milliseconds: `2026-01-05T10:00:00.000Z`."""
    at = datetime.fromtimestamp(at_ms // 1000, UTC)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at_ms % 1000:03d}Z"
