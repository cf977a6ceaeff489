"""Files of exports, made from what is on the topic, beside the stream.

A partition that is exported reads its records back and writes them as they are, so a data set is
what the topic is (docs/decisions/0307). Whoever dies meanwhile leaves files that nobody names; the
next owner reads again. Writing blocks, so it runs in threads.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from app.adapters.kafka.positions import KafkaPositions
from app.adapters.kafka.update_fields import KafkaRecord
from app.domain.errors import SegmentationError, Unavailable, UserError
from app.domain.exports import (
    NOTHING,
    DatasetFile,
    Datasets,
    ExportCounts,
    ExportRow,
    ExportTask,
    PartWriter,
)
from app.domain.jobs import JobError, JobTask
from app.domain.model import JsonObject, Tenant
from app.service.export_records import next_checksum, partition_totals

logger = logging.getLogger(__name__)

_ATTEMPTS = 5
_PAUSES_S = (1.0, 2.0, 5.0, 10.0)
_CHUNK = 2_000


class ExportLost(SegmentationError):
    """The topic does not have the records of an export any more."""

    code = "export-lost"


class ExportPart(NamedTuple):
    """What one partition exported."""

    tenant: Tenant
    task: JobTask
    partition: int
    lease: int
    counts: ExportCounts


@dataclass(slots=True)
class _Work:
    """Something that is being done for a job, tried again until it is done or given up."""

    start: Callable[[], Coroutine[Any, Any, Any]]
    running: asyncio.Task[Any]
    failures: int = 0
    again_at: float = 0.0
    undo: list[Callable[[], None]] = field(default_factory=list)


class ExportFailed(Exception):
    """An export cannot be done; `error` says why."""

    def __init__(self, error: JobError) -> None:
        super().__init__(error.message)
        self.error = error


class ExportFiles:
    """Writes, publishes and removes the files of exports for one worker.

    Args:
        topic: The name of `export-results`.
    """

    def __init__(self, positions: KafkaPositions, datasets: Datasets, topic: str) -> None:
        self._positions = positions
        self._datasets = datasets
        self._topic = topic
        self._works: dict[tuple[Any, ...], _Work] = {}
        self._ending: set[asyncio.Task[None]] = set()

    def parts(self, part: ExportPart) -> list[DatasetFile] | None:
        """Return the files of a partition; None while they are being written.

        Raises:
            ExportFailed: It was tried several times.
        """
        tenant, task, partition, lease, _ = part
        key = (tenant, task.job_id, partition, lease)
        undo: list[Callable[[], None]] = []
        found: list[DatasetFile] | None = self._result(key, lambda: self._write(part, undo), undo)
        return found

    def reported(self, part: ExportPart) -> None:
        """Learn that others know the files of a partition by now: they are not ours any more."""
        work = self._works.get((part.tenant, part.task.job_id, part.partition, part.lease))
        if work is not None:
            work.undo.clear()

    def publish(self, tenant: Tenant, task: JobTask, reports: Mapping[int, ExportCounts]) -> bool:
        """Tell whether the batches of an export are published; else they are being.

        Raises:
            ExportFailed: It was tried several times.
        """

        async def published() -> bool:
            await asyncio.to_thread(self._publish, tenant, task, reports)
            return True

        return bool(self._result((tenant, task.job_id), published, []))

    async def discard(self, dataset_id: str, batch_id: str) -> bool:
        """Remove what an export has staged; tell whether it is gone."""
        try:
            await asyncio.to_thread(self._datasets.discard, dataset_id, batch_id)
        except Exception as error:
            logger.warning("data set %s: removing fails: %s", dataset_id, _told(error))
            return isinstance(error, UserError)
        return True

    def retain(self, tasks: Mapping[Tenant, JobTask]) -> None:
        """Give up what belongs to other jobs than these, and remove what it has written."""
        for key in list(self._works):
            task = tasks.get(key[0])
            if task is None or task.job_id != key[1]:
                self._drop(self._works.pop(key))

    async def close(self) -> None:
        """Stop; what was staged and not reported is removed."""
        self.retain({})
        if self._ending:
            await asyncio.wait(list(self._ending), timeout=5.0)

    def _result(
        self,
        key: tuple[Any, ...],
        start: Callable[[], Coroutine[Any, Any, Any]],
        undo: list[Callable[[], None]],
    ) -> Any:
        work = self._works.get(key)
        if work is None:
            self._works[key] = _Work(start, asyncio.create_task(start()), undo=undo)
            return None
        if not work.running.done():
            return None
        error = work.running.exception()
        if error is None:
            return work.running.result()
        if not isinstance(error, Exception):
            raise error
        self._retry(work, error)
        return None

    def _retry(self, work: _Work, error: Exception) -> None:
        now = time.monotonic()
        if not work.again_at:
            is_away = isinstance(error, Unavailable)
            work.failures += not is_away
            pause = _PAUSES_S[min(work.failures, len(_PAUSES_S)) - 1]
            work.again_at = now + pause
            logger.warning("writing the files of an export fails: %s", _told(error))
            if work.failures >= _ATTEMPTS or isinstance(error, UserError):
                code = error.code if isinstance(error, SegmentationError) else "dataset-failed"
                raise ExportFailed(JobError(code, f"the data set: {_told(error)}"))
        if now >= work.again_at:
            work.again_at = 0.0
            work.running = asyncio.create_task(work.start())

    def _drop(self, work: _Work) -> None:
        work.running.cancel()

        async def undone() -> None:
            with suppress(asyncio.CancelledError, Exception):
                await work.running
            for call in work.undo:
                await asyncio.to_thread(call)

        task = asyncio.create_task(undone())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _write(self, part: ExportPart, undo: list[Callable[[], None]]) -> list[DatasetFile]:
        export = part.task.export
        assert export is not None
        for call in undo:
            await asyncio.to_thread(call)
        undo.clear()
        writer = await asyncio.to_thread(self._datasets.writer, export, part.partition)
        undo.append(writer.abandon)
        at_ms = part.counts.began_ms
        start = await self._positions.offset_at(self._topic, part.partition, at_ms)
        for first in dict.fromkeys((start, 0)):
            reader = _PartReader(part)
            await self._copy(reader, writer, first)
            if reader.is_complete:
                return await asyncio.to_thread(writer.close)
            if reader.has_rows:
                break
        raise ExportLost(
            f"the topic {self._topic} does not have all records of the export any more;"
            " keep them for longer and start it again"
        )

    async def _copy(self, reader: _PartReader, writer: PartWriter, start: int) -> None:
        at = (self._topic, reader.partition)
        records = self._positions.read({at: start})
        try:
            async for found in records:
                rows = reader.rows(found)
                for first in range(0, len(rows), _CHUNK):
                    await asyncio.to_thread(writer.add, rows[first : first + _CHUNK])
                if reader.is_complete:
                    return
        finally:
            await records.aclose()

    def _publish(self, tenant: Tenant, task: JobTask, reports: Mapping[int, ExportCounts]) -> None:
        export = task.export
        assert export is not None
        about = {
            "jobId": task.job_id,
            "orgId": tenant.org_id,
            "sandboxName": tenant.sandbox_name,
            "partitions": partition_totals(reports),
        }
        files = [file for one in reports.values() for file in one.files]
        self._datasets.publish(export, files, about)


class _PartReader:
    """Picks the records of one run out of those of a partition, and checks them."""

    def __init__(self, part: ExportPart) -> None:
        assert part.task.export is not None
        self._export: ExportTask = part.task.export
        self._own = (part.task.job_id, *part.tenant, part.counts.run)
        self._counts = part.counts
        self._number = 0
        self._checksum = NOTHING
        self._is_ended = False
        self.partition = part.partition

    @property
    def has_rows(self) -> bool:
        """Whether a record was found."""
        return self._number > 0

    @property
    def is_complete(self) -> bool:
        """Whether all records were found, as they were exported."""
        counts = self._counts
        is_same = self._number == counts.records and self._checksum == counts.checksum
        return self._is_ended and is_same

    def rows(self, records: Sequence[KafkaRecord]) -> list[ExportRow]:
        """Return the rows among some records."""
        key = self._own[0].encode()
        found = []
        for record in records:
            if record.key != key or record.value is None:
                continue
            document: JsonObject = orjson.loads(record.value)
            if tuple(document.get(name) for name in _OWN) != self._own:
                continue
            if document["type"] == "partition-end":
                self._is_ended = True
            # Where transactions are off, records come twice.
            elif document["type"] == "profile" and document["number"] == self._number + 1:
                self._number += 1
                self._checksum = next_checksum(self._checksum, record.value)
                found.append(ExportRow(self._batches(document), document))
        return found

    def _batches(self, document: JsonObject) -> tuple[str, ...]:
        own = tuple(one["batchId"] for one in document["segments"] if "batchId" in one)
        return own or (self._export.batch_id,)


_OWN = ("jobId", "orgId", "sandboxName", "run")


def _told(error: BaseException) -> str:
    """Say what is wrong, and nothing that may hold a key or a signed address."""
    if isinstance(error, SegmentationError):
        return error.message
    text = getattr(error, "strerror", None) if isinstance(error, OSError) else None
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
