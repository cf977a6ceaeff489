"""A part of the measurements of the control plane: an empty Redis, names, stores, processes."""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

import httpx
from redis.asyncio import Redis

from app.adapters.kafka.topics import TopicPlan, ensure_topics
from app.adapters.local.ports import free_ports
from app.adapters.local.process import ChildProcess
from app.adapters.redis.connection import connect
from app.adapters.redis.definition_store import RedisDefinitionStore
from app.adapters.redis.job_store import RedisJobStore
from app.domain.definitions import DefinitionWrite
from app.domain.model import Tenant
from app.service.jobs import Jobs
from tests.bench.stage import PARTITIONS, SANDBOX, Servers, stored_definition, wall_ms
from tests.services import Names


@dataclass
class Bench:
    """Names, stores and processes of one part."""

    servers: Servers
    names: Names
    redis: Redis

    @property
    def tenant(self) -> Tenant:
        return Tenant(self.names.org_id, SANDBOX)

    @property
    def definitions(self) -> RedisDefinitionStore:
        return RedisDefinitionStore(self.redis, self.names.redis_key_prefix)

    @property
    def jobs(self) -> Jobs:
        store = RedisJobStore(self.redis, self.names.redis_key_prefix)
        return Jobs(store, self.definitions, lambda: str(uuid.uuid4()), wall_ms)

    async def define(self, texts: list[tuple[str, str]]) -> None:
        store = self.definitions
        for ordinal, (segment_id, text) in enumerate(texts):
            write = DefinitionWrite(stored_definition(segment_id, ordinal, text), {})
            if not await store.put(self.tenant, await store.head(self.tenant), write):
                raise RuntimeError(f"{segment_id} was not stored")

    def start(self, command: str, settings: Mapping[str, str]) -> tuple[ChildProcess, int]:
        """Start a worker or an API and wait until it is ready."""
        (port,) = free_ports(1)
        own = {name: value for name, value in os.environ.items() if not name.startswith("SEG_")}
        environment = {
            **own,
            **self.names.environment(self.servers.kafka, self.servers.redis),
            "SEG_PARTITIONS": str(PARTITIONS),
            "SEG_DEFAULT_ORG_ID": self.names.org_id,
            f"SEG_{command.upper()}_PORT": str(port),
            "SEG_LOG_LEVEL": "warning",
            **settings,
        }
        process = ChildProcess(command, self.servers.folder / f"{command}-{port}.log")
        process.start([sys.executable, "-m", "app", command], environment)

        def is_ready() -> bool:
            try:
                return httpx.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 200
            except httpx.HTTPError:
                return False

        if not process.wait_until(is_ready, 120):
            raise RuntimeError(process.how_it_ended())
        return process, port


async def prepared(servers: Servers) -> Bench:
    """Return a part of its own, in an empty Redis."""
    redis = connect(servers.redis.url)
    await redis.flushall()
    bench = Bench(servers, Names(), redis)
    plan = TopicPlan(bench.names.topic_prefix, PARTITIONS, 1)
    await ensure_topics({"bootstrap_servers": servers.kafka.bootstrap}, plan)
    return bench
