"""The control plane, wired."""

from __future__ import annotations

import secrets
import uuid
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version

import uvicorn
from redis.asyncio import Redis
from starlette.types import ASGIApp

from app.adapters.collector import collect_rarely
from app.adapters.datasets.locations import names_for, parse_locations
from app.adapters.http.application import Parts, create_application
from app.adapters.http.background import api_background, redis_check
from app.adapters.http.definitions import now_ms
from app.adapters.http.explanations import Threads
from app.adapters.http.metrics import HttpMetrics
from app.adapters.http.schedule_loop import LoggedFirings, ScheduleLoop
from app.adapters.imports.wiring import ExternalWiring, external_parts
from app.adapters.kafka.library import tell_broken_connections
from app.adapters.kafka.relay import Relay, RelayTarget
from app.adapters.redis.control_client import connect_control
from app.adapters.redis.definition_outbox import (
    RedisDefinitionOutbox,
    RedisJobOutbox,
    RedisRelayLease,
)
from app.adapters.redis.definition_store import RedisDefinitionStore
from app.adapters.redis.external_store import RedisExternalStore
from app.adapters.redis.job_source import RedisJobSource
from app.adapters.redis.job_store import RedisJobStore
from app.adapters.redis.metric_store import RedisMetricStore
from app.adapters.redis.preview_store import RedisPreviewStore
from app.adapters.redis.profile_reader import RedisProfileReader
from app.adapters.redis.schedule_store import RedisScheduleStore
from app.adapters.redis.search_source import RedisSearchSource
from app.adapters.search.keeper import SearchKeeper
from app.bootstrap.control_parts import (
    authenticator,
    expression_rules,
    import_sources,
    schema_registry,
    update_check,
    update_producer,
)
from app.bootstrap.kafka import kafka_options
from app.config import Settings
from app.domain.limits import DAY_MS
from app.domain.previews import PreviewLimits
from app.service.audience_metrics import AudienceMetrics
from app.service.definitions import Definitions
from app.service.explanations import ExplanationParts, Explanations
from app.service.exports import Exports
from app.service.expressions import ExpressionRules
from app.service.firing import Firing, FiringParts
from app.service.jobs import Jobs
from app.service.previews import Previews
from app.service.profile_updates import ProfileUpdates
from app.service.profiles import Profiles
from app.service.scheduled_jobs import ScheduledJobs
from app.service.schedules import Schedules
from app.service.search import Search


def run_api(settings: Settings) -> None:
    """Serve the control plane until SIGINT or SIGTERM."""
    collect_rarely()
    tell_broken_connections()
    uvicorn.run(
        build_api(settings),
        host=settings.api_host,
        port=settings.api_port,
        loop="uvloop",
        http="h11",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=10,
    )


@dataclass(frozen=True, slots=True)
class _Core:
    """What most parts are made with."""

    settings: Settings
    redis: Redis
    store: RedisDefinitionStore
    metrics: HttpMetrics

    @property
    def prefix(self) -> str:
        return self.settings.redis_key_prefix


@dataclass(frozen=True, slots=True)
class _Runs:
    """What goes through all profiles, at once or at a time."""

    jobs: Jobs
    exports: Exports
    schedules: Schedules
    loop: ScheduleLoop


def build_api(settings: Settings) -> ASGIApp:
    """Return the control plane as an ASGI application; its lifespan runs what is beside it.

    Raises:
        ConfigurationError: Nobody could call it, or the credentials cannot be read.
    """
    redis = connect_control(settings.redis_url)
    store = RedisDefinitionStore(redis, settings.redis_key_prefix)
    core = _Core(settings, redis, store, HttpMetrics())
    schemas = schema_registry(settings)
    rules = expression_rules(settings, schemas)
    definitions = Definitions(store, _new_id, rules)
    runs = _runs(core)
    relay, job_relay = _definition_relay(core), _job_relay(core)
    keeper = SearchKeeper([RedisSearchSource(redis, core.prefix)])
    reader = RedisProfileReader(redis, core.prefix, settings.partitions)
    profiles = Profiles(reader, store, settings.retention_days * DAY_MS)
    producer, check = update_producer(settings, core.metrics), update_check(settings)
    sources, external_store = import_sources(settings), _external_store(core)
    external, importer = external_parts(
        ExternalWiring(
            store=external_store,
            definitions=definitions,
            sources=sources,
            check=check,
            log=producer,
        )
    )
    beside = (relay, job_relay, keeper, producer, sources, importer, runs.loop)
    parts = Parts(
        authenticator=authenticator(settings),
        definitions=definitions,
        external=external,
        audience_metrics=AudienceMetrics(RedisMetricStore(redis, core.prefix), definitions),
        jobs=runs.jobs,
        schedules=runs.schedules,
        exports=runs.exports,
        previews=_previews(core, rules),
        profiles=profiles,
        explanations=Explanations(
            ExplanationParts(
                profiles=reader, segment_ids=store, definitions=definitions, runs=external_store
            ),
            settings.retention_days * DAY_MS,
            now_ms,
            Threads().run,
        ),
        updates=ProfileUpdates(profiles, check, producer),
        search=Search(keeper),
        metrics=core.metrics,
        checks={
            "redis": redis_check(redis),
            "relay": relay.problem,
            "job-relay": job_relay.problem,
            "search": keeper.problem,
            "schedules": runs.loop.problem,
            "imports": importer.problem,
        },
        background=api_background(redis, [*([] if schemas is None else [schemas]), *beside]),
    )
    return create_application(parts, version("segmentation-service"))


def _runs(core: _Core) -> _Runs:
    settings, redis, store = core.settings, core.redis, core.store
    kept_ms, partitions = settings.job_history_days * DAY_MS, settings.partitions
    job_store = RedisJobStore(redis, core.prefix, partitions=partitions)
    jobs = Jobs(job_store, store, _new_id, now_ms, kept_ms)
    exports = Exports(
        RedisJobStore(redis, core.prefix, "export", partitions=partitions),
        store,
        jobs,
        partial(names_for, parse_locations(settings.datasets)),
        _new_id,
        now_ms,
        kept_ms,
    )
    scheduled = ScheduledJobs(store, jobs, exports)
    schedules = RedisScheduleStore(redis, core.prefix)
    firing = FiringParts(schedules, scheduled, LoggedFirings(core.metrics), secrets.token_hex)
    return _Runs(
        jobs,
        exports,
        Schedules(schedules, store, scheduled, _new_id, settings.schedule_runs_per_day),
        ScheduleLoop(Firing(firing), now_ms),
    )


def _previews(core: _Core, rules: ExpressionRules) -> Previews:
    settings = core.settings
    limits = PreviewLimits(settings.preview_ttl_minutes * 60_000, settings.preview_max_running)
    store = RedisPreviewStore(core.redis, core.prefix)
    return Previews(store, core.store, _new_id, now_ms, rules, limits)


def _external_store(core: _Core) -> RedisExternalStore:
    topic = f"{core.settings.topic_prefix}profile-updates"
    return RedisExternalStore(core.redis, core.prefix, core.settings.partitions, topic)


def _definition_relay(core: _Core) -> Relay:
    return Relay(
        RedisDefinitionOutbox(core.redis, core.prefix),
        RedisRelayLease(core.redis, core.prefix),
        _relay_target(core.settings, "definitions", "definitions"),
        core.metrics,
        core.store.changed,
    )


def _job_relay(core: _Core) -> Relay:
    return Relay(
        RedisJobOutbox(core.redis, core.prefix),
        RedisRelayLease(core.redis, core.prefix, is_of_jobs=True),
        _relay_target(core.settings, "job-events", "jobs"),
        core.metrics.job_relay,
        RedisJobSource(core.redis, core.prefix).changed,
        name="job",
    )


def _relay_target(settings: Settings, topic: str, name: str) -> RelayTarget:
    return RelayTarget(
        options=kafka_options(settings),
        topic=f"{settings.topic_prefix}{topic}",
        partitions=settings.partitions,
        transactional_id=f"{settings.application_id}-{name}",
    )


def _new_id() -> str:
    return str(uuid.uuid4())
