"""One stored profile as the oracle takes it, and what is stored of its memberships."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import dataclass

from app.domain.model import JsonObject
from app.domain.timestamps import iso_text
from app.engine.explain_clock import Members
from app.engine.history import read_frames
from app.engine.oracle import Event, Subject
from app.engine.profile import ProfileState, first_order, load_attributes
from app.service.membership import segment_membership
from app.service.profile_view import StoredProfile


@dataclass(frozen=True, slots=True)
class ExplainedProfile:
    """One profile at one instant.

    Args:
        state: Of a profile that exists.
        stored: The same, packed.
        segment_ids: Segment id by ordinal.
        namespaces: Namespace of memberships by ordinal, of external audiences.
        now_ms: The instant; attributes and memberships are as stored all the same.
        retention_ms: From so long after an event on it is not seen.
    """

    state: ProfileState
    stored: StoredProfile
    segment_ids: Mapping[int, str]
    namespaces: Mapping[int, str]
    now_ms: int
    retention_ms: int

    def members(self) -> Members:
        """Return the segments that it is in."""
        bits, external = self._bits, self.state.external
        ordinals = [ordinal for ordinal in self.segment_ids if bits >> ordinal & 1]
        fixed = frozenset(self.segment_ids[one] for one in ordinals if one not in external)
        until_ms = {self.segment_ids[one]: external[one] for one in ordinals if one in external}
        return Members(fixed, until_ms, self.now_ms)

    def subject(self) -> Subject:
        """Return the profile for the oracle, with the events that were there at the instant.

        Those that were there but are past the retention at the clock are not stored any more.
        """
        orders = self.state.orders
        first = bisect_left(orders, first_order(self.now_ms - self.retention_ms + 1))
        is_past = self.now_ms < self.stored.clock_ms
        events = [
            Event(one.at_ms, one.order, one.body)
            for one in read_frames(self.stored.frames, orders[first:])
            if not is_past or one.applied_ms <= self.now_ms
        ]
        memberships = segment_membership(self.state, self.segment_ids, self.namespaces)
        attributes = load_attributes(self.state)
        return Subject(attributes, events, self.members(), self.now_ms, memberships)

    @property
    def _bits(self) -> int:
        return int.from_bytes(self.state.members, "little")

    def is_member(self, ordinal: int) -> bool:
        """Tell whether it is stored as a member of a segment."""
        return bool(self._bits >> ordinal & 1)

    def membership(self, ordinal: int) -> JsonObject | None:
        """Return what is stored of its membership in a segment; None where it never was in it."""
        detail = self.state.details.get(ordinal)
        if detail is None:
            return None
        is_member = self.is_member(ordinal)
        document: JsonObject = {
            "status": "realized" if is_member else "exited",
            "lastQualificationTime": iso_text(detail.at_ms),
            "sequence": detail.sequence,
        }
        until_ms = self.state.external.get(ordinal, 0)
        if is_member and until_ms:
            document["validUntil"] = iso_text(until_ms)
        return document
