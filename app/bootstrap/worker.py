"""The worker, wired."""

from __future__ import annotations

import asyncio

import uvloop

from app.adapters.datasets.locations import parse_locations
from app.adapters.datasets.store import FileDatasets
from app.adapters.kafka.batches import StreamLimits
from app.adapters.kafka.codecs import InputRules
from app.adapters.kafka.library import tell_broken_connections
from app.adapters.kafka.preview_agent import PreviewOptions
from app.adapters.kafka.records import TopicNames
from app.adapters.kafka.worker import Worker
from app.adapters.kafka.worker_options import WorkerOptions
from app.adapters.redis.connection import connect
from app.adapters.redis.control_client import connect_control
from app.adapters.redis.definition_source import RedisDefinitionSource
from app.adapters.redis.job_source import RedisJobSource
from app.adapters.redis.preview_source import RedisPreviewSource
from app.bootstrap.kafka import kafka_options
from app.config import EXACTLY_ONCE, Settings
from app.domain.limits import DAY_MS, EngineLimits


class WorkerProcess:
    """A worker with the process around it: event loop, exit status."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def run(self) -> None:
        """Work until SIGINT or SIGTERM.

        Raises:
            ConfigurationError: The worker cannot work with these settings and services.
            Unavailable: Redis or Kafka did not answer within a minute of the start.
            SystemExit: With status 1 where the watchdog ended the worker.
        """
        # Faust's consumer thread makes its loop by the policy.
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
        tell_broken_connections()
        status = asyncio.run(self._work())
        if status:
            raise SystemExit(status)

    async def _work(self) -> int:
        settings = self._settings
        redis, control = connect(settings.redis_url), connect_control(settings.redis_url)
        source = RedisDefinitionSource(control, settings.redis_key_prefix)
        try:
            prefix, options = settings.redis_key_prefix, worker_options(settings)
            worker = Worker(
                options,
                redis,
                source,
                jobs=RedisJobSource(control, prefix),
                datasets=FileDatasets(parse_locations(settings.datasets)),
                previews=RedisPreviewSource(control, prefix, settings.partitions),
            )
            return await worker.run()
        finally:
            await redis.aclose()
            await control.aclose()


def build_worker(settings: Settings) -> WorkerProcess:
    """Return a worker process; its `run` returns when it was told to stop."""
    return WorkerProcess(settings)


def worker_options(settings: Settings) -> WorkerOptions:
    """Return what a worker takes from the settings."""
    return WorkerOptions(
        client=kafka_options(settings),
        application_id=settings.application_id,
        topics=TopicNames.of(settings.topic_prefix),
        rules=InputRules(
            settings.partitions,
            settings.default_org_id,
            settings.default_sandbox_name,
            settings.max_record_bytes,
        ),
        redis_prefix=settings.redis_key_prefix,
        engine=EngineLimits(
            retention_ms=settings.retention_days * DAY_MS,
            retention_events=settings.retention_events,
            dedup_ids=settings.dedup_ids,
            dedup_ms=settings.retention_days * DAY_MS,
            profile_bytes=settings.max_profile_bytes,
            event_bytes=settings.max_record_bytes,
        ),
        stream=StreamLimits(
            settings.batch_max_records,
            settings.batch_max_bytes,
            settings.batch_linger_ms,
            max(settings.batch_max_records // 2, 1),
            settings.scan_max_profiles,
        ),
        previews=PreviewOptions(
            settings.preview_sample_profiles,
            -(-settings.preview_kept_matches // settings.partitions),
        ),
        is_exactly_once=settings.processing_guarantee == EXACTLY_ONCE,
        cache_profiles=settings.cache_profiles,
        session_timeout_ms=settings.session_timeout_ms,
        health_host=settings.worker_host,
        health_port=settings.worker_port,
    )
