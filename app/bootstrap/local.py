"""The local stack, wired."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

from app.adapters.kafka.topics import ensure_topics
from app.adapters.local.stack import LocalOptions, run
from app.bootstrap.kafka import kafka_options, topic_plan
from app.config import Settings, child_environment, is_set
from app.domain.errors import ConfigurationError


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
    if kafka is None and is_set("kafka_bootstrap_servers"):
        kafka = settings.kafka_bootstrap_servers
    if redis is None and is_set("redis_url"):
        redis = settings.redis_url
    settings = replace(settings, partitions=partitions or settings.partitions)
    return run(
        LocalOptions(
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
    # Our own Kafka needs none of what secures the connection to another one.
    options = {"bootstrap_servers": servers}
    if not own_kafka:
        options = kafka_options(replace(settings, kafka_bootstrap_servers=servers))
    report = asyncio.run(ensure_topics(options, topic_plan(settings)))
    if not report.is_as_planned:
        raise ConfigurationError("\n".join(report.lines()))
