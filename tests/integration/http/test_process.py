"""`segmentation api` as a process of its own."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from app.adapters.kafka.topics import TopicPlan, ensure_topics
from app.adapters.local.ports import free_ports
from tests.integration.http.harness import DEFINITIONS, NO_KAFKA, credential, definition_body
from tests.services import LocalKafka, LocalRedis, Names

pytestmark = pytest.mark.e2e
DEADLINE_SECONDS = 30


class Api:
    """The process and how to call it."""

    def __init__(self, environment: dict[str, str], port: int, org_id: str, log: Path) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.log = log
        self.headers = {
            "authorization": "Bearer secret-token",
            "x-api-key": "key",
            "x-gw-ims-org-id": org_id,
            "x-sandbox-name": "prod",
        }
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "app", "api"],
                env={**os.environ, **environment, "SEG_API_PORT": str(port)},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + DEADLINE_SECONDS
        while time.monotonic() < deadline:
            assert self.process.poll() is None, self.log.read_text()
            try:
                if httpx.get(f"{self.url}/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.05)
        pytest.fail(self.log.read_text())


@contextmanager
def running_api(environment: dict[str, str], org_id: str, folder: Path) -> Iterator[Api]:
    path = folder / "credentials.json"
    entry = credential("one", "secret-token", "key", org_id, "prod")
    path.write_text(json.dumps({"credentials": [entry]}))
    settings = environment | {"SEG_CREDENTIALS_FILE": str(path)}
    api = Api(settings, free_ports(1)[0], org_id, folder / "api.log")
    try:
        api.wait_until_ready()
        yield api
    finally:
        api.process.kill()
        api.process.wait()


@pytest.fixture
def api(kafka: LocalKafka, redis_server: LocalRedis, names: Names, tmp_path: Path) -> Iterator[Api]:
    options = {"bootstrap_servers": [kafka.bootstrap]}
    asyncio.run(ensure_topics(options, TopicPlan(names.topic_prefix, 8, 1)))
    environment = names.environment(kafka, redis_server)
    with running_api(environment, names.org_id, tmp_path) as api:
        yield api


def stop(api: Api) -> str:
    """Stop it in order; return its log."""
    api.process.send_signal(signal.SIGTERM)
    assert api.process.wait(timeout=15) in (0, -signal.SIGTERM)
    log = api.log.read_text()
    assert "Traceback" not in log, log
    assert "secret-token" not in log
    return log


def test_it_serves_relays_and_stops_cleanly(api: Api) -> None:
    with httpx.Client(base_url=api.url, headers=api.headers) as client:
        created = client.post(DEFINITIONS, json=definition_body("served"))
        assert created.status_code == 200
        assert client.head(DEFINITIONS).status_code == 200
        assert client.get("/readyz").json()["checks"]["schedules"] == "ok"
        accepted = client.post("/profiles/p-1/updates", json={"attributes": {"a": 1}})
        assert accepted.status_code == 202, accepted.text
        deadline = time.monotonic() + DEADLINE_SECONDS
        while "segmentation_definitions_relayed_total 1.0" not in client.get("/metrics").text:
            assert time.monotonic() < deadline, api.log.read_text()
            time.sleep(0.05)
    stop(api)


def test_without_kafka_it_is_ready_and_refuses_updates(
    kafka: LocalKafka, redis_server: LocalRedis, names: Names, tmp_path: Path
) -> None:
    away = {"SEG_KAFKA_BOOTSTRAP_SERVERS": NO_KAFKA}
    environment = names.environment(kafka, redis_server) | away
    with running_api(environment, names.org_id, tmp_path) as api:
        with httpx.Client(base_url=api.url, headers=api.headers) as client:
            refused = client.post("/profiles/p-1/updates", json={"attributes": {"a": 1}})
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert client.get("/profiles/p-1").status_code == 404
            assert client.get("/readyz").status_code == 200
            text = client.get("/metrics").text
            assert "segmentation_profile_update_failures_total 1.0" in text
        assert "updates-not-acknowledged" in stop(api)
