"""A world with exports."""

from __future__ import annotations

import uuid
from functools import partial

from app.adapters.datasets.locations import Location, names_for
from app.adapters.datasets.store import FileDatasets
from app.adapters.http.export_schemas import ExportBody
from app.adapters.kafka.batches import StreamLimits
from app.adapters.redis.job_store import RedisJobStore
from app.service.export_document import export_document
from app.service.exports import Exports
from app.service.jobs import JobCall
from app.service.partition import PartitionEngine
from tests.integration.stream.export_reader import told, whole
from tests.integration.stream.test_jobs import JobWorld, now_ms


class ExportWorld(JobWorld):
    """A world with exports; `locations` are its data sets."""

    def __post_init__(self):
        super().__post_init__()
        self.locations: dict[str, Location] = {}
        self.exports = Exports(
            RedisJobStore(
                self.redis, self.names.redis_key_prefix, "export", partitions=self.partitions
            ),
            self.definitions,
            self.jobs,
            partial(names_for, self.locations),
            lambda: str(uuid.uuid4()),
            now_ms,
        )

    def working(self, *, slice_size=256, **options):
        worker = self.worker(
            source=self.definitions,
            engine=PartitionEngine,
            stream=StreamLimits(scan_profiles=slice_size),
        )
        worker._jobs._exports._files._datasets = FileDatasets(self.locations)
        return self.running(worker, **options)

    async def export(self, **body):
        given = {"schema": {"name": "_xdm.context.profile"}, **body}
        request = ExportBody.model_validate(given).request()
        job = await self.exports.create(self.tenant, request, JobCall())
        assert job.status == "NEW"
        return job.job_id

    async def job(self, job_id):
        if not job_id.isdigit():
            return await super().job(job_id)
        return export_document(self.tenant, await self.exports.get(self.tenant, job_id))

    async def told(self, job_id):
        return await told(self, job_id)

    async def whole(self, job_id):
        return await whole(self, job_id)
