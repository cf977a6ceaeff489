"""What a batch exports of a slice of profiles (docs/decisions/0307)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from app.domain.exports import EventSelection, ExportCounts, ExportSegment
from app.domain.jobs import JobTask
from app.domain.model import SEGMENT_NAMESPACE, JsonObject, ProfileKey, Status, Tenant
from app.domain.timestamps import iso_text
from app.engine.catalogue import Catalogue
from app.engine.history import KeptEvent
from app.engine.profile import ORDER_BITS
from app.engine.working import Profile
from app.pql.calendar import parse_timestamp
from app.service.entity_fields import Fields
from app.service.export_records import (
    ExportSource,
    next_checksum,
    partition_end,
    partition_start,
)
from app.service.identity_map import namespaces_of
from app.service.job_tally import JobProgress, Place
from app.service.membership import membership_map
from app.service.profile_view import event_document
from app.service.restoration import RESTORED_TAG

SLICE_BYTES = 4 * 1_048_576
"""Stored bytes of the profiles of a slice, but for one larger profile: what waits in an outbox."""

RECORD_BYTES = 786_432
"""A record with more is divided, where it has events."""

MOST_BYTES = 11 * 1_048_576
"""What the topic takes of one record, less its head."""

_MEMBERSHIP = "segmentMembership"
_IDENTITIES = "identityMap"


class ExportTally:
    """Exports the profiles of a slice; implements `app.service.job_tally.Tally`.

    Args:
        before: Where the last slice ended.
        catalogue: What the profiles are brought to.
    """

    def __init__(
        self, tenant: Tenant, task: JobTask, before: JobProgress, catalogue: Catalogue
    ) -> None:
        assert task.export is not None
        assert isinstance(before.counts, ExportCounts)
        self.task = task
        self.keys: list[ProfileKey] = []
        self.output: list[bytes] = []
        self.needs_events = task.export.events is not None
        self.most_bytes = SLICE_BYTES
        self._export = task.export
        self._tenant = tenant
        self._catalogue = catalogue
        self._counts = before.counts.copy()
        self._skipped_before = self._counts.skipped
        self._fields = Fields(task.export.fields)
        events = task.export.events
        self._event_fields = Fields(None if events is None else events.fields)
        self._own = {one.ordinal: one for one in task.export.segments if one.ordinal >= 0}
        self._others = [one for one in task.export.segments if one.ordinal < 0]
        self._source = ExportSource(tenant, task, 0, 0)
        self._offset = 0

    def begin(self, place: Place) -> None:
        """Take the place; where nothing was exported yet, this is a new run."""
        counts = self._counts
        self._offset = counts.last_offset = place.offset
        is_new = counts.run == 0
        if is_new:
            counts.run, counts.began_ms = place.epoch, place.now_ms
            counts.first_offset = place.offset
        self._source = ExportSource(self._tenant, self.task, place.partition, counts.run)
        if is_new:
            self.output.append(partition_start(self._source, place.offset))

    def set_keys(self, found: list[ProfileKey], wanted: list[ProfileKey]) -> None:
        """Take the profiles of the slice, and those among them that can be evaluated."""
        self.keys = wanted
        self._counts.skipped = self._skipped_before + len(found) - len(wanted)

    def add(self, key: ProfileKey, profile: Profile, oldest: int) -> None:
        """Export a profile, if it is asked for."""
        counts, export = self._counts, self._export
        counts.total += 1
        if not export.with_empty and _is_empty(profile):
            return
        if export.updated_after_ms is not None and _updated_ms(profile) <= export.updated_after_ms:
            return
        segments = list(self._matched(profile))
        if not segments and (export.segments or (self._asks_time and not self._is_timely(profile))):
            return
        events: list[JsonObject] | None = None
        if export.events is not None:
            chosen = _chosen(profile.events or (), export.events, oldest)
            events = [self._event_fields.of(event_document(event)) for event in chosen]
        self._write(key, profile, segments, events)

    def finish(self, before: JobProgress, following: int | None) -> JobProgress:
        """Return how far the partition is; at its end a record says so."""
        if following is None:
            self.output.append(partition_end(self._source, self._counts))
        return JobProgress(self.task.job_id, following, self._counts)

    # --- which profiles ---

    @property
    def _asks_time(self) -> bool:
        return self._export.from_ms is not None or self._export.until_ms is not None

    def _matched(self, profile: Profile) -> Iterator[JsonObject]:
        """Yield the memberships for which a profile is exported."""
        details = profile.state.details
        for ordinal in sorted(details.ordinals() & self._own.keys()):
            detail = details.get(ordinal)
            assert detail is not None
            status: Status = "realized" if profile.members >> ordinal & 1 else "exited"
            if self._is_asked(self._own[ordinal], status, detail.at_ms):
                yield _membership(self._own[ordinal], status, detail.at_ms)
        for one in self._others:
            found = _foreign(profile).get(one.namespace)
            known = _read_membership(found.get(one.segment_id)) if isinstance(found, dict) else None
            if known is not None and self._is_asked(one, *known):
                yield _membership(one, *known)

    def _is_asked(self, segment: ExportSegment, status: Status, at_ms: int) -> bool:
        return status in segment.statuses and self._is_in_time(at_ms)

    def _is_in_time(self, at_ms: int) -> bool:
        first, last = self._export.from_ms, self._export.until_ms
        return (first is None or at_ms >= first) and (last is None or at_ms <= last)

    def _is_timely(self, profile: Profile) -> bool:
        """Tell whether a profile is in any segment since a time that is asked for."""
        return any(
            profile.members >> ordinal & 1 and self._is_in_time(detail.at_ms)
            for ordinal, detail in profile.state.details.items()
        )

    # --- what is written ---

    def _write(
        self,
        key: ProfileKey,
        profile: Profile,
        segments: list[JsonObject],
        events: list[JsonObject] | None,
    ) -> None:
        counts = self._counts
        state, known = profile.state, self._catalogue
        own = membership_map(
            profile.members, state.details, known.segment_ids, known.namespaces, state.external
        )
        record = {**profile.attributes, _MEMBERSHIP: _joined(_foreign(profile), own)}
        fields = self._fields.of(record)
        parts = [{"profile": fields}] if events is None else _parts(fields, events)
        packed = [
            orjson.dumps(
                {
                    **self._source.head("profile"),
                    "number": counts.records + place,
                    "inputOffset": self._offset,
                    "profileId": key.profile_id,
                    "part": place,
                    "parts": len(parts),
                    "segments": segments,
                    **part,
                }
            )
            for place, part in enumerate(parts, 1)
        ]
        if any(len(one) > MOST_BYTES for one in packed):
            counts.skipped += 1
            return
        for one in packed:
            counts.checksum = next_checksum(counts.checksum, one)
        self.output += packed
        counts.records += len(packed)
        counts.exported += 1
        for name in namespaces_of(profile.attributes):
            counts.by_namespace[name] = counts.by_namespace.get(name, 0) + 1


class EndTally:
    """Tells the end of an export, in a slice without profiles; implements `Tally`."""

    needs_events = False
    most_bytes = 0

    def __init__(self, task: JobTask, ending: bytes) -> None:
        self.task = task
        self.keys: list[ProfileKey] = []
        self.output = [ending]

    def begin(self, place: Place) -> None:
        """Everything was counted by now."""

    def set_keys(self, found: list[ProfileKey], wanted: list[ProfileKey]) -> None:
        """There are none."""

    def add(self, key: ProfileKey, profile: Profile, oldest: int) -> None:
        """There are none."""

    def finish(self, before: JobProgress, following: int | None) -> JobProgress:
        """Close the job."""
        return JobProgress(self.task.job_id, None, before.counts, is_closed=True)


def _joined(foreign: JsonObject, own: JsonObject) -> JsonObject:
    """Return the memberships that the record tells, and our own over them."""
    found = {**foreign, **own}
    for name in foreign.keys() & own.keys():
        if isinstance(foreign[name], dict):
            found[name] = {**foreign[name], **own[name]}
    return found


def _is_empty(profile: Profile) -> bool:
    """Tell whether there is nothing but events; nobody knows what a restored profile has."""
    is_bare = not profile.attributes.keys() - {_IDENTITIES, _MEMBERSHIP}
    return is_bare and profile.state.tag != RESTORED_TAG


def _updated_ms(profile: Profile) -> int:
    """Return when the profile was updated last; of an older state, what it tells of that."""
    state = profile.state
    traces = [state.updated_ms, *state.recent_ids.times[-1:]]
    return max(traces + [order >> ORDER_BITS for order in state.orders[-1:]])


def _chosen(
    events: Iterable[KeptEvent], wanted: EventSelection, oldest: int
) -> Iterator[KeptEvent]:
    for event in events:
        is_new = wanted.after_ms is None or event.applied_ms > wanted.after_ms
        is_old = wanted.until_ms is None or event.applied_ms <= wanted.until_ms
        if event.order >= oldest and is_new and is_old:
            yield event


def _parts(fields: JsonObject, events: list[JsonObject]) -> list[JsonObject]:
    """Divide a profile with its events; the first part has the profile."""
    parts: list[JsonObject] = [{"profile": fields, "eventList": []}]
    size = len(orjson.dumps(fields))
    for event in events:
        length = len(orjson.dumps(event)) + 1
        if size + length > RECORD_BYTES and (parts[-1]["eventList"] or len(parts) == 1):
            parts.append({"eventList": []})
            size = 0
        parts[-1]["eventList"].append(event)
        size += length
    return parts


def _membership(segment: ExportSegment, status: Status, at_ms: int) -> JsonObject:
    found: JsonObject = {
        "segmentNs": segment.namespace,
        "segmentId": segment.segment_id,
        "status": status,
        "lastQualificationTime": iso_text(at_ms),
    }
    if segment.batch_id:
        found["batchId"] = segment.batch_id
    return found


def _foreign(profile: Profile) -> JsonObject:
    """Return the memberships that producers wrote, by namespace; ours are never theirs."""
    found: Any = profile.attributes.get(_MEMBERSHIP)
    if not isinstance(found, dict):
        return {}
    return {name: value for name, value in found.items() if name != SEGMENT_NAMESPACE}


def _read_membership(value: Any) -> tuple[Status, int] | None:
    """Return status and time of a membership that a producer wrote; None for something else."""
    if not isinstance(value, dict):
        return None
    status: Status = "exited" if value.get("status") == "exited" else "realized"
    at_ms = parse_timestamp(value.get("lastQualificationTime"))
    return status, at_ms or 0
