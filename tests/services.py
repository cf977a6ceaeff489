"""Real services for the tests: one Kafka and one Redis per session, and names nobody else uses."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from pathlib import Path

from app.adapters.local.kafka import LocalKafka
from app.adapters.local.redis import LocalRedis

__all__ = ["LocalKafka", "LocalRedis", "Names", "start_kafka", "start_redis"]


def start_kafka(folder: Path) -> LocalKafka:
    """Start a Kafka; a missing JVM or Maven raises ConfigurationError and fails the test."""
    kafka = LocalKafka(folder)
    kafka.start()
    return kafka


def start_redis(folder: Path) -> LocalRedis:
    """Start a Redis with an append-only file."""
    redis = LocalRedis(folder)
    redis.start()
    return redis


@dataclass(frozen=True)
class Names:
    """Prefixes of one test, so that tests share servers but no topic, key or group."""

    id: str = field(default_factory=lambda: "t" + uuid.uuid4().hex[:10])

    @property
    def topic_prefix(self) -> str:
        return f"{self.id}."

    @property
    def redis_key_prefix(self) -> str:
        return self.id

    @property
    def application_id(self) -> str:
        return self.id

    @property
    def org_id(self) -> str:
        return f"{self.id}@AdobeOrg"

    def environment(self, kafka: LocalKafka, redis: LocalRedis) -> dict[str, str]:
        """Return the settings that make a process of ours use these names on these servers."""
        return {
            "SEG_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap,
            "SEG_REDIS_URL": redis.url,
            "SEG_TOPIC_PREFIX": self.topic_prefix,
            "SEG_REDIS_KEY_PREFIX": self.redis_key_prefix,
            "SEG_APPLICATION_ID": self.application_id,
        }
