"""The whole life of every kind of object, with two workers and a control plane that get killed.

Where each kind is shown; `+` is a test of this module, the API killed together with the worker:

================== =================== ==================== ================= ==================
Kind               Life                Ended in mid-run     Worker, API die   By the oracle
================== =================== ==================== ================= ==================
definitions        +definitions,       +definitions         +definitions      +definitions
                   definitions_live
audiences          +definitions,       http/                +definitions      +definitions
                   definitions_live    audience_lifecycle
external audiences +external,          +external            +external         +external (asked
                   stream/external                                            by a definition)
segment jobs       +jobs               +jobs                +jobs             +jobs
schedules          schedules           schedules            +external,        (starts jobs)
                                                            schedules
export jobs        +jobs               +jobs                +jobs             +jobs
previews           +jobs               +jobs                +jobs             +jobs
search             http/search_api     -                    +external         -
profiles           profile_deletion    -                    +external, faults faults
================== =================== ==================== ================= ==================
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.e2e.life import BOUGHT, PATIENCE_S, PEOPLE, WORKERS, Life, living
from tests.e2e.life_calls import (
    BASE,
    ESTIMATE,
    EXPORTS,
    JOBS,
    PREVIEW,
    check_events,
    check_export,
    check_schedule,
    exported,
    is_under_way,
    names_found,
    preview_of,
    results_of,
    scheduled,
)
from tests.e2e.stage import PARTITIONS, wall_ms
from tests.integration.http.harness import (
    AUDIENCES,
    DEFINITIONS,
    add,
    audience_body,
    definition_body,
    in_segment,
)
from tests.integration.stream.export_reader import told
from tests.integration.stream.harness import eventually
from tests.integration.stream.test_external import AIS, external_body
from tests.services import LocalKafka, LocalRedis

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.kafka,
    pytest.mark.redis,
    pytest.mark.timeout(600),
    pytest.mark.asyncio(loop_scope="module"),
]
PAIRED = "(exists I from things, J from things where I.size + J.size = -1)"
"""True of nobody, which takes long to find out."""
ROWS = 4_000
ENDED = ("SUCCEEDED", "FAILED", "CANCELLED")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def life(
    kafka: LocalKafka, redis_server: LocalRedis, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Life]:
    async with living(kafka, redis_server, tmp_path_factory.mktemp("life")) as life:
        yield life


async def test_definitions_and_audiences(life: Life) -> None:
    stage, client = life.stage, life.stage.client
    young = audience_body("young", "age < 10", lifecycleState="draft")
    answer = await client.post(AUDIENCES, json=young)
    young_id = answer.json()["id"]
    young_path = f"{AUDIENCES}/{young_id}"
    texts = {}
    adult_id = await stage.define("adult", "age >= 30")
    texts[adult_id] = "age >= 30"
    for name, text in (
        ("bought", BOUGHT),
        ("adult buyer", f"{in_segment(adult_id)} and {BOUGHT}"),
        ("neither", f"not({in_segment(adult_id)}) and not({BOUGHT})"),
    ):
        texts[await stage.define(name, text)] = text
    publish = [add("/lifecycleState", "published")]
    assert (await client.patch(young_path, json=publish)).status_code == 200
    texts[young_id] = "age < 10"
    await life.until_entered(adult_id)
    stage.kill("worker-2", "api")
    assert life.members(adult_id) < life.expected(texts)[adult_id], "it was over too soon"
    await stage.start("worker-2", "api")
    for segment_id in texts:
        await stage.until_state(f"{AUDIENCES}/{segment_id}", "LIVE")
    await life.settles(texts)
    assert {one["sequence"] for one in stage.changes if one["segmentId"] in texts} == {1}

    # Edits, of which those who ask hear at once.
    body = definition_body("adult", "age >= 40")
    assert (await client.patch(f"{DEFINITIONS}/{adult_id}", json=body)).status_code == 200
    body = audience_body("young", "age < 20")
    assert (await client.put(young_path, json=body)).status_code == 200
    await stage.restart("worker", "api")
    await life.settles(texts | {adult_id: "age >= 40", young_id: "age < 20"})
    versions = (await client.get(f"{DEFINITIONS}/{adult_id}/versions")).json()["versions"]
    assert sorted(one["version"] for one in versions) == [1, 2]
    texts |= {adult_id: "age >= 40", young_id: "age < 20"}

    # One ends while it begins, and the worker dies on top.
    doomed_id = await stage.define("doomed", "age >= 0")
    await life.until_entered(doomed_id)
    assert (await client.delete(f"{DEFINITIONS}/{doomed_id}")).status_code == 200
    stage.kill("worker-2")
    assert len(life.members(doomed_id)) < PEOPLE, "it was over too soon"
    await stage.start("worker-2")
    await life.holds({doomed_id: set()})
    refused = await client.delete(f"{DEFINITIONS}/{adult_id}")
    assert refused.status_code == 409, refused.text
    assert "adult buyer" in refused.text
    inactive = [add("/lifecycleState", "inactive")]
    assert (await client.patch(young_path, json=inactive)).status_code == 200
    await stage.until_state(young_path, "OFF")
    await life.holds(life.expected(texts) | {young_id: set()})
    for segment_id in reversed(texts):
        answer = await client.delete(f"{AUDIENCES}/{segment_id}")
        assert answer.status_code in (200, 204), answer.text
    await life.holds({one: set() for one in (*texts, doomed_id)})
    assert (await client.get(young_path)).status_code == 404


async def test_jobs_exports_and_previews(life: Life) -> None:
    stage, client = life.stage, life.stage.client
    adult_id = await stage.define("of age", "age >= 30")
    text = f"{in_segment(adult_id)} and {BOUGHT}"
    texts = {adult_id: "age >= 30", await stage.define("who bought", text): text}
    (_, buyer_id) = texts
    for segment_id in texts:
        await stage.until_live(segment_id)
    expected = life.expected(texts)
    seldom = f"{text} and not({PAIRED})"

    # A segment job beside a preview, and the death of a worker and of the control plane in both.
    preview_id = await preview_of(life, seldom)
    before = await stage.looked_at(*WORKERS)
    job_id = (await client.post(JOBS, json=[{"segmentId": buyer_id}])).json()["id"]
    await life.until(f"{ESTIMATE}/{preview_id}", is_under_way)
    await life.until_looked_at(before)
    done = await stage.looked_at("worker")
    stage.kill("worker", "api")
    left = await stage.looked_at("worker-2")
    await stage.start("worker", "api")
    job = await life.until(f"{JOBS}/{job_id}", lambda one: one["status"] in ENDED)
    assert job["status"] == "SUCCEEDED", job
    counter = job["metrics"]["segmentedProfileCounter"]
    assert counter == {buyer_id: len(expected[buyer_id])}
    total = job["metrics"]["totalProfiles"]
    # What was counted before is not counted anew, but for a slice of each partition.
    assert done + await stage.looked_at(*WORKERS) <= total + 32
    assert left < total, "it was over too soon"
    await check_events(life, job_id)
    estimate = await life.until(
        f"{ESTIMATE}/{preview_id}", lambda one: one["state"] in ("RESULT_READY", "FAILED")
    )
    assert estimate["state"] == "RESULT_READY", estimate
    assert estimate["profilesReadSoFar"] == estimate["totalRows"] == total
    assert estimate["estimatedSize"] == len(expected[buyer_id])
    assert await results_of(life, preview_id) == expected[buyer_id]

    # An export, and the death of the other worker.
    before = await stage.looked_at(*WORKERS)
    export = await exported(life, buyer_id)
    path = f"{EXPORTS}/{export['id']}"
    await life.until_looked_at(before)
    # Only an API that knows the partitions shows how far it is.
    shown = await life.until(path, lambda one: "progress" in one or one["status"] in ENDED)
    assert shown.get("progress", {}).get("partitions") == PARTITIONS, shown
    stage.kill("worker-2", "api")
    ends, _ = await told(stage.bus, str(export["id"]))
    assert ends == [], "it was over too soon"
    await stage.start("worker-2", "api")
    export = await life.until(path, lambda one: one["status"] in ENDED)
    assert export["status"] == "SUCCEEDED", export
    await check_export(life, export, expected[buyer_id])

    # All three are ended by their clients, and what comes after them goes on.
    before = await stage.looked_at(*WORKERS)
    preview_id = await preview_of(life, seldom)
    job_id = (await client.post(JOBS, json=[{"segmentId": buyer_id}])).json()["id"]
    await life.until(f"{ESTIMATE}/{preview_id}", is_under_way)
    assert (await client.delete(f"{PREVIEW}/{preview_id}")).status_code == 200
    assert (await client.get(f"{ESTIMATE}/{preview_id}")).status_code == 404
    await life.until_looked_at(before)
    assert (await client.delete(f"{JOBS}/{job_id}")).status_code == 204
    job = await life.until(f"{JOBS}/{job_id}", lambda one: one["status"] in ENDED)
    assert job["status"] == "CANCELLED", job
    before = await stage.looked_at(*WORKERS)
    cancelled = await exported(life, buyer_id)
    path = f"{EXPORTS}/{cancelled['id']}"
    await life.until_looked_at(before)
    assert (await client.delete(path)).status_code == 200
    stage.kill("worker")
    await stage.start("worker")
    cancelled = await life.until(path, lambda one: one["status"] in ENDED)
    assert (cancelled["status"], cancelled["errors"][0]["code"]) == ("FAILED", "cancelled")
    last = await exported(life, adult_id)
    last = await life.until(f"{EXPORTS}/{last['id']}", lambda one: one["status"] in ENDED)
    assert last["status"] == "SUCCEEDED", last
    await check_export(life, last, expected[adult_id])
    ends, _ = await told(stage.bus, str(cancelled["id"]))
    assert [one for one in ends if one.get("status") == "SUCCEEDED"] == []
    batches = {one.name for one in (life.folder / "members").iterdir()}
    assert batches == {one["destination"]["batchId"] for one in (export, last)}
    # Nobody was moved by any of it.
    await life.settles(texts)
    assert {one["sequence"] for one in stage.changes if one["segmentId"] in texts} == {1}


async def test_external_audiences_and_what_else_the_control_plane_does(life: Life) -> None:
    """Imports, schedules, search and accepted updates; it dies in the midst of all of them."""
    stage, client = life.stage, life.stage.client
    folder = life.folder / "zone" / stage.bus.names.org_id / "prod"
    folder.mkdir(parents=True)
    strangers = {f"m-{number}" for number in range(ROWS)}
    friends = {f"p-{number}" for number in range(0, PEOPLE, 7)}
    members = "".join(f"{name},1\n" for name in sorted(strangers | friends))
    (folder / "members.csv").write_text(f"member,points\n{members}")
    asked = await client.post(f"{AIS}/", json=external_body("loyal"))
    operation = f"{AIS}/operations/{asked.json()['operationId']}"
    made = await life.until(operation, lambda one: one.get("audienceId"))
    loyal_id = made["audienceId"]
    text = f"{in_segment(loyal_id)} and age >= 30"
    both_id = await stage.define("loyal adults", text)
    grown_id = await stage.define("grown up", "age >= 30")
    gone_id = await stage.define("short lived", "age < 3")
    assert (await client.delete(f"{DEFINITIONS}/{gone_id}")).status_code == 200
    await stage.until_live(both_id)
    await stage.until_live(grown_id)
    runs = f"{AIS}/{loyal_id}/runs"
    due_ms = (wall_ms() // 1_000 + 6) * 1_000
    schedule = await scheduled(life, both_id, due_ms)
    run = (await client.post(runs, json={"dataFilterStartTime": 0})).json()
    run_path = f"{runs}/{run['runId']}"
    update = {"attributes": {"age": 33}}
    assert (await client.post("/profiles/m-1/updates", json=update)).status_code == 202
    assert (await client.delete("/profiles/p-31")).status_code == 202
    await life.until(run_path, lambda one: one["rows"]["accepted"])
    stage.kill("worker", "api")
    del life.people["p-31"]
    await eventually(lambda: wall_ms() > due_ms + 500, PATIENCE_S)
    await stage.start("api")
    before = (await client.get(run_path)).json()
    assert before["status"] == "PROCESSING", "it was over too soon"
    await stage.start("worker")
    run = await life.until(run_path, lambda one: one["status"] != "PROCESSING")
    assert (run["status"], run["rows"]) == (
        "SUCCESS",
        {"accepted": len(strangers | friends), "rejected": 0},
    )
    grown = life.expected({grown_id: "age >= 30"})[grown_id]
    await life.holds(
        {
            grown_id: grown | {"m-1"},
            loyal_id: strangers | friends,
            both_id: (grown & friends) | {"m-1"},
        }
    )
    told_once = {(one["sequence"], one["cause"]["kind"]) for one in stage.of_segment(loyal_id)}
    assert told_once == {(1, "external")}
    left = stage.of("p-31", grown_id)
    assert [one["status"] for one in left] == ["realized", "exited"]
    assert left[1]["cause"]["kind"] == "profile-deleted"
    assert (await client.get("/profiles/p-31")).status_code == 404
    entity = {"schema.name": "_xdm.context.profile", "entityId": "m-1"}
    found = (await client.get(f"{BASE}/access/entities", params=entity)).json()["m-1"]["entity"]
    assert found["age"] == 33
    await check_schedule(life, schedule)
    assert await names_found(life, "loyal") == ["loyal adults"]
    assert await names_found(life, "lived") == []

    # An import is ended by the end of its audience, and the worker dies on top.
    refused = await client.delete(f"{AIS}/{loyal_id}")
    assert "loyal adults" in refused.text, refused.text
    assert (await client.delete(f"{DEFINITIONS}/{both_id}")).status_code == 200
    run = (await client.post(runs, json={"dataFilterStartTime": 0})).json()
    run_path = f"{runs}/{run['runId']}"
    await life.until(run_path, lambda one: one["rows"]["accepted"])
    assert (await client.get(run_path)).json()["status"] == "PROCESSING", "it was over too soon"
    assert (await client.delete(f"{AIS}/{loyal_id}")).status_code == 204
    await stage.restart("worker-2")
    await life.holds({loyal_id: set(), both_id: set()})
    assert (await client.get(run_path)).status_code == 404
    assert {one["sequence"] for one in stage.of_segment(loyal_id)} == {1, 2}
