"""What a worker holds of one partition that it owns: thrown away as a whole when it is lost."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import orjson
from aiokafka.structs import OffsetAndMetadata, TopicPartition

from app.adapters.kafka.codecs import Forward, UpdateDecoder
from app.adapters.kafka.consumer_thread import Position
from app.adapters.kafka.publisher import EndOffsets, Publisher
from app.adapters.kafka.records import (
    Outbox,
    OutputRecord,
    TopicNames,
    change_record,
    dead_letter,
    export_record,
    forwarded,
    memberships_record,
    pack_outbox,
    with_batch_headers,
)
from app.adapters.kafka.recovery import Recovery
from app.adapters.kafka.suspicion import Suspicion
from app.adapters.kafka.transport import RecordBatch
from app.adapters.kafka.update_fields import InputRecord
from app.adapters.kafka.work import Work, not_applied, too_large
from app.adapters.redis.commits import Argument, Commit
from app.domain.errors import InvalidUpdate
from app.domain.model import Origin, ProfileKey, Tenant
from app.engine.catalogue import Catalogue
from app.service.backfill import Backfill, Slice
from app.service.export_scan import ExportTally
from app.service.job_scan import PartitionJobs
from app.service.outcome import Outcome
from app.service.partition import PartitionEngine
from app.service.profile_size import refused

_UNKNOWN = Position(0, None, 0)


@dataclass(slots=True)
class Owner:
    """One assigned partition.

    Attributes:
        lease: Distinguishes this assignment of the partition from earlier ones in the process.
        is_ready: Takes batches: state was read, the reader sought, and it is not revoked.
        has_started: Was ready once.
        offset: Next input offset, as of the last batch evaluated.
        received: Where the last batch that arrived ended.
        head_ms: Due time of the earliest timer in Redis.
        ends: End offsets of outputs since they were last written to Redis.
        origins: Highest origin offset applied of forwarded records, by source partition.
        dirty: Further fields of Redis' hash that the next batch writes.
        published_sequence: Of the last batch whose output and offset the group knows.
        tags: Catalogue version in the engine, by tenant.
        backfill: How far the profiles have been brought to the definitions.
        jobs: How far the segment and export jobs are.
        is_job_next: Whose turn it is, where both have profiles to look at.
        suspicion: What the engine failed on, or may have.
        in_flight: Batches read that did not arrive yet.
        polled_in_cycle: Number of the stream's cycle when the last of them was read.
        progress_at: Monotonic clock of the last commit, or of becoming ready.
    """

    partition: int
    lease: int
    topics: TopicNames
    engine: PartitionEngine
    publisher: Publisher | None = None
    is_ready: bool = False
    has_started: bool = False
    epoch: int = 0
    sequence: int = 0
    offset: int = 0
    received: int = 0
    clock_ms: int = 0
    head_ms: int | None = None
    recovery: Recovery | None = None
    pending: deque[RecordBatch] = field(default_factory=deque)
    position: Position = _UNKNOWN
    publishing: asyncio.Task[None] | None = None
    ends: EndOffsets = field(default_factory=dict)
    origins: dict[int, int] = field(default_factory=dict)
    dirty: dict[str, Argument] = field(default_factory=dict)
    published_sequence: int = 0
    unflushed_since: float | None = None
    tags: dict[Tenant, str] = field(default_factory=dict)
    backfill: Backfill = field(default_factory=Backfill)
    jobs: PartitionJobs = field(default_factory=lambda: PartitionJobs(ExportTally))
    is_job_next: bool = False
    suspicion: Suspicion = field(default_factory=Suspicion)
    in_flight: int = 0
    polled_in_cycle: int = 0
    progress_at: float = 0.0

    @property
    def lag(self) -> int:
        """Records between the last committed batch and the end that a reader can reach."""
        at = self.position
        if at.end is None:
            return 0
        has_all = not self.pending and self.in_flight == 0 and self.offset >= self.received
        # Aborted records and markers are read, but never arrive in a batch.
        done = max(self.offset, at.offset) if has_all else self.offset
        return max(at.end - done, 0)

    @property
    def is_publishing(self) -> bool:
        """Whether output or an offset is on its way to Kafka."""
        return self.publishing is not None and not self.publishing.done()

    def is_idle(self, now_ms: int, fresh_ms: int) -> bool:
        """Whether a recent fetch showed that there is nothing left to read."""
        at = self.position
        return (
            not self.pending
            and self.in_flight == 0
            and self.recovery is None
            and at.end is not None
            and at.offset >= at.end
            and now_ms - at.answered_ms <= fresh_ms
        )

    def is_replayed(self) -> bool:
        """Whether all inputs of a replay were taken; markers at its end are no records."""
        if self.recovery is None:
            return False
        if self.pending:
            return bool(self.pending[0].records[0].offset >= self.recovery.end)
        at = self.position.offset if self.in_flight == 0 else 0
        return max(self.offset, at) >= self.recovery.end

    def may_fire(self, work: Work) -> bool:
        """Whether due timers join this batch."""
        if work.settles or work.scans_alone:
            return False
        return not (work.records and self.suspicion.is_at(self.offset))

    @property
    def may_scan(self) -> bool:
        """Whether a slice of profiles may join the next batch: never while something is amiss."""
        return (
            (self.backfill.is_waiting or self.jobs.is_waiting)
            and self.is_ready
            and self.recovery is None
            and not self.suspicion.is_at(self.offset)
        )

    def set_due(self, work: Work, due: dict[ProfileKey, int]) -> None:
        """Add due timers to a batch, but for those that the engine failed on."""
        work.dropped = self.suspicion.drop_bad(due)
        work.due = {key: at for key, at in due.items() if key not in work.dropped}

    def take(self, max_records: int, max_bytes: int, decoder: UpdateDecoder) -> Work:
        """Take the next records, bounded, and decode them."""
        max_records = self.suspicion.most(self.offset, max_records)
        work = Work(self.offset)
        taken_bytes = 0
        while self.pending and work.records < max_records and taken_bytes < max_bytes:
            batch = self.pending[0]
            taken, size = self._cut(batch, max_records - work.records, max_bytes - taken_bytes)
            if not taken:
                break
            taken_bytes += size
            if len(taken) >= len(batch.records):
                self.pending.popleft()
                work.end = batch.end
            else:
                self.pending[0] = batch._replace(records=batch.records[len(taken) :])
                work.end = taken[-1].offset + 1
            self._decode(taken, decoder, work)
        return work

    def _cut(
        self, batch: RecordBatch, max_records: int, max_bytes: int
    ) -> tuple[list[InputRecord], int]:
        """Return the first records of a batch within the bounds, and how many bytes they have."""
        taken: list[InputRecord] = batch.records[:max_records]
        if self.recovery is not None:
            # The replay ends exactly where the group's position is.
            taken = [record for record in taken if record.offset < self.recovery.end]
        sizes = [len(record.value or b"") for record in taken]
        size = sum(sizes)
        while size > max_bytes and len(taken) > 1:
            taken.pop()
            size -= sizes.pop()
        return taken, size

    def _decode(self, records: Sequence[InputRecord], decoder: UpdateDecoder, work: Work) -> None:
        decode = decoder.decode
        updates = work.updates
        topic, partition, poison = self.topics.updates, self.partition, self.suspicion.poison
        last_ms = work.last_ms
        for record in records:
            try:
                if poison and record.offset in poison:
                    raise not_applied()
                found = decode(record, topic, partition)
            except InvalidUpdate as error:
                self._add_dead_letter(record, error, work)
                continue
            if isinstance(found, Forward):
                work.forwarded += 1
                work.output.append(forwarded(record, found.partition, found.origin))
                continue
            source = found.origin.partition
            if source != partition and not self._is_new(source, found.origin.offset):
                work.skipped += 1
                continue
            if found.record_ms > last_ms:
                last_ms = found.record_ms
            updates.append(found)
            work.sources.append(record)
        work.last_ms = last_ms
        if work.records == 0:
            work.first = records[0].offset
        work.records += len(records)

    def refuse(self, work: Work, oversized: Collection[ProfileKey]) -> int:
        """Set aside the updates that would add to profiles that are too large; return how many."""
        pairs = [(update, update.key in oversized) for update in work.updates]
        kept_updates, kept_sources = [], []
        found = zip(work.updates, work.sources, refused(pairs), strict=True)
        for update, record, is_refused in found:
            if is_refused:
                self._add_dead_letter(record, too_large(), work)
            else:
                kept_updates.append(update)
                kept_sources.append(record)
        count = len(work.updates) - len(kept_updates)
        work.updates, work.sources = kept_updates, kept_sources
        return count

    def _is_new(self, source: int, offset: int) -> bool:
        """Tell a forwarded record from the repetition that a replay at its source makes."""
        if offset <= self.origins.get(source, -1):
            return False
        self.origins[source] = offset
        self.dirty[f"origin:{source}"] = offset
        return True

    def set_catalogue(self, tenant: Tenant, catalogue: Catalogue) -> None:
        """Swap the definitions of a tenant; between two batches only."""
        self.engine.set_catalogue(tenant, catalogue)
        self.tags[tenant] = catalogue.tag
        self.dirty.update(self.backfill.begin(tenant, catalogue.tag))
        self.jobs.set_catalogue(tenant, catalogue)

    def _add_dead_letter(self, record: InputRecord, error: InvalidUpdate, work: Work) -> None:
        work.dead += 1
        if self.recovery is None or record.offset > self.recovery.dead_offset:
            origin = Origin(self.topics.updates, self.partition, record.offset)
            work.output.append(dead_letter(self.topics.dead_letters, origin, record, error))

    def finish(self, work: Work, outcome: Outcome) -> tuple[Commit, Outbox | None]:
        """Turn the outcome of a batch into what is written and what is published."""
        self.sequence += 1
        self.offset = work.end
        self.clock_ms = max(self.clock_ms, outcome.clock_ms)
        recovery = self._settle_recovery(work, outcome)
        if work.scan is not None:
            self.dirty.update(self._advance(work, work.scan))
        records = list(work.output)
        if self.recovery is None:
            self._add_changes(records, outcome)
        outbox = None
        meta: dict[str, Argument] = {
            f"offset:{self.topics.updates}": work.end,
            "clock": self.clock_ms,
        }
        if records:
            outbox = Outbox(self.epoch, self.sequence, records)
            with_batch_headers(self.partition, outbox)
            meta["outbox-sequence"] = self.sequence
            # Not with every batch: they tell where the output of the last outbox begins.
            meta.update({f"output:{topic}:{at}": end for (topic, at), end in self.ends.items()})
            self.ends = {}
        meta.update(self.dirty)
        self.dirty = {}
        stale = [
            key
            for key, due_ms in work.due.items()
            if key not in outcome.timers and due_ms <= outcome.clock_ms
        ]
        stale.extend(work.dropped)
        commit = Commit(
            self.partition,
            self.epoch,
            self.sequence,
            outcome,
            meta,
            None if outbox is None else pack_outbox(outbox),
            recovery,
            stale,
        )
        return commit, outbox

    def _advance(self, work: Work, scan: Slice) -> dict[str, str]:
        if work.tally is None:
            return self.backfill.advance(scan, work.following)
        fields = self.jobs.advance(scan.tenant, work.tally, work.following)
        work.output += [
            export_record(self.topics.exports, self.partition, work.tally.task.job_id, value)
            for value in work.tally.output
        ]
        return fields

    def _settle_recovery(self, work: Work, outcome: Outcome) -> bytes | None:
        """Advance a replay; return what its key in Redis becomes, None to leave it."""
        if self.recovery is None:
            return None
        if work.settles:
            work.output.extend(self.recovery.unpublished)
            self.recovery = None
            return b""
        if self.recovery.note_suppressed(outcome.changes):
            return self.recovery.pack()
        return None

    def _add_changes(self, records: list[OutputRecord], outcome: Outcome) -> None:
        topics, partition = self.topics, self.partition
        records.extend(
            change_record(topics.changes, partition, change) for change in outcome.changes
        )
        records.extend(
            memberships_record(topics.memberships, partition, key, value)
            for key, value in outcome.memberships.items()
        )

    def group_offsets(self) -> dict[TopicPartition, OffsetAndMetadata]:
        """Return what the group is told with the last batch."""
        metadata = orjson.dumps({"e": self.epoch, "s": self.sequence}).decode()
        at = TopicPartition(self.topics.updates, self.partition)
        return {at: OffsetAndMetadata(self.offset, metadata)}
