"""`segmentation recover`, wired."""

from __future__ import annotations

from app.adapters.kafka.positions import KafkaPositions
from app.adapters.kafka.publisher import transactional_publisher
from app.adapters.kafka.records import TopicNames
from app.adapters.kafka.recover import RecoverParts, RecoverReport, recover
from app.adapters.redis.connection import connect
from app.adapters.redis.control_client import connect_control
from app.adapters.redis.definition_store import RedisDefinitionStore
from app.adapters.redis.partition_store import RedisPartitionStore
from app.bootstrap.kafka import kafka_options
from app.config import Settings


async def recover_partitions(settings: Settings, *, from_beginning: bool) -> RecoverReport:
    """Put back what Kafka knows, see `app.adapters.kafka.recover`.

    Raises:
        ConfigurationError, Unavailable: As `recover` does.
    """
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
