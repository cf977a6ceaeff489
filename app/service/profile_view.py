"""One stored profile, unpacked for reading."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from app.domain.model import JsonObject
from app.domain.timestamps import iso_text
from app.engine.history import KeptEvent, read_frames
from app.engine.profile import ORDER_BITS, first_order, load_attributes
from app.engine.state_codec import decode
from app.service.membership import segment_membership


@dataclass(frozen=True, slots=True)
class StoredProfile:
    """What is stored of one profile.

    Attributes:
        state: Packed.
        frames: Of the events; empty where they were not asked for.
        clock_ms: The clock of its partition.
    """

    state: bytes
    frames: bytes
    clock_ms: int


class ProfileView:
    """A profile as of the last batch of its partition.

    Attributes:
        exists: False for the stub of a deleted profile.
        attributes: The profile record.
        membership: The `segmentMembership` map.
        clock_ms: The clock of the partition, which windows are measured by.
        last_modified_ms: The last change that left a trace, None for none: an update with an
            `eventId`, an event, a membership that began or ended. An update of attributes alone
            without `eventId` leaves none.
        orders: Of the kept events that are within the retention time, ascending.

    Raises:
        ConfigurationError: The state was written by a later version of this program.
    """

    def __init__(
        self,
        profile_id: str,
        stored: StoredProfile,
        segment_ids: Mapping[int, str],
        retention_ms: int,
        namespaces: Mapping[int, str] | None = None,
    ) -> None:
        state = decode(stored.state)
        self.profile_id = profile_id
        self.exists = state.created
        self.attributes: JsonObject = load_attributes(state)
        self.membership: JsonObject = segment_membership(state, segment_ids, namespaces or {})
        self.clock_ms = stored.clock_ms
        first = bisect_left(state.orders, first_order(self.clock_ms - retention_ms + 1))
        self.orders: array[int] = state.orders[first:]
        self._frames = stored.frames
        traces = [detail.at_ms for _, detail in state.details.items()]
        traces += state.recent_ids.times[-1:]
        traces += [min(order >> ORDER_BITS, self.clock_ms) for order in self.orders[-1:]]
        self.last_modified_ms = max(traces, default=None)

    def events(self, orders: Iterable[int]) -> list[KeptEvent]:
        """Return the events of these orders, oldest first."""
        return read_frames(self._frames, orders)


def event_document(event: KeptEvent) -> dict[str, Any]:
    """Return an event as its producer sent it, with `timestamp` as what it counts as."""
    return {**event.body, "timestamp": iso_text(event.at_ms)}
