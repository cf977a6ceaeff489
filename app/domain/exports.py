"""Export jobs: what is asked, what was exported, and the port of the data sets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from app.domain.model import JsonObject, Status, Tenant

NOTHING = "0" * 64
"""The checksum of no records; see docs/topics.md for the others."""


@dataclass(frozen=True, slots=True)
class ExportSegment:
    """A segment whose members are exported.

    Attributes:
        statuses: Which of them: `realized`, `exited`.
        ordinal: Of a definition of this service; -1 in another namespace.
        batch_id: Where each segment has a batch of its own, else empty.
    """

    namespace: str
    segment_id: str
    statuses: tuple[Status, ...]
    ordinal: int = -1
    batch_id: str = ""


@dataclass(frozen=True, slots=True)
class EventSelection:
    """Which events of a profile are exported with it, by when they were applied.

    Attributes:
        fields: Dotted paths; None for all.
        after_ms: Later than this only.
        until_ms: Not later than this.
    """

    fields: tuple[str, ...] | None = None
    after_ms: int | None = None
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class ExportTask:
    """What an export writes.

    Attributes:
        segments: Members of any of these; all profiles where there are none.
        from_ms, until_ms: When they qualified, both included.
        updated_after_ms: Profiles with a later update only.
        with_empty: Also profiles that have nothing but events.
        fields: Dotted paths into a profile; None for all.
        events: None for no events.
        dataset_id: Empty for the topic alone.
        batch_id: Of the whole export.
    """

    batch_id: str
    segments: tuple[ExportSegment, ...] = ()
    from_ms: int | None = None
    until_ms: int | None = None
    updated_after_ms: int | None = None
    with_empty: bool = False
    fields: tuple[str, ...] | None = None
    events: EventSelection | None = None
    dataset_id: str = ""

    @property
    def batch_ids(self) -> tuple[str, ...]:
        """Ids of the batches that the records are in: one for all, or one for each segment."""
        return tuple(one.batch_id for one in self.segments if one.batch_id) or (self.batch_id,)


@dataclass(frozen=True, slots=True)
class DatasetFile:
    """A part of a batch.

    Attributes:
        name: Within the folder of its batch.
        sha256: Of its bytes, in hexadecimal digits.
    """

    batch_id: str
    name: str
    partition: int
    rows: int
    bytes: int
    sha256: str


@dataclass(slots=True)
class ExportCounts:
    """What was exported of one partition so far, or of all.

    Attributes:
        total: Profiles looked at.
        skipped: Profiles that could not be exported.
        exported: Profiles exported.
        records: Records of these profiles; also the number of the last one.
        by_namespace: Exported profiles that have an identity, by its namespace.
        checksum: Of the records in the order of their numbers.
        run: Distinguishes this pass over the partition from one that began anew; 0 before it.
        began_ms: Timestamp of the first record of the run.
        first_offset, last_offset: Next offset of the input when the first and the last slice were
            exported.
        files: Parts of data sets; once they are written.
    """

    total: int = 0
    skipped: int = 0
    exported: int = 0
    records: int = 0
    by_namespace: dict[str, int] = field(default_factory=dict)
    checksum: str = NOTHING
    run: int = 0
    began_ms: int = 0
    first_offset: int = -1
    last_offset: int = -1
    files: list[DatasetFile] = field(default_factory=list)

    def add(self, other: ExportCounts) -> None:
        """Add what another partition counted."""
        self.total += other.total
        self.skipped += other.skipped
        self.exported += other.exported
        self.records += other.records
        for name, count in other.by_namespace.items():
            self.by_namespace[name] = self.by_namespace.get(name, 0) + count

    def copy(self) -> ExportCounts:
        """Return counts that can be changed without these."""
        return ExportCounts.from_row(self.row())

    def row(self) -> JsonObject:
        """Return it for JSON."""
        return asdict(self)

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> ExportCounts:
        """Return what `row` gave."""
        files = [DatasetFile(**one) for one in row["files"]]
        return cls(**{**row, "files": files, "by_namespace": dict(row["by_namespace"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class NewExport:
    """What an export job was asked for, as it is shown; its task has what workers need.

    Attributes:
        request: Filter, fields and so on with their defaults, in the shape of the API.
        after: Id of the segment job that has to succeed before; empty for none.
    """

    request: JsonObject
    after: str = ""


@dataclass(frozen=True, slots=True)
class ExportRow:
    """A record of the topic on its way into a data set.

    Attributes:
        batch_ids: The batches that it belongs to.
        document: As on the topic.
    """

    batch_ids: tuple[str, ...]
    document: JsonObject


class PartWriter(Protocol):
    """Writes the parts of one partition, staged. Its methods block: call them in a thread.

    They raise whatever the storage raises; a writer that raised is to be abandoned.
    """

    def add(self, rows: Sequence[ExportRow]) -> None:
        """Write rows, in the order of their numbers."""
        ...

    def close(self) -> list[DatasetFile]:
        """Finish all parts."""
        ...

    def abandon(self) -> None:
        """Remove what was written, at any time; never raises."""
        ...


class Datasets(Protocol):
    """Configured places for data sets. The methods block: call them in a thread."""

    def writer(self, task: ExportTask, partition: int) -> PartWriter:
        """Return a writer for a partition's parts; raises `UserError` for an unknown data set."""
        ...

    def publish(
        self, task: ExportTask, files: Sequence[DatasetFile], about: Mapping[str, Any]
    ) -> None:
        """Let readers see the batches of an export, whole; may be repeated.

        Args:
            task: What was exported.
            files: Of all partitions.
            about: For the manifest of each batch.
        """
        ...

    def discard(self, dataset_id: str, batch_id: str) -> None:
        """Remove what an export has staged; nothing there is no error."""
        ...


class ExportNotes(Protocol):
    """What only exports need of the jobs as a worker sees them. All raise `Unavailable`."""

    async def close(
        self, tenant: Tenant, job_id: str, partitions: int, now_ms: int
    ) -> dict[int, ExportCounts] | None:
        """Let an export end, which nobody can cancel from then on; may be repeated.

        Returns:
            The counts by partition; None where it is not being done, or a partition is missing.
        """
        ...

    async def leftovers(self) -> dict[tuple[Tenant, str], tuple[str, str]]:
        """Return data set and batch of the exports that ended without success, by job id."""
        ...

    async def forget_leftover(self, tenant: Tenant, job_id: str) -> None:
        """Note that what such an export had staged is removed."""
        ...
