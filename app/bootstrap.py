"""The composition root: turns settings into plain values and wires the adapters with them.

Each builder imports what it needs when it is called: a command pays only for its own part.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from app.config import Settings, child_environment, is_set

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from app.adapters.cli.clients import KafkaAccess
    from app.adapters.cli.control.connection import ApiAccess
    from app.adapters.http.auth import Authenticator
    from app.adapters.imports.sources import FileSources
    from app.adapters.kafka.recover import RecoverReport
    from app.adapters.kafka.topics import TopicPlan
    from app.adapters.kafka.update_check import WorkerCheck
    from app.adapters.kafka.update_producer import UpdateCounters, UpdateProducer
    from app.adapters.kafka.worker import WorkerOptions
    from app.adapters.schemas.registry import SchemaRegistry
    from app.service.expressions import ExpressionRules


def kafka_options(settings: Settings) -> dict[str, Any]:
    """Return the arguments that every aiokafka client of this service is made with.

    The addresses, and what secures the connection; the same for consumers, producers and admin
    clients.
    """
    options: dict[str, Any] = {"bootstrap_servers": settings.kafka_bootstrap_servers.split(",")}
    protocol = settings.kafka_security_protocol
    if protocol == "PLAINTEXT":
        return options
    options["security_protocol"] = protocol
    if protocol.endswith("SSL"):
        from aiokafka.helpers import create_ssl_context

        options["ssl_context"] = create_ssl_context(
            cafile=settings.kafka_ssl_ca_file or None,
            certfile=settings.kafka_ssl_cert_file or None,
            keyfile=settings.kafka_ssl_key_file or None,
        )
    if protocol.startswith("SASL_"):
        options["sasl_mechanism"] = settings.kafka_sasl_mechanism
        options["sasl_plain_username"] = settings.kafka_sasl_username
        options["sasl_plain_password"] = settings.kafka_sasl_password
    return options


def kafka_access(settings: Settings) -> KafkaAccess:
    """Return what the commands that read and write topics need."""
    from app.adapters.cli.clients import KafkaAccess

    return KafkaAccess(
        options=kafka_options(settings),
        topic_prefix=settings.topic_prefix,
        org_id=settings.default_org_id,
        sandbox_name=settings.default_sandbox_name,
        max_record_bytes=settings.max_record_bytes,
        application_id=settings.application_id,
    )


def api_access(settings: Settings) -> ApiAccess:
    """Return what the commands of the control plane call, unless options say otherwise."""
    from app.adapters.cli.control.connection import ApiAccess

    return ApiAccess(
        url=settings.client_url,
        token=settings.client_token,
        api_key=settings.client_api_key,
        org_id=settings.client_org_id,
        sandbox_name=settings.client_sandbox_name,
        ready_file=Path(settings.client_ready_file) if settings.client_ready_file else None,
    )


def topic_plan(settings: Settings) -> TopicPlan:
    """Return which topics there must be."""
    from app.adapters.kafka.topics import TopicPlan

    return TopicPlan(settings.topic_prefix, settings.partitions, settings.topic_replication)


def build_api(settings: Settings) -> ASGIApp:
    """Return the control plane as an ASGI application; its lifespan runs what is beside it.

    Raises:
        ConfigurationError: Nobody could call it, or the credentials cannot be read.
    """
    import secrets
    import uuid
    from functools import partial
    from importlib.metadata import version

    from app.adapters.datasets.locations import names_for, parse_locations
    from app.adapters.http.application import Parts, create_application
    from app.adapters.http.background import api_background, redis_check
    from app.adapters.http.definitions import now_ms
    from app.adapters.http.explanations import Threads
    from app.adapters.http.metrics import HttpMetrics
    from app.adapters.http.schedule_loop import LoggedFirings, ScheduleLoop
    from app.adapters.imports.wiring import ExternalWiring, external_parts
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
    from app.domain.limits import DAY_MS
    from app.domain.previews import PreviewLimits
    from app.service.audience_metrics import AudienceMetrics
    from app.service.definitions import Definitions
    from app.service.explanations import ExplanationParts, Explanations
    from app.service.exports import Exports
    from app.service.firing import Firing, FiringParts
    from app.service.jobs import Jobs
    from app.service.previews import Previews
    from app.service.profile_updates import ProfileUpdates
    from app.service.profiles import Profiles
    from app.service.scheduled_jobs import ScheduledJobs
    from app.service.schedules import Schedules
    from app.service.search import Search

    prefix = settings.redis_key_prefix
    redis = connect_control(settings.redis_url)
    store = RedisDefinitionStore(redis, prefix)
    keeper = SearchKeeper([RedisSearchSource(redis, prefix)])
    metrics = HttpMetrics()
    relay = Relay(
        RedisDefinitionOutbox(redis, prefix),
        RedisRelayLease(redis, prefix),
        RelayTarget(
            options=kafka_options(settings),
            topic=f"{settings.topic_prefix}definitions",
            partitions=settings.partitions,
            transactional_id=f"{settings.application_id}-definitions",
        ),
        metrics,
        store.changed,
    )
    reader = RedisProfileReader(redis, prefix, settings.partitions)
    profiles = Profiles(reader, store, settings.retention_days * DAY_MS)
    producer = _update_producer(settings, metrics)
    jobs = Jobs(
        RedisJobStore(redis, prefix, partitions=settings.partitions),
        store,
        lambda: str(uuid.uuid4()),
        now_ms,
        settings.job_history_days * DAY_MS,
    )
    exports = Exports(
        RedisJobStore(redis, prefix, "export", partitions=settings.partitions),
        store,
        jobs,
        partial(names_for, parse_locations(settings.datasets)),
        lambda: str(uuid.uuid4()),
        now_ms,
        settings.job_history_days * DAY_MS,
    )
    scheduled = ScheduledJobs(store, jobs, exports)
    schedule_store = RedisScheduleStore(redis, prefix)
    schedule_loop = ScheduleLoop(
        Firing(FiringParts(schedule_store, scheduled, LoggedFirings(metrics), secrets.token_hex)),
        now_ms,
    )
    schemas = _schema_registry(settings)
    rules = _expression_rules(settings, schemas)
    definitions = Definitions(store, lambda: str(uuid.uuid4()), rules)
    check = _update_check(settings)
    external_store = RedisExternalStore(
        redis, prefix, settings.partitions, f"{settings.topic_prefix}profile-updates"
    )
    sources = _import_sources(settings)
    external, importer = external_parts(
        ExternalWiring(
            store=external_store,
            definitions=definitions,
            sources=sources,
            check=check,
            log=producer,
        )
    )
    job_relay = Relay(
        RedisJobOutbox(redis, prefix),
        RedisRelayLease(redis, prefix, is_of_jobs=True),
        RelayTarget(
            options=kafka_options(settings),
            topic=f"{settings.topic_prefix}job-events",
            partitions=settings.partitions,
            transactional_id=f"{settings.application_id}-jobs",
        ),
        metrics.job_relay,
        RedisJobSource(redis, prefix).changed,
        name="job",
    )
    parts = Parts(
        authenticator=_authenticator(settings),
        definitions=definitions,
        external=external,
        audience_metrics=AudienceMetrics(RedisMetricStore(redis, prefix), definitions),
        jobs=jobs,
        schedules=Schedules(
            schedule_store,
            store,
            scheduled,
            lambda: str(uuid.uuid4()),
            settings.schedule_runs_per_day,
        ),
        exports=exports,
        previews=Previews(
            RedisPreviewStore(redis, prefix),
            store,
            lambda: str(uuid.uuid4()),
            now_ms,
            rules,
            PreviewLimits(settings.preview_ttl_minutes * 60_000, settings.preview_max_running),
        ),
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
        metrics=metrics,
        checks={
            "redis": redis_check(redis),
            "relay": relay.problem,
            "job-relay": job_relay.problem,
            "search": keeper.problem,
            "schedules": schedule_loop.problem,
            "imports": importer.problem,
        },
        background=api_background(
            redis,
            [
                *([] if schemas is None else [schemas]),
                *(relay, job_relay, keeper, producer, sources, importer, schedule_loop),
            ],
        ),
    )
    return create_application(parts, version("segmentation-service"))


def _schema_registry(settings: Settings) -> SchemaRegistry | None:
    from app.adapters.schemas.registry import SchemaRegistry
    from app.adapters.schemas.sources import FileSource, UrlSource

    if settings.schemas_url:
        source = UrlSource(settings.schemas_url, settings.schemas_token)
        return SchemaRegistry(source, settings.schemas_refresh_s)
    if settings.schemas_file:
        return SchemaRegistry(FileSource(Path(settings.schemas_file)), settings.schemas_refresh_s)
    return None


def _expression_rules(settings: Settings, schemas: SchemaRegistry | None) -> ExpressionRules:
    from app.domain.limits import DAY_MS
    from app.pql.limits import ExpressionLimits
    from app.service.expressions import ExpressionRules, NoSchemas

    limits = ExpressionLimits(
        characters=settings.expression_max_characters,
        depth=settings.expression_max_depth,
        nodes=settings.expression_max_nodes,
        steps=settings.expression_max_steps,
        list_items=settings.expression_max_list_items,
        state_bytes=settings.expression_max_state_bytes,
        event_loops=settings.expression_max_event_loops,
    )
    return ExpressionRules(settings.retention_days * DAY_MS, limits, schemas or NoSchemas())


def _import_sources(settings: Settings) -> FileSources:
    from app.adapters.imports.connections import read_connections
    from app.adapters.imports.sources import FileSources

    connections = {}
    if settings.import_connections_file:
        connections = read_connections(Path(settings.import_connections_file))
    root = settings.import_root
    return FileSources(Path(root) if root else None, connections)


def _update_producer(settings: Settings, counters: UpdateCounters) -> UpdateProducer:
    from app.adapters.kafka.update_producer import UpdateProducer, UpdateTarget

    target = UpdateTarget(
        options=kafka_options(settings),
        topic=f"{settings.topic_prefix}profile-updates",
        partitions=settings.partitions,
    )
    return UpdateProducer(target, counters)


def _update_check(settings: Settings) -> WorkerCheck:
    from app.adapters.kafka.update_check import WorkerCheck

    topic = f"{settings.topic_prefix}profile-updates"
    return WorkerCheck(topic, settings.partitions, settings.max_record_bytes)


def _authenticator(settings: Settings) -> Authenticator:
    from app.adapters.http.auth import Authenticator, CredentialsFile, JwtVerifier, TokenSource

    sources: list[TokenSource] = []
    if settings.credentials_file:
        sources.append(CredentialsFile(Path(settings.credentials_file)))
    if settings.jwt_key:
        sources.append(JwtVerifier(settings.jwt_key, settings.jwt_algorithm, settings.jwt_audience))
    return Authenticator(sources)


def run_api(settings: Settings) -> None:
    """Serve the control plane until SIGINT or SIGTERM."""
    import uvicorn

    from app.adapters.collector import collect_rarely

    collect_rarely()
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
        import asyncio

        import uvloop

        # Faust's consumer thread makes its loop by the policy.
        asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
        status = asyncio.run(self._work())
        if status:
            raise SystemExit(status)

    async def _work(self) -> int:
        from app.adapters.datasets.locations import parse_locations
        from app.adapters.datasets.store import FileDatasets
        from app.adapters.kafka.worker import Worker
        from app.adapters.redis.connection import connect
        from app.adapters.redis.control_client import connect_control
        from app.adapters.redis.definition_source import RedisDefinitionSource
        from app.adapters.redis.job_source import RedisJobSource
        from app.adapters.redis.preview_source import RedisPreviewSource

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
    from app.adapters.kafka.codecs import InputRules
    from app.adapters.kafka.preview_agent import PreviewOptions
    from app.adapters.kafka.records import TopicNames
    from app.adapters.kafka.stream import StreamLimits
    from app.adapters.kafka.worker import WorkerOptions
    from app.config import EXACTLY_ONCE
    from app.domain.limits import DAY_MS, EngineLimits

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


async def recover_partitions(settings: Settings, *, from_beginning: bool) -> RecoverReport:
    """Put back what Kafka knows, see `app.adapters.kafka.recover`.

    Raises:
        ConfigurationError, Unavailable: As `recover` does.
    """
    from app.adapters.kafka.positions import KafkaPositions
    from app.adapters.kafka.publisher import transactional_publisher
    from app.adapters.kafka.records import TopicNames
    from app.adapters.kafka.recover import RecoverParts, recover
    from app.adapters.redis.connection import connect
    from app.adapters.redis.control_client import connect_control
    from app.adapters.redis.definition_store import RedisDefinitionStore
    from app.adapters.redis.partition_store import RedisPartitionStore

    client, application_id = kafka_options(settings), settings.application_id
    redis, control = connect(settings.redis_url), connect_control(settings.redis_url)
    positions = KafkaPositions(client, application_id)
    prefix = settings.redis_key_prefix
    try:
        return await recover(
            RecoverParts(
                positions,
                RedisPartitionStore(redis, prefix),
                RedisDefinitionStore(control, prefix),
                TopicNames.of(settings.topic_prefix),
                f"{settings.topic_prefix}definitions",
                settings.partitions,
                lambda at: transactional_publisher(client, application_id, at),
            ),
            from_beginning=from_beginning,
        )
    finally:
        await positions.stop()
        await redis.aclose()
        await control.aclose()


def run_local(
    settings: Settings,
    *,
    workers: int,
    partitions: int | None,
    data_dir: Path | None,
    ready_file: Path | None,
    kafka: str | None,
    redis: str | None,
    api_port: int,
) -> int:
    """Run the local stack; what is None comes from the settings, else from this machine."""
    from app.adapters.local import stack

    if kafka is None and is_set("kafka_bootstrap_servers"):
        kafka = settings.kafka_bootstrap_servers
    if redis is None and is_set("redis_url"):
        redis = settings.redis_url
    settings = replace(settings, partitions=partitions or settings.partitions)
    return stack.run(
        stack.LocalOptions(
            workers=workers,
            partitions=settings.partitions,
            data_dir=data_dir or Path(".data/local"),
            ready_file=ready_file,
            kafka=kafka,
            redis=redis,
            api_port=api_port,
            org_id=settings.default_org_id,
            sandbox_name=settings.default_sandbox_name,
            topic_prefix=settings.topic_prefix,
            environment=child_environment(settings),
            create_topics=lambda servers: _create_topics(
                settings, servers, own_kafka=kafka is None
            ),
        )
    )


def _create_topics(settings: Settings, servers: str, *, own_kafka: bool) -> None:
    """Create the topics of the local stack, and refuse those that differ.

    Raises:
        ConfigurationError: If topics are there that differ from the plan.
    """
    import asyncio

    from app.adapters.kafka.topics import ensure_topics
    from app.domain.errors import ConfigurationError

    # Our own Kafka needs none of what secures the connection to another one.
    options = {"bootstrap_servers": servers}
    if not own_kafka:
        options = kafka_options(replace(settings, kafka_bootstrap_servers=servers))
    report = asyncio.run(ensure_topics(options, topic_plan(settings)))
    if not report.is_as_planned:
        raise ConfigurationError("\n".join(report.lines()))
