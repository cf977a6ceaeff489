"""Members of external audiences imported from files, through a real control plane and worker."""

from __future__ import annotations

import asyncio
import json
import os
import time
from contextlib import asynccontextmanager

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from moto.server import ThreadedMotoServer

from app.adapters.imports.connections import Connection
from app.adapters.imports.sources import FileSources
from app.adapters.redis.control_client import connect_control
from app.domain.errors import Unavailable
from tests.integration.http.harness import AUDIENCES, add, refusal, running_plane
from tests.integration.stream.harness import eventually
from tests.integration.stream.test_backfill import World

pytestmark = [pytest.mark.kafka, pytest.mark.redis]
WORLD = World

AIS = "/data/core/ais/external-audience"
NAMESPACE = "CustomerAudienceUpload"


def external_body(name, **params):
    return {
        "name": name,
        "fields": [
            {"name": "member", "type": "string", "identityNs": "email"},
            {"name": "points", "type": "integer"},
        ],
        "sourceSpec": {"params": {"path": "members.csv", "type": "file", **params}},
        "originName": "CUSTOM_UPLOAD",
    }


class Place:
    """A world whose control plane imports from a folder."""

    def __init__(self, world, plane, root):
        self.world = world
        self.plane = plane
        self.client = plane.client()
        self.folder = root / world.names.org_id / "prod"
        self.folder.mkdir(parents=True, exist_ok=True)

    def write(self, ids, path="members.csv", **more):
        rows = [f"{one},{number}" for number, one in enumerate(ids)]
        rows += [f"{one},{points}" for one, points in more.items()]
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("\n".join(["member,points", *rows]) + "\n")

    async def made(self, name, **params):
        """Ask for an audience; return its id once it is there."""
        answer = await self.client.post(f"{AIS}/", json=external_body(name, **params))
        assert answer.status_code == 202, answer.text
        operation_id = answer.json()["operationId"]

        async def ended():
            found = (await self.client.get(f"{AIS}/operations/{operation_id}")).json()
            return found if found["status"] != "PROCESSING" else None

        operation = await eventually(ended)
        assert operation["status"] == "SUCCESS", operation
        return operation["audienceId"]

    async def started(self, audience_id, start=0, **more):
        body = {"dataFilterStartTime": start, **more}
        answer = await self.client.post(f"{AIS}/{audience_id}/runs", json=body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def run(self, audience_id, **filters):
        """Start a run; return how it ended."""
        started = await self.started(audience_id, **filters)
        return await self.ended(audience_id, started["runId"])

    async def ended(self, audience_id, run_id):
        async def has_ended():
            found = (await self.client.get(f"{AIS}/{audience_id}/runs/{run_id}")).json()
            return found if found["status"] != "PROCESSING" else None

        return await eventually(has_ended, 40)

    async def define(self, name, text):
        await self.world.define(name, text)
        await eventually(lambda: self.world.is_live(name))

    async def membership(self, profile_id):
        return (await self.client.get(f"/profiles/{profile_id}/membership")).json()[
            "segmentMembership"
        ]


@asynccontextmanager
async def open_place(world, folder, **options):
    root = folder / "zone"
    root.mkdir(exist_ok=True)
    redis = connect_control(world.redis_url)
    options.setdefault("sources", FileSources(root))
    try:
        async with running_plane(
            redis,
            world.names.redis_key_prefix,
            world.names.org_id,
            folder,
            kafka=world.bootstrap,
            topic=world.topics.updates,
            partitions=world.partitions,
            **options,
        ) as plane:
            yield Place(world, plane, root)
    finally:
        await redis.aclose()


@pytest.fixture
async def place(world, tmp_path):
    async with open_place(world, tmp_path) as place:
        yield place


async def test_from_a_file_to_memberships_and_what_asks_them(place):
    world = place.world
    place.write(["a", "b"], c="many", d="3")
    async with world.working(), place.plane.importer.running():
        await world.people(1)
        audience_id = await place.made("loyal")
        asking = f'inSegment("{audience_id}") and not(age > 1)'
        await place.define("asking", asking)
        run = await place.run(audience_id)

        assert (run["status"], run["differentialIngestion"]) == ("SUCCESS", False)
        assert run["rows"] == {"accepted": 3, "rejected": 1}
        assert run["problems"] == ["members.csv, row 3: column points is no integer"]
        stages = [(one["stage"], one["status"]) for one in run["details"]]
        assert stages == [("DATASET_INGEST", "SUCCESS"), ("PROFILE_STORE_INGEST", "SUCCESS")]
        # A run that succeeded has its members.
        found = await place.membership("a")
        assert found["ups"]["asking"]["status"] == "realized"
        (mine,) = found[NAMESPACE].values()
        assert mine["status"] == "realized"
        assert mine["validUntil"] > mine["lastQualificationTime"]
        changes = {(one["profileId"], one["segmentId"]): one for one in await world.changes(6)}
        assert {name for name, _ in changes} == {"a", "b", "d"}
        one = changes["a", audience_id]
        assert (one["segmentNs"], one["status"]) == (NAMESPACE, "realized")
        assert (one["cause"]["kind"], one["cause"]["eventId"]) == ("external", run["runId"])
        assert changes["a", "asking"]["cause"]["kind"] == "cascade"
        records = await world.read(world.topics.memberships)
        (record,) = [json.loads(one.value) for one in records if b"/prod/a" in one.key]
        assert (
            record["segmentMembership"][NAMESPACE][audience_id]["validUntil"] == mine["validUntil"]
        )

        # A second run says it anew: nobody enters twice, nobody leaves whom it does not name.
        place.write(["b", "e"])
        again = await place.run(audience_id)
        assert (again["status"], again["differentialIngestion"]) == ("SUCCESS", True)
        assert len(await world.changes(8)) == 8
        later = (await place.membership("b"))[NAMESPACE][audience_id]["validUntil"]
        assert later > mine["validUntil"]
        listed = (await place.client.get(f"{AIS}/{audience_id}/runs")).json()["runs"]
        assert [one["runId"] for one in listed] == [again["runId"], run["runId"]]
        assert "details" not in listed[0]

        # Used, it stays; unused, it goes, and its members leave.
        told = refusal(await place.client.delete(f"{AIS}/{audience_id}"), 422, "100960-422")
        assert "asking" in told
        await world.remove("asking")
        assert (await place.client.delete(f"{AIS}/{audience_id}")).status_code == 204
        await eventually(world.has_forgotten)
        await world.tells(
            {
                (name, segment): [(1, "realized", cause), (2, "exited", "definition")]
                for name in ("a", "b", "d", "e")
                for segment, cause in ((audience_id, "external"), ("asking", "cascade"))
            }
        )
        refusal(await place.client.get(f"{AIS}/{audience_id}/runs"), 404, "100940-404")


async def test_another_service_tells_members_whose_time_runs_out(place):
    """By records of its own, for an audience that is nothing but its name."""
    world = place.world
    async with world.working(), place.plane.importer.running():
        body = {"audienceId": "vip-1", "name": "vip", "type": "ExternalSegment", "namespace": "AAM"}
        made = (await place.client.post(AUDIENCES, json=body)).json()
        await place.define("asking", f'inSegment("{made["id"]}")')
        until = time.time_ns() // 1_000_000 + 1_500
        told = {"externalMembership": {"audienceId": made["id"], "validUntil": until}}
        await world.send(("p", told), ("q", told))
        gone = {"externalMembership": {"audienceId": made["id"], "status": "exited"}}
        await world.send(("q", gone))
        entered, over = (1, "realized", "external"), (2, "exited", "time")
        await world.tells(
            {
                ("p", made["id"]): [entered, over],
                ("p", "asking"): [(1, "realized", "cascade"), (2, "exited", "cascade")],
                ("q", made["id"]): [entered, (2, "exited", "external")],
                ("q", "asking"): [(1, "realized", "cascade"), (2, "exited", "cascade")],
            }
        )
        (left,) = [
            one
            for one in await world.changes()
            if one["status"] == "exited" and one["profileId"] == "p" and one["segmentNs"] == "AAM"
        ]
        assert left["cause"] == {"kind": "time"}
        shown = (await place.membership("p"))["AAM"][made["id"]]
        assert shown["status"] == "exited"
        assert "validUntil" not in shown


async def test_a_folder_and_the_time_of_its_files(place):
    world = place.world
    place.write(["old"], "in/a/old.csv")
    os.utime(place.folder / "in/a/old.csv", (1_000, 1_000))
    place.write(["new"], "in/new.csv")
    (place.folder / "in/more.jsonl").write_text('{"member": "line"}\n{"member": 7}\n[]\n')
    (place.folder / "in/read.me").write_text("no rows")
    async with world.working(), place.plane.importer.running():
        audience_id = await place.made("folder", path="/in/", type="folder")
        run = await place.run(audience_id, start=2_000)
        assert run["files"] == {"taken": 2, "ignored": 1}
        assert run["rows"] == {"accepted": 3, "rejected": 1}
        assert run["problems"] == ["in/more.jsonl, row 3: it is no JSON object"]
        run = await place.run(audience_id, start=900, dataFilterEndTime=1_000)
        assert run["rows"] == {"accepted": 1, "rejected": 0}
        run = await place.run(audience_id, start=5, dataFilterEndTime=6)
        assert (run["status"], run["files"]["taken"]) == ("SUCCESS", 0)
    entered = {one["profileId"] for one in await world.changes(4)}
    assert entered == {"old", "new", "line", "7"}


class DyingLog:
    """An input topic whose user dies after a chunk is in it, before that is noted."""

    def __init__(self, log):
        self.log = log
        self.chunks = 0
        self.died = asyncio.Event()

    async def append(self, records):
        found = await self.log.append(records)
        self.chunks += 1
        if self.chunks == 3:
            self.died.set()
            await asyncio.sleep(3_600)
        return found


async def test_a_run_whose_process_dies_loses_and_repeats_nothing(world, tmp_path):
    ids = [f"p-{number}" for number in range(300)]
    async with world.working():
        async with open_place(world, tmp_path, chunk_rows=20, lease_ms=1_000) as first:
            imports = first.plane.importer._imports
            log = imports._log = DyingLog(imports._log)
            first.write(ids)
            async with first.plane.importer.running():
                audience_id = await first.made("big")
                started = await first.started(audience_id)
                await log.died.wait()
                # As of a killed process, the lease stays until it runs out.
                first.plane.importer._store = _Silent(first.plane.importer._store)
            answer = await first.client.post(
                f"{AIS}/{audience_id}/runs", json={"dataFilterStartTime": 0}
            )
            assert "in progress" in refusal(answer, 422, "100960-422")
        async with (
            open_place(world, tmp_path, chunk_rows=20, lease_ms=1_000) as second,
            second.plane.importer.running(),
        ):
            run = await second.ended(audience_id, started["runId"])
    assert run["status"] == "SUCCESS"
    assert run["rows"] == {"accepted": 300, "rejected": 0}
    sent = await world.read(world.topics.updates)
    # The chunk in doubt was sent twice, and counted once.
    assert len(sent) == 320
    await world.tells({(one, audience_id): [(1, "realized", "external")] for one in ids})


class _Silent:
    """A store that a dead process does not speak to any more."""

    def __init__(self, store):
        self._store = store

    async def release(self, *_):
        raise Unavailable("dead")

    async def waiting(self):
        return []


async def test_a_run_during_which_the_audience_was_away_fails(place):
    """What workers skipped meanwhile must not count as told."""
    world = place.world
    place.write([f"p-{number}" for number in range(50)])
    imports = place.plane.importer._imports
    imports._chunk_rows, log = 10, imports._log
    async with world.working(), place.plane.importer.running():
        audience_id = await place.made("away")
        path = f"{AUDIENCES}/{audience_id}"

        class Log:
            async def append(self, records):
                imports._log = log
                for state in ("inactive", "published"):
                    await place.client.patch(path, json=[add("/lifecycleState", state)])
                return await log.append(records)

        await place.run(audience_id)
        imports._log = Log()
        run = await place.run(audience_id)
        assert (run["status"], run["rows"]["accepted"]) == ("FAILED", 50)
        assert "was away" in run["reason"]
        assert (await place.run(audience_id))["status"] == "SUCCESS"


async def test_a_source_that_changes_or_is_gone_fails_its_run(place):
    world = place.world
    place.write(["a"])
    async with world.working(), place.plane.importer.running():
        audience_id = await place.made("gone")
        (place.folder / "members.csv").unlink()
        run = await place.run(audience_id)
        assert (run["status"], run["reason"]) == ("FAILED", "there is no file members.csv")
        (place.folder / "members.csv").write_text("points\n1\n")
        run = await place.run(audience_id)
        assert run["status"] == "FAILED"
        assert "lacks the columns member" in run["reason"]
        assert run["details"] == [
            {"stage": "DATASET_INGEST", "status": "FAILED", "flowRunId": run["runId"]}
        ]
        (place.folder / "members.csv").write_text("member,points\n,1\n")
        run = await place.run(audience_id)
        assert (run["status"], run["rows"]) == ("FAILED", {"accepted": 0, "rejected": 1})


@pytest.fixture
def object_store():
    """Options of an S3 with an empty bucket."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    options = {
        "key": "key",
        "secret": "s3cret",
        "client_kwargs": {"endpoint_url": f"http://{host}:{port}", "region_name": "us-east-1"},
    }
    yield options
    server.stop()


def upload(options):
    store = fsspec.filesystem("s3", **options, skip_instance_cache=True)
    store.call_s3("create_bucket", Bucket="bucket")
    with store.open("bucket/exports/in/a.csv.gz", "wb", compression="gzip") as file:
        file.write(b"member,points\na,1\nb,x\n")
    with store.open("bucket/exports/in/b.parquet", "wb") as file:
        pq.write_table(pa.table({"member": ["c", "d"], "points": [1, None]}), file)
    with store.open("bucket/exports/other.csv", "wb") as file:
        file.write(b"member,points\nz,1\n")


async def test_members_come_from_an_object_store(world, tmp_path, object_store):
    await asyncio.to_thread(upload, object_store)
    org_id = world.names.org_id
    mine = Connection("S3", "bucket/exports", org_id, frozenset({"prod"}), object_store)
    wrong = Connection("S3", "nowhere", org_id, frozenset({"prod"}), object_store)
    sources = FileSources(None, {"mine": mine, "wrong": wrong})
    at = {"path": "in", "type": "folder", "cloudType": "S3"}
    async with (
        world.working(),
        open_place(world, tmp_path, sources=sources) as place,
        place.plane.importer.running(),
    ):
        body = external_body("lost", **at, baseConnectionId="wrong")
        operation = (await place.client.post(f"{AIS}/", json=body)).json()
        path = f"{AIS}/operations/{operation['operationId']}"

        async def failed():
            found = await place.client.get(path)
            return found if found.json()["status"] == "FAILED" else None

        answer = await eventually(failed)
        assert answer.json()["reason"] == "there is no folder in"
        assert "s3cret" not in answer.text
        audience_id = await place.made("stored", **at, baseConnectionId="mine")
        run = await place.run(audience_id)
        assert run["status"] == "SUCCESS"
        assert run["rows"] == {"accepted": 3, "rejected": 1}
        assert run["problems"] == ["in/a.csv.gz, row 2: column points is no integer"]
    entered = {one["profileId"] for one in await world.changes(3)}
    assert entered == {"a", "c", "d"}
