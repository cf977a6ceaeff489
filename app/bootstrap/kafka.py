"""How settings reach Kafka."""

from __future__ import annotations

from typing import Any

from aiokafka.helpers import create_ssl_context

from app.adapters.cli.clients import KafkaAccess
from app.adapters.kafka.topics import TopicPlan
from app.config import Settings


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
    return KafkaAccess(
        options=kafka_options(settings),
        topic_prefix=settings.topic_prefix,
        org_id=settings.default_org_id,
        sandbox_name=settings.default_sandbox_name,
        max_record_bytes=settings.max_record_bytes,
        application_id=settings.application_id,
    )


def topic_plan(settings: Settings) -> TopicPlan:
    """Return which topics there must be."""
    return TopicPlan(settings.topic_prefix, settings.partitions, settings.topic_replication)
