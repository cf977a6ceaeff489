"""Parts of the control plane that are made of settings alone."""

from __future__ import annotations

from pathlib import Path

from app.adapters.http.auth import Authenticator, CredentialsFile, JwtVerifier, TokenSource
from app.adapters.imports.connections import read_connections
from app.adapters.imports.sources import FileSources
from app.adapters.kafka.update_check import WorkerCheck
from app.adapters.kafka.update_producer import UpdateCounters, UpdateProducer, UpdateTarget
from app.adapters.schemas.registry import SchemaRegistry
from app.adapters.schemas.sources import FileSource, UrlSource
from app.bootstrap.kafka import kafka_options
from app.config import Settings
from app.domain.limits import DAY_MS
from app.pql.limits import ExpressionLimits
from app.service.expressions import ExpressionRules, NoSchemas


def schema_registry(settings: Settings) -> SchemaRegistry | None:
    """Return the schemas of profiles and events; None where none are configured."""
    if settings.schemas_url:
        source = UrlSource(settings.schemas_url, settings.schemas_token)
        return SchemaRegistry(source, settings.schemas_refresh_s)
    if settings.schemas_file:
        return SchemaRegistry(FileSource(Path(settings.schemas_file)), settings.schemas_refresh_s)
    return None


def expression_rules(settings: Settings, schemas: SchemaRegistry | None) -> ExpressionRules:
    """Return what new expressions are held to."""
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


def import_sources(settings: Settings) -> FileSources:
    """Return where the files of external audiences come from; raises `ConfigurationError`."""
    connections = {}
    if settings.import_connections_file:
        connections = read_connections(Path(settings.import_connections_file))
    root = settings.import_root
    return FileSources(Path(root) if root else None, connections)


def update_producer(settings: Settings, counters: UpdateCounters) -> UpdateProducer:
    """Return what sends updates that came over HTTP."""
    target = UpdateTarget(
        options=kafka_options(settings),
        topic=f"{settings.topic_prefix}profile-updates",
        partitions=settings.partitions,
    )
    return UpdateProducer(target, counters)


def update_check(settings: Settings) -> WorkerCheck:
    """Return what tells whether a worker would take an update."""
    topic = f"{settings.topic_prefix}profile-updates"
    return WorkerCheck(topic, settings.partitions, settings.max_record_bytes)


def authenticator(settings: Settings) -> Authenticator:
    """Return who may call; raises `ConfigurationError`."""
    sources: list[TokenSource] = []
    if settings.credentials_file:
        sources.append(CredentialsFile(Path(settings.credentials_file)))
    if settings.jwt_key:
        sources.append(JwtVerifier(settings.jwt_key, settings.jwt_algorithm, settings.jwt_audience))
    return Authenticator(sources)
