"""What a worker is made with."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from app.adapters.kafka.batches import StreamLimits
from app.adapters.kafka.codecs import InputRules
from app.adapters.kafka.preview_agent import PreviewOptions
from app.adapters.kafka.records import TopicNames
from app.domain.limits import EngineLimits

_STUCK_S = 60.0


@dataclass(frozen=True, slots=True)
class WorkerOptions:
    """What a worker is made with.

    Attributes:
        client: Arguments of every aiokafka client: servers, security.
        is_exactly_once: False skips the transactions.
        stuck_s: With lag but without progress for so long the process ends.
    """

    client: dict[str, Any]
    application_id: str
    topics: TopicNames
    rules: InputRules
    redis_prefix: str = "seg"
    engine: EngineLimits = field(default_factory=EngineLimits)
    stream: StreamLimits = field(default_factory=StreamLimits)
    previews: PreviewOptions = field(default_factory=PreviewOptions)
    is_exactly_once: bool = True
    cache_profiles: int = 10_000
    session_timeout_ms: int = 10_000
    health_host: str = "127.0.0.1"
    health_port: int = 0
    stuck_s: float = _STUCK_S
