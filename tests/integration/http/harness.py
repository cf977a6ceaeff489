"""The control plane in this process on a real Redis, and clients for it."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from redis.asyncio import Redis
from starlette.types import ASGIApp

from app.adapters.http.application import Parts
from app.adapters.http.auth import Authenticator, CredentialsFile
from app.adapters.http.background import redis_check
from app.adapters.http.definitions import now_ms
from app.adapters.http.explanations import Threads
from app.adapters.http.metrics import HttpMetrics
from app.adapters.imports.runner import ImportRunner
from app.adapters.imports.sources import FileSources
from app.adapters.imports.wiring import ExternalWiring, external_parts
from app.adapters.kafka.update_check import WorkerCheck
from app.adapters.kafka.update_producer import UpdateProducer, UpdateTarget
from app.adapters.redis.definition_store import RedisDefinitionStore
from app.adapters.redis.external_store import RedisExternalStore
from app.adapters.redis.job_store import RedisJobStore
from app.adapters.redis.keys import PartitionKeys
from app.adapters.redis.metric_store import RedisMetricStore
from app.adapters.redis.preview_store import RedisPreviewStore
from app.adapters.redis.profile_reader import RedisProfileReader
from app.adapters.redis.schedule_store import RedisScheduleStore
from app.adapters.redis.search_source import RedisSearchSource
from app.adapters.search.keeper import SearchKeeper
from app.domain.jobs import JobStarter
from app.domain.model import ProfileKey, Tenant
from app.domain.partitioning import partition_of
from app.domain.previews import PreviewLimits
from app.engine.profile import ProfileState
from app.engine.state_codec import encode
from app.service.audience_metrics import AudienceMetrics
from app.service.definitions import Definitions
from app.service.explanations import ExplanationParts, Explanations
from app.service.exports import Exports
from app.service.expressions import ExpressionRules, NoSchemas, SchemaSource
from app.service.jobs import Jobs
from app.service.previews import Previews
from app.service.profile_updates import ProfileUpdates
from app.service.profiles import Profiles
from app.service.scheduled_jobs import ScheduledJobs
from app.service.schedules import Schedules
from app.service.search import Search
from tests.integration.http.shared_application import shared_application

DEFINITIONS = "/data/core/ups/segment/definitions"
AUDIENCES = "/data/core/ups/audiences"
PARTITIONS = 8
MAX_RECORD_BYTES = 1_048_576
RETENTION_MS = 30 * 86_400_000
NO_KAFKA = "127.0.0.1:1"
"""Nothing listens there."""
PREVIEW_LIMITS = PreviewLimits(running=5)
OTHER_ORG = "other@AdobeOrg"


def definition_body(name: str, value: str = "person.age > 30", **more: Any) -> dict[str, Any]:
    """Return the body of a create call."""
    return {
        "name": name,
        "expression": {"type": "PQL", "format": "pql/text", "value": value},
        "schema": {"name": "_xdm.context.profile"},
        **more,
    }


def audience_body(name: str, value: str = "person.age > 30", **more: Any) -> dict[str, Any]:
    """Return the body of a call that creates an audience."""
    return definition_body(name, value, type="SegmentDefinition", **more)


async def created_audience(
    client: httpx.AsyncClient, name: str, *args: Any, **more: Any
) -> dict[str, Any]:
    """Create an audience; return it."""
    answer = await client.post(AUDIENCES, json=audience_body(name, *args, **more))
    assert answer.status_code == 201, answer.text
    document: dict[str, Any] = answer.json()
    return document


def add(path: str, value: Any) -> dict[str, Any]:
    """Return one operation of JSON Patch."""
    return {"op": "add", "path": path, "value": value}


def refusal(answer: httpx.Response, status: int, code: str) -> str:
    """Check a problem document; return all its messages."""
    assert answer.status_code == status, answer.text
    body = answer.json()
    assert body["status"] == status
    assert body["type"] == f"https://ns.adobe.com/aep/errors/{code}"
    assert body["requestId"] == answer.headers["x-request-id"]
    assert list(body["errors"]) == [str(status)]
    entries = body["errors"][str(status)]
    assert entries[0]["code"] == code
    assert entries[0]["message"] == body["title"]
    return "\n".join(entry["message"] for entry in entries)


def in_segment(segment_id: str) -> str:
    return f'inSegment("{segment_id}")'


@asynccontextmanager
async def nothing() -> AsyncIterator[None]:
    yield


@dataclass
class Plane:
    """One control plane; `tenant` is the one of `headers`.

    Its `keeper` and its `importer` are not running.
    """

    redis: Redis
    prefix: str
    org_id: str
    application: ASGIApp
    store: RedisDefinitionStore
    keeper: SearchKeeper
    metrics: HttpMetrics
    jobs: RedisJobStore
    importer: ImportRunner
    imports: RedisExternalStore
    clients: list[httpx.AsyncClient] = field(default_factory=list)

    @property
    def tenant(self) -> Tenant:
        return Tenant(self.org_id, "prod")

    async def put_profile(self, profile_id: str, state: ProfileState) -> None:
        """Store a profile as the worker that owns it would."""
        keys = PartitionKeys(self.prefix, partition_of(profile_id, PARTITIONS))
        await self.redis.set(keys.state(ProfileKey(self.tenant, profile_id)), encode(state))

    def headers(self, **changed: str | None) -> dict[str, str]:
        """Return the headers of a good call; `None` leaves one out."""
        headers: dict[str, str | None] = {
            "authorization": "Bearer token-1",
            "x_api_key": "key-1",
            "x_gw_ims_org_id": self.org_id,
            "x_sandbox_name": "prod",
            **changed,
        }
        return {name.replace("_", "-"): value for name, value in headers.items() if value}

    def client(self, **changed: str | None) -> httpx.AsyncClient:
        """Return a client that sends `headers(**changed)` with each call."""
        client = httpx.AsyncClient(
            transport=httpx.ASGITransport(app=self.application, raise_app_exceptions=False),
            base_url="http://test",
            headers=self.headers(**changed),
        )
        self.clients.append(client)
        return client

    def other_client(self) -> httpx.AsyncClient:
        """Return a client of another organisation."""
        return self.client(
            authorization="Bearer token-2", x_api_key="key-2", x_gw_ims_org_id=OTHER_ORG
        )


def credential(name: str, token: str, key: str, org_id: str, *sandboxes: str) -> dict[str, Any]:
    digest = hashlib.sha256(token.encode()).hexdigest()
    return {
        "name": name,
        "tokenSha256": digest,
        "apiKey": key,
        "orgId": org_id,
        "sandboxes": list(sandboxes),
    }


@asynccontextmanager
async def running_plane(
    redis: Redis,
    prefix: str,
    org_id: str,
    folder: Path,
    *,
    kafka: str = NO_KAFKA,
    topic: str = "profile-updates",
    deadline_s: float = 10.0,
    starter: JobStarter | None = None,
    preview_limits: PreviewLimits = PREVIEW_LIMITS,
    partitions: int = PARTITIONS,
    sources: FileSources | None = None,
    schemas: SchemaSource | None = None,
    **imports: Any,
) -> AsyncIterator[Plane]:
    """Serve in this process; only updates and deletions of profiles need Kafka.

    Schedules start real jobs unless there is a `starter`.
    """
    path = folder / "credentials.json"
    entries = [
        credential("one", "token-1", "key-1", org_id, "prod", "dev"),
        credential("two", "token-2", "key-2", OTHER_ORG, "prod"),
        credential("three", "token-3", "key-3", org_id, "prod"),
    ]
    path.write_text(json.dumps({"credentials": entries}))
    store = RedisDefinitionStore(redis, prefix)
    job_store = RedisJobStore(redis, prefix, partitions=partitions)
    jobs = Jobs(job_store, store, lambda: str(uuid.uuid4()), now_ms)
    exports = Exports(
        RedisJobStore(redis, prefix, "export", partitions=partitions),
        store,
        jobs,
        lambda tenant: ["members"] if tenant.org_id == org_id else [],
        lambda: str(uuid.uuid4()),
        now_ms,
    )
    keeper = SearchKeeper([RedisSearchSource(redis, prefix)])
    metrics = HttpMetrics()
    target = UpdateTarget(options={"bootstrap_servers": kafka}, topic=topic, partitions=partitions)
    producer = UpdateProducer(target, metrics, deadline_s=deadline_s)
    reader = RedisProfileReader(redis, prefix, partitions)
    profiles = Profiles(reader, store, RETENTION_MS)
    rules = ExpressionRules(RETENTION_MS, schemas=schemas or NoSchemas())
    definitions = Definitions(store, lambda: str(uuid.uuid4()), rules)
    check = WorkerCheck(topic, partitions, MAX_RECORD_BYTES)
    import_store = RedisExternalStore(redis, prefix, partitions, topic)
    external, importer = external_parts(
        ExternalWiring(
            store=import_store,
            definitions=definitions,
            sources=sources or FileSources(None),
            check=check,
            log=producer,
            poll_s=0.05,
            **imports,
        )
    )
    application = shared_application(
        Parts(
            authenticator=Authenticator([CredentialsFile(path)]),
            definitions=definitions,
            external=external,
            audience_metrics=AudienceMetrics(RedisMetricStore(redis, prefix), definitions),
            profiles=profiles,
            explanations=Explanations(
                ExplanationParts(
                    profiles=reader, segment_ids=store, definitions=definitions, runs=import_store
                ),
                RETENTION_MS,
                now_ms,
                Threads().run,
            ),
            updates=ProfileUpdates(profiles, check, producer),
            jobs=jobs,
            schedules=Schedules(
                RedisScheduleStore(redis, prefix),
                store,
                ScheduledJobs(store, starter or jobs, exports),
                lambda: str(uuid.uuid4()),
            ),
            exports=exports,
            previews=Previews(
                RedisPreviewStore(redis, prefix),
                store,
                lambda: str(uuid.uuid4()),
                now_ms,
                rules,
                preview_limits,
            ),
            search=Search(keeper),
            metrics=metrics,
            checks={"redis": redis_check(redis)},
            background=nothing(),
        )
    )
    plane = Plane(
        redis,
        prefix,
        org_id,
        application,
        store,
        keeper,
        metrics,
        job_store,
        importer,
        import_store,
    )
    async with producer.running():
        try:
            yield plane
        finally:
            for client in plane.clients:
                await client.aclose()
