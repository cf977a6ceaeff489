"""The worker process: a Faust app whose one agent feeds the stream, and what surrounds it."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import time
from collections.abc import Iterable
from typing import Any, cast

from faust.types import TP
from redis.asyncio import Redis

from app.adapters.collector import collect_rarely
from app.adapters.datasets.store import FileDatasets
from app.adapters.kafka.acquisition import Acquisition
from app.adapters.kafka.assignment import Assignment
from app.adapters.kafka.backfill_reports import BackfillReporter
from app.adapters.kafka.catalogues import CatalogueKeeper
from app.adapters.kafka.codecs import UpdateDecoder
from app.adapters.kafka.export_agent import ExportAgent
from app.adapters.kafka.export_files import ExportFiles
from app.adapters.kafka.faust_app import make_app
from app.adapters.kafka.health import HealthServer
from app.adapters.kafka.job_agent import JobAgent
from app.adapters.kafka.library import (
    Producer,
    ignore_unread_errors,
    shorten_errors,
    shorten_transaction_backoff,
)
from app.adapters.kafka.metrics import WorkerMetrics
from app.adapters.kafka.owner import Owner
from app.adapters.kafka.positions import KafkaPositions
from app.adapters.kafka.preview_agent import Parts, PreviewAgent
from app.adapters.kafka.publisher import IdempotentPublisher, Publisher, transactional_publisher
from app.adapters.kafka.stream import Stream
from app.adapters.kafka.transport import BatchConsumer
from app.adapters.kafka.worker_options import WorkerOptions
from app.adapters.redis.connection import check_server
from app.adapters.redis.job_source import RedisJobSource
from app.adapters.redis.partition_store import RedisPartitionStore
from app.adapters.redis.preview_source import RedisPreviewSource
from app.adapters.redis.profile_scan import RedisProfileScan
from app.domain.errors import SegmentationError, Unavailable
from app.domain.exports import Datasets
from app.domain.jobs import JobSource
from app.domain.ports import DefinitionSource
from app.domain.previews import PreviewSource
from app.service.partition import PartitionEngine

logger = logging.getLogger(__name__)

_START_DEADLINE_S = 60.0
_WATCH_S = 1.0
_SHUT_DOWN_S = 60.0
_ASTRAY_S = 10.0
_SLOW_PUBLISH_S = 5.0
_SILENT_BROKER_MS = 10_000
_LARGEST_REQUEST = 13 * 1_048_576


class Worker:
    """One worker process; `run` returns when it was told to stop.

    Attributes:
        metrics, stream, assignment: For health, and for tests that look inside.
    """

    def __init__(
        self,
        options: WorkerOptions,
        redis: Redis,
        source: DefinitionSource,
        make_engine: Any = PartitionEngine,
        keeper: CatalogueKeeper | None = None,
        jobs: JobSource | None = None,
        datasets: Datasets | None = None,
        previews: PreviewSource | None = None,
    ) -> None:
        self._options = options
        self._redis = redis
        self._make_engine = make_engine
        self._stopping = asyncio.Event()
        self._failure: str | None = None
        self._positions = KafkaPositions(options.client, options.application_id)
        self._started_at = 0.0
        self.metrics = WorkerMetrics()
        self._catalogues = keeper or CatalogueKeeper(source, options.engine, self.metrics)
        self._store = RedisPartitionStore(redis, options.redis_prefix)
        self.stream = Stream(
            self._store,
            UpdateDecoder(options.rules),
            self._catalogues,
            options.stream,
            self.metrics,
        )
        self._acquisition = Acquisition(
            self._store,
            self._positions,
            options.topics,
            options.rules.partitions,
            self._make_publisher,
            self.metrics,
            self._catalogues.refresh,
        )
        self._reporter = BackfillReporter(source, self.stream.owners, options.rules.partitions)
        jobs = jobs or RedisJobSource(redis, options.redis_prefix)
        partitions = options.rules.partitions
        files = ExportFiles(self._positions, datasets or FileDatasets({}), options.topics.exports)
        exports = ExportAgent(jobs, files, partitions)
        self._jobs = JobAgent(jobs, self.stream.owners, partitions, exports)
        self._previews = self._make_previews(previews)
        self.assignment = Assignment(
            self.stream,
            self._acquisition,
            self._new_owner,
            self._seek,
            self.metrics,
            fenced_retry_s=options.session_timeout_ms / 1000 * 0.3,
        )
        self.health = HealthServer(
            options.health_host, options.health_port, self.problems, self.metrics.registry
        )
        self._app = make_app(options, self.stream, self.stream.offer)
        self._app.on_partitions_assigned.connect(cast(Any, self._assigned), weak=False)
        self._app.on_partitions_revoked.connect(cast(Any, self._revoked), weak=False)

    async def run(self) -> int:
        """Work until `stop` or a signal.

        Returns:
            The exit status: 0 after a stop, 1 where the watchdog or Faust gave up.

        Raises:
            ConfigurationError: The worker cannot work with these services as they are.
            Unavailable: Redis or Kafka did not answer within a minute of the start.
        """
        shorten_transaction_backoff()
        shorten_errors()
        ignore_unread_errors(asyncio.get_running_loop())
        await self.health.start()
        tasks: list[asyncio.Task[None]] = []
        try:
            await self._wait_for_services()
            self._handle_signals()
            tasks = [
                asyncio.create_task(self._catalogues.run(), name="definitions"),
                asyncio.create_task(self.stream.run(), name="stream"),
                asyncio.create_task(self._watch(), name="watchdog"),
                asyncio.create_task(self._reporter.run(), name="backfill-reports"),
                asyncio.create_task(self._jobs.run(), name="jobs"),
                asyncio.create_task(self._previews.run(), name="previews"),
            ]
            await self._start_app()
            freeze_memory()
            logger.info("worker ready: health on port %d", self.health.port)
            await self._until_stopped(tasks)
        finally:
            await self._end(tasks)
        return 1 if self._failure else 0

    def stop(self) -> None:
        """Ask `run` to finish the batch in flight and return."""
        self._stopping.set()

    def problems(self) -> list[str]:
        """Return why the worker is not ready; empty when it is."""
        found = [f"partition {p}: {text}" for p, text in self.assignment.refused.items()]
        if self.stream.unavailable:
            found.append(self.stream.unavailable)
        if not self._catalogues.is_loaded:
            found.append("the definitions are not loaded yet")
        owners = list(self.stream.owners.values())
        found += [f"partition {o.partition} is being taken over" for o in owners if not o.is_ready]
        if not self._started_at or (not owners and not self._app.unassigned):
            found.append("no partition is assigned yet")
        return found + self._kafka_problems(owners)

    def _kafka_problems(self, owners: list[Owner]) -> list[str]:
        answered = max((owner.position.answered_ms for owner in owners), default=0)
        silent = time.time_ns() // 1_000_000 - answered if answered else 0
        found = []
        if silent > _SILENT_BROKER_MS:
            found.append(f"Kafka has not answered a fetch for {silent // 1000} s")
        found += [
            f"partition {owner.partition} waits for Kafka"
            for owner in owners
            if owner.publishing is not None
            and not owner.publishing.done()
            and time.monotonic() - owner.progress_at > _SLOW_PUBLISH_S
        ]
        return found

    # --- parts ---

    def _make_previews(self, source: PreviewSource | None) -> PreviewAgent:
        options, redis = self._options, self._redis
        prefix = options.redis_prefix
        return PreviewAgent(
            Parts(
                source or RedisPreviewSource(redis, prefix, options.rules.partitions),
                RedisProfileScan(redis, prefix),
                self.stream.owners,
                self.metrics,
                options.engine,
            ),
            options.previews,
        )

    def _new_owner(self, partition: int, lease: int) -> Owner:
        options = self._options
        engine = self._make_engine(options.engine, options.cache_profiles)
        return Owner(partition, lease, options.topics, engine)

    def _make_publisher(self, partition: int) -> Publisher:
        options = self._options
        settings: dict[str, Any] = {
            **options.client,
            "max_batch_size": 131_072,
            "max_request_size": _LARGEST_REQUEST,
        }
        if options.is_exactly_once:
            return transactional_publisher(settings, options.application_id, partition)
        return IdempotentPublisher(
            lambda: Producer(**settings, enable_idempotence=True),
            self._consumer.thread.commit_with_metadata,
        )

    @property
    def _consumer(self) -> BatchConsumer:
        return cast(BatchConsumer, self._app.consumer)

    async def _seek(self, offset: int, partition: int, lease: int) -> None:
        await self._consumer.seek_to(offset, partition, lease)

    async def _assigned(self, app: Any, *arguments: Any, **options: Any) -> None:
        self.assignment.assigned(self._input_partitions(arguments[0]))

    async def _revoked(self, app: Any, *arguments: Any, **options: Any) -> None:
        await self.assignment.revoked(self._input_partitions(arguments[0]))

    def _input_partitions(self, partitions: Iterable[TP]) -> list[int]:
        return sorted(tp.partition for tp in partitions if tp.topic == self._options.topics.updates)

    # --- life ---

    async def _wait_for_services(self) -> None:
        """Retry for a minute: services are often started at the same time."""
        deadline = time.monotonic() + _START_DEADLINE_S
        while True:
            try:
                for warning in await check_server(self._redis):
                    logger.warning("%s", warning)
                await self._acquisition.check_topics()
            except Unavailable as error:
                if time.monotonic() > deadline or self._stopping.is_set():
                    raise
                logger.warning("waiting: %s", error)
                await asyncio.sleep(0.5)
            else:
                return

    async def _start_app(self) -> None:
        await self._app.start()
        self._started_at = time.monotonic()

    def _handle_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            try:
                loop.add_signal_handler(number, self.stop)
            except (ValueError, RuntimeError):
                # Not the main thread: whoever runs us there calls `stop`.
                return

    async def _until_stopped(self, tasks: list[asyncio.Task[None]]) -> None:
        stopping = asyncio.create_task(self._stopping.wait())
        crashed = asyncio.create_task(self._app.wait_until_stopped())
        watched: list[asyncio.Future[Any]] = [stopping, crashed, *tasks]
        await asyncio.wait(watched, return_when=asyncio.FIRST_COMPLETED)
        if not self._stopping.is_set():
            reasons = [repr(task.exception()) for task in tasks if task.done()]
            self._failure = ", ".join(reasons) or f"Faust stopped: {self._app.crash_reason!r}"
            logger.critical("the worker ends: %s", self._failure)
        for task in (stopping, crashed):
            task.cancel()

    async def _end(self, tasks: list[asyncio.Task[None]]) -> None:
        """Shut down in bounded time: a worker that hangs is not started anew by anybody."""
        ending = asyncio.create_task(self._shut_down(tasks), name="shut-down")
        # Not `wait_for`, which waits on for a task that does not heed its cancellation.
        await asyncio.wait([ending], timeout=_SHUT_DOWN_S)
        if not ending.done():
            logger.critical("the worker ends: shutting down took more than %d s", _SHUT_DOWN_S)
            # An orderly exit would wait for the very tasks and threads that hang.
            os._exit(1)
        await ending

    async def _shut_down(self, tasks: list[asyncio.Task[None]]) -> None:
        await self.assignment.close()
        await self.stream.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._started_at:
            await self._app.stop()
        await self._positions.stop()
        await self.health.stop()

    async def _watch(self) -> None:
        """End the process where records wait but nothing moves, though all services answer."""
        while True:
            await asyncio.sleep(_WATCH_S)
            now = time.monotonic()
            for owner in list(self.stream.owners.values()):
                self.metrics.lag.labels(str(owner.partition)).set(owner.lag)
                if owner.lag == 0 or not owner.is_ready or self.stream.unavailable:
                    owner.progress_at = now
                elif now - owner.progress_at > _ASTRAY_S and self.stream.is_astray(owner):
                    self.assignment.lose(owner, Unavailable("a batch was lost on the way"))
                elif now - owner.progress_at > self._options.stuck_s:
                    raise SegmentationError(
                        f"partition {owner.partition} has {owner.lag} records waiting and made no"
                        f" progress for {self._options.stuck_s:.0f} s"
                    )


def freeze_memory() -> None:
    """Keep the collector off what lives as long as the process, and make it run rarely."""
    gc.collect()
    gc.freeze()
    collect_rarely()
