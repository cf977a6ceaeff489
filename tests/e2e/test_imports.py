"""A control plane that is killed while it imports, through the shipped processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.e2e.stage import running_stage
from tests.e2e.test_jobs import service
from tests.integration.stream.harness import eventually
from tests.integration.stream.test_external import AIS, external_body
from tests.services import LocalKafka, LocalRedis

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.redis, pytest.mark.timeout(240)]
ROWS = 6_000


async def test_a_killed_control_plane_loses_and_repeats_no_member(
    kafka: LocalKafka, redis_server: LocalRedis, tmp_path: Path
) -> None:
    async with running_stage(kafka, redis_server, tmp_path) as stage:
        folder = tmp_path / "zone" / stage.bus.names.org_id / "prod"
        folder.mkdir(parents=True)
        rows = "".join(f"p-{number},{number}\n" for number in range(ROWS))
        (folder / "members.csv").write_text(f"member,points\n{rows}")
        asked = await stage.client.post(f"{AIS}/", json=external_body("loyal"))
        operation = f"{AIS}/operations/{asked.json()['operationId']}"

        async def made() -> str | None:
            found = (await stage.client.get(operation)).json().get("audienceId")
            return str(found) if found else None

        audience_id = await eventually(made)
        runs = f"{AIS}/{audience_id}/runs"
        run = (await stage.client.post(runs, json={"dataFilterStartTime": 0})).json()

        async def rows_taken() -> int:
            found = (await stage.client.get(f"{runs}/{run['runId']}")).json()
            return int(found["rows"]["accepted"])

        await eventually(rows_taken, 60)
        api = service(stage, "api")
        api.kill()
        api.start()
        await api.ready()
        async with httpx.AsyncClient(
            base_url=api.url, headers=dict(stage.client.headers)
        ) as client:
            before = (await client.get(f"{runs}/{run['runId']}")).json()
            assert before["rows"]["accepted"] < ROWS, "it was over too soon: the test shows nothing"

            async def ended() -> dict[str, Any] | None:
                found: dict[str, Any] = (await client.get(f"{runs}/{run['runId']}")).json()
                return found if found["status"] != "PROCESSING" else None

            found = await eventually(ended, 90)
        assert found["status"] == "SUCCESS", found
        assert found["rows"] == {"accepted": ROWS, "rejected": 0}
        await eventually(lambda: len(stage.changes) >= ROWS)
        assert sorted(one["profileId"] for one in stage.changes) == sorted(
            f"p-{number}" for number in range(ROWS)
        )
        kinds = {(one["sequence"], one["status"], one["cause"]["kind"]) for one in stage.changes}
        assert kinds == {(1, "realized", "external")}
