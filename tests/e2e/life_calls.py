"""What `test_life` asks of the control plane and how it checks the answers, kind by kind."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import fsspec

from tests.e2e.life import PATIENCE_S, Life
from tests.integration.stream.export_reader import (
    as_record,
    as_row,
    ids,
    in_order,
    rows_in_duckdb,
    rows_of,
    segments,
    whole,
)
from tests.integration.stream.harness import eventually

BASE = "/data/core/ups"
JOBS = f"{BASE}/segment/jobs"
EXPORTS = f"{BASE}/export/jobs"
PREVIEW = f"{BASE}/preview"
ESTIMATE = f"{BASE}/estimate"
SCHEDULES = f"{BASE}/config/schedules"
SEARCH = f"{BASE}/search/entities"


async def preview_of(life: Life, text: str) -> str:
    answer = await life.stage.client.post(PREVIEW, json={"predicateExpression": text})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["previewId"])


def is_under_way(estimate: dict[str, Any]) -> bool:
    assert estimate["state"] in ("NEW", "RUNNING"), f"it was over too soon: {estimate}"
    return bool(estimate["profilesReadSoFar"])


async def results_of(life: Life, preview_id: str) -> set[str]:
    """Return whom all pages of a preview name."""
    found: set[str] = set()
    link = f"{PREVIEW}/{preview_id}?limit=100"
    while link:
        page = (await life.stage.client.get(link)).json()
        for result in page["results"]:
            assert not found & result.keys()
            found |= result.keys()
        link = page["links"]["next"]
    return found


async def exported(life: Life, segment_id: str) -> dict[str, Any]:
    body = {
        "schema": {"name": "_xdm.context.profile"},
        "filter": segments(segment_id),
        "additionalFields": {"eventList": {}},
        "destination": {"datasetId": "members"},
    }
    answer = await life.stage.client.post(EXPORTS, json=body)
    assert answer.status_code == 200, answer.text
    job: dict[str, Any] = answer.json()
    return job


async def check_export(life: Life, job: dict[str, Any], expected: set[str]) -> None:
    """Compare the topic with the oracle, and what two readers of Parquet find with the topic."""
    found = await whole(life.stage.bus, str(job["id"]))
    assert ids(found) == sorted(expected)
    for one in found:
        person = life.people[one["profileId"]]
        assert one["profile"].items() >= person.attributes.items()
        assert [event["_id"] for event in one["eventList"]] == [
            event.body["_id"] for event in person.events
        ]
    assert job["metrics"]["totalExportedProfileCounter"] == len(expected)
    folder = life.folder / "members" / job["destination"]["batchId"]
    wanted = in_order(map(as_row, found))
    _, rows = rows_of(fsspec.filesystem("file"), str(folder))
    assert in_order(map(as_record, rows)) == wanted
    assert in_order(map(as_record, rows_in_duckdb(folder))) == wanted


async def scheduled(life: Life, segment_id: str, due_ms: int) -> dict[str, Any]:
    due = datetime.fromtimestamp(due_ms / 1_000, UTC)
    body = {
        "name": "once",
        "type": "batch_segmentation",
        "properties": {"segments": [segment_id]},
        "schedule": f"{due:%-S %-M %-H %-d %-m ? %Y}",
        "state": "active",
    }
    answer = await life.stage.client.post(SCHEDULES, json=body)
    schedule: dict[str, Any] = answer.json()
    assert schedule.get("nextRunTime") == due_ms, answer.text
    return schedule


async def check_schedule(life: Life, schedule: dict[str, Any]) -> None:
    """See that what was due while no control plane was there was started once."""
    path = f"{SCHEDULES}/{schedule['id']}"
    run = (await life.until(path, lambda one: one.get("lastRun")))["lastRun"]
    assert run["outcome"] == "started"
    await life.until(f"{JOBS}/{run['jobId']}", lambda one: one["status"] == "SUCCEEDED")
    asked = {"property": "source==scheduler"}
    jobs = (await life.stage.client.get(JOBS, params=asked)).json()["children"]
    mine = [one["id"] for one in jobs if one["properties"]["scheduleId"] == schedule["id"]]
    assert mine == [run["jobId"]]


async def names_found(life: Life, query: str) -> list[str]:
    asked = {"schema.name": "_xdm.context.segmentdefinition", "namespace": "AEPSegments"}
    answer = await life.stage.client.get(SEARCH, params=asked | {"s": query})
    assert answer.status_code == 200, answer.text
    return [one["name"] for one in answer.json()["entities"]]


async def check_events(life: Life, job_id: str) -> None:
    """See that each state of a job was told; the relay may repeat what it told before it died."""
    topic = f"{life.stage.bus.names.topic_prefix}job-events"

    async def states() -> list[str] | None:
        found = [json.loads(record.value) for record in await life.stage.bus.read(topic)]
        told = {one["sequence"]: one["status"] for one in found if one["jobId"] == job_id}
        return list(told.values()) if len(told) == 4 else None

    wanted = ["NEW", "QUEUED", "PROCESSING", "SUCCEEDED"]
    assert await eventually(states, PATIENCE_S) == wanted
