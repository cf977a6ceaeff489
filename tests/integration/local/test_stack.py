"""`segmentation local` as a process: ready file, restarts, a clean end, and the next run."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

Ready = dict[str, Any]

_READY_S = 90
_GONE_S = 40


@contextmanager
def _local(folder: Path, *arguments: str, environment: dict[str, str] | None = None):
    """Start the command; at the end nothing of it is left, whatever the test did."""
    ready_file = folder / "ready.json"
    command = [sys.executable, "-m", "app", "local", "--data-dir", str(folder / "data")]
    with (folder / "output.log").open("ab") as output:
        process = subprocess.Popen(
            [*command, "--ready-file", str(ready_file), "--partitions", "2", *arguments],
            env={**os.environ, **(environment or {})},
            stdout=output,
            stderr=output,
        )
    try:
        yield process, ready_file
    finally:
        process.kill()
        process.wait()


def _ready(process, ready_file: Path, is_wanted=lambda _: True) -> Ready:
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline:
        output = (ready_file.parent / "output.log").read_text()
        assert process.poll() is None, output
        if ready_file.exists():
            ready: Ready = json.loads(ready_file.read_text())
            if is_wanted(ready):
                return ready
        time.sleep(0.05)
    raise AssertionError(f"not ready in {_READY_S} s:\n{output}")


def _pids(ready: Ready) -> list[int]:
    pids = ready["pids"]
    return [pid for pid in (*pids["workers"], pids["api"], pids["kafka"], pids["redis"]) if pid]


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def _wait_until_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + _GONE_S
    while left := [pid for pid in pids if _is_running(pid)]:
        assert time.monotonic() < deadline, f"left over: {left}"
        time.sleep(0.05)


def _status(ready: Ready, token: str) -> int:
    headers = {
        "Authorization": f"Bearer {token}",
        "x-api-key": ready["apiKey"],
        "x-gw-ims-org-id": ready["orgId"],
        "x-sandbox-name": ready["sandboxName"],
    }
    url = ready["api"] + "/data/core/ups/segment/definitions"
    return httpx.get(url, headers=headers, timeout=10).status_code


def _listed_with(ready_file: Path) -> tuple[int, str]:
    """List definitions as a user of the stack would; return status and messages."""
    command = [sys.executable, "-m", "app", "definitions", "list", "--ready-file", str(ready_file)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    return done.returncode, done.stderr


@pytest.mark.e2e
@pytest.mark.timeout(300)
def test_it_restarts_what_dies_ends_cleanly_and_continues(tmp_path):
    with _local(tmp_path) as (process, ready_file):
        first = _ready(process, ready_file)
        assert stat.S_IMODE(ready_file.stat().st_mode) == 0o600
        assert first["kafkaKind"] == "apache-kafka"
        assert first["partitions"] == 2
        assert all(_is_running(pid) for pid in _pids(first))
        assert _status(first, first["token"]) == 200
        assert _status(first, "another") == 401
        assert _listed_with(ready_file) == (0, "There are no segment definitions.\n")

        [worker] = first["pids"]["workers"]
        os.kill(worker, signal.SIGKILL)
        second = _ready(process, ready_file, lambda ready: ready["pids"]["workers"] != [worker])
        assert {**second["pids"], "workers": []} == {**first["pids"], "workers": []}

        process.send_signal(signal.SIGTERM)
        assert process.wait(_GONE_S) == 0
        assert not [pid for pid in _pids(second) if _is_running(pid)]
        assert not ready_file.exists()

    with _local(tmp_path) as (process, ready_file):
        third = _ready(process, ready_file)
        assert third["token"] == first["token"]
        assert third["orgId"] == first["orgId"]

        process.kill()
        process.wait()

        _wait_until_gone(_pids(third))


@pytest.mark.e2e
@pytest.mark.timeout(200)
def test_it_uses_the_kafka_and_the_redis_given(tmp_path, kafka, redis_server, names):
    given = ["--kafka", kafka.bootstrap, "--redis", redis_server.url, "--workers", "2"]

    with _local(tmp_path, *given, environment=names.environment(kafka, redis_server)) as (
        process,
        ready_file,
    ):
        ready = _ready(process, ready_file)
        process.send_signal(signal.SIGINT)
        assert process.wait(_GONE_S) == 0

    assert ready["kafkaKind"] == "external"
    assert (ready["kafka"], ready["redis"]) == (kafka.bootstrap, redis_server.url)
    assert ready["topicPrefix"] == names.topic_prefix
    assert (ready["pids"]["kafka"], ready["pids"]["redis"]) == (0, 0)
    assert len(ready["pids"]["workers"]) == 2
    assert kafka.is_running
    assert redis_server.is_running
    assert not [pid for pid in _pids(ready) if _is_running(pid)]
