"""The state of one profile.

Everything a rule needs is in it but the bodies of past events, which `app.engine.history` keeps.
`app.engine.state_codec` says how it is stored.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Any

import orjson

from app.domain.model import JsonObject
from app.engine.recent_ids import RecentIds
from app.engine.tables import DetailTable, MatchTable

# An event's order: its time in ms, then its arrival number in the profile. One integer, so that
# sorting, searching and storing need no pairs. 43 + 20 bits fit a signed 64-bit integer;
# ingestion refuses instants from 2248 on.
ORDER_BITS = 20
_ARRIVAL_MASK = (1 << ORDER_BITS) - 1
MAX_ORDER = 1 << 63
"""Above the order of every event."""


def order_of(at_ms: int, arrival: int) -> int:
    """Return the order of the event that is number `arrival` of its profile.

    Arrival numbers wrap after 2**20; two events tie only within one millisecond and 2**20 events
    apart, and then either may come first.
    """
    return at_ms << ORDER_BITS | arrival & _ARRIVAL_MASK


def first_order(at_ms: int) -> int:
    """Return the smallest order of the instant `at_ms`; below every event at or after it."""
    return at_ms << ORDER_BITS


@dataclass(slots=True)
class ProfileState:
    """One profile.

    Attributes:
        tag: Tag of the catalogue the state was migrated to.
        attributes_json: The profile record as JSON.
        arrivals: Events ever applied, since the last deletion.
        orders: Orders of all kept events, ascending.
        frames: Event frames stored, kept or not.
        recent_ids: Ids of events applied lately.
        matches: Matching events by timeline key.
        dues: Key of a timeline or leaf → next instant at which its answer can change by itself.
        members: Bit set over segment ordinals, little endian: the profile is in these segments.
        details: By segment ordinal, for every segment the profile ever was in.
        deleted_ms: Partition clock of the last deletion; 0 while there was none. A deleted profile
            is a stub: only this, `details` and the hashes in `recent_ids` are kept.
        created: False until the first update was applied.
        updated_ms: Partition clock of the last update; 0 where an older version stored it.
        external: By ordinal of an external audience, the instant until which the profile is in it,
            while that lies ahead; kept while the audience is inactive.
        due_floor_ms: No due is earlier; 0 for not looked yet; not stored.
        fronts: Order → keys of the timelines that begin with it, once somebody asked; not stored,
            and what is out of date in it stays there.
        base_bytes: Size of the stored state without the changes appended to it; 0 where nothing is
            stored that a change could be appended to. Whoever changes what no change can say
            (tag, the tables as a whole, the deletion) sets it to 0.
        log_bytes: Size of the changes appended to it.
        saved_orders: So many orders, from the oldest on, are in the stored state, but for
        late_orders: those that came in among them,
        cut_orders: and it begins with so many more.
        changed_dues: Keys of dues set or cleared since the state was stored.
    """

    tag: str = ""
    attributes_json: bytes = b"{}"
    arrivals: int = 0
    orders: array[int] = field(default_factory=lambda: array("q"))
    frames: int = 0
    recent_ids: RecentIds = field(default_factory=RecentIds)
    matches: MatchTable = field(default_factory=MatchTable)
    dues: dict[int, int] = field(default_factory=dict)
    members: bytes = b""
    details: DetailTable = field(default_factory=DetailTable)
    deleted_ms: int = 0
    created: bool = False
    updated_ms: int = 0
    external: dict[int, int] = field(default_factory=dict)
    due_floor_ms: int = 0
    fronts: dict[int, list[int]] | None = field(default=None, compare=False, repr=False)
    base_bytes: int = field(default=0, compare=False, repr=False)
    log_bytes: int = field(default=0, compare=False, repr=False)
    saved_orders: int = field(default=0, compare=False, repr=False)
    late_orders: list[int] = field(default_factory=list, compare=False, repr=False)
    cut_orders: int = field(default=0, compare=False, repr=False)
    changed_dues: set[int] = field(default_factory=set, compare=False, repr=False)

    def add_order(self, order: int) -> bool:
        """Add the order of an event; return whether it is the newest."""
        orders = self.orders
        if not orders or order > orders[-1]:
            orders.append(order)
            return True
        index = bisect_right(orders, order)
        orders.insert(index, order)
        if index < self.saved_orders:
            self.saved_orders += 1
            self.late_orders.append(order)
        return False

    def drop_orders(self, count: int) -> None:
        """Forget the oldest events."""
        del self.orders[:count]
        stored = min(count, self.saved_orders)
        self.cut_orders += stored
        self.saved_orders -= stored

    def set_due(self, key: int, due_ms: int) -> None:
        """Set the due time of a timeline, chain or leaf."""
        if self.dues.get(key) != due_ms:
            self.dues[key] = due_ms
            self.changed_dues.add(key)
        if due_ms < self.due_floor_ms:
            self.due_floor_ms = due_ms

    def clear_due(self, key: int) -> None:
        """Clear the due time of a timeline, chain or leaf, if it has one."""
        if self.dues.pop(key, None) is not None:
            self.changed_dues.add(key)

    def set_external(self, ordinal: int, until_ms: int) -> None:
        """Set until when the profile is in an external audience; 0 for not at all."""
        if until_ms:
            self.external[ordinal] = until_ms
        elif self.external.pop(ordinal, None) is None:
            return
        # No appended change can say this.
        self.base_bytes = 0

    def mark_saved(self, base_bytes: int, log_bytes: int) -> None:
        """Take note that the stored state, so many bytes, is up to date."""
        self.base_bytes, self.log_bytes = base_bytes, log_bytes
        self.saved_orders = len(self.orders)
        self.cut_orders = 0
        self.late_orders.clear()
        self.changed_dues.clear()
        self.recent_ids.mark_saved()
        self.matches.mark_saved()
        self.details.changed.clear()


def load_attributes(state: ProfileState) -> JsonObject:
    """Return the profile record of a state."""
    record: Any = orjson.loads(state.attributes_json)
    return record  # type: ignore[no-any-return]  # written by us: always an object


def next_due(state: ProfileState) -> int | None:
    """Return an instant before which no answer changes without an event, or None for never.

    It is the earliest due when it was last looked for; that one may have moved to a later time.
    """
    dues = state.dues
    if not dues:
        return None
    if state.due_floor_ms <= 0:
        state.due_floor_ms = min(dues.values())
    return state.due_floor_ms
