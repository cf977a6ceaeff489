import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest

from app.adapters.cli import local_stack as module
from app.adapters.cli.demo import check
from app.adapters.cli.demo_model import DemoModel
from app.adapters.cli.demo_tasks import create_samples, epoch_ms, run_beside, watch_stack
from app.adapters.cli.local_stack import (
    DemoFailed,
    DemoStopped,
    Pids,
    Ready,
    died,
    local_stack,
    place_of,
    replaced,
)
from app.adapters.cli.samples import SAMPLES

READY = {
    "kafka": "127.0.0.1:45001",
    "kafkaKind": "apache-kafka",
    "redis": "redis://127.0.0.1:45002/0",
    "api": "http://127.0.0.1:45003",
    "token": "secret",
    "apiKey": "key",
    "orgId": "o@AdobeOrg",
    "sandboxName": "prod",
    "topicPrefix": "segmentation.",
    "partitions": 8,
    "pids": {"workers": [11, 12], "api": 13, "kafka": 14, "redis": 15},
}

# What `segmentation local` does as far as the demo sees it.
CHILD = """
import json, os, signal, sys, time
path, ready = sys.argv[1:]
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
with open(path + ".new", "w") as file:
    file.write(ready)
os.replace(path + ".new", path)
while True:
    time.sleep(0.05)
"""


def ready(**changes: Any) -> Ready:
    return msgspec.json.decode(json.dumps(READY | changes), type=Ready)


def child(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> None:
    monkeypatch.setattr(module, "_command", lambda *_: [sys.executable, "-c", *arguments])


def test_the_ready_file_carries_the_credential() -> None:
    assert ready().headers() == {
        "Authorization": "Bearer secret",
        "x-api-key": "key",
        "x-gw-ims-org-id": "o@AdobeOrg",
        "x-sandbox-name": "prod",
    }


def test_where_things_run_names_no_password() -> None:
    place = place_of(ready(redis="redis://user:hidden@127.0.0.1:6379/0"), Path("/t"))
    assert "hidden" not in str(place)
    assert place["workers"] == 2


def test_what_died_is_told_by_its_process_id() -> None:
    before = ready().pids
    assert replaced(before, before) == []
    after = ready(pids={**READY["pids"], "workers": [11, 99], "redis": 98}).pids  # type: ignore[dict-item]
    assert replaced(before, after) == ["Redis (process 15)", "a worker (process 12)"]


def test_a_process_that_is_gone_is_noticed_before_it_is_replaced() -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    own = os.getpid()
    pids = Pids(workers=(own, ended.pid), api=own, kafka=0, redis=own)
    assert died(pids) == [f"a worker (process {ended.pid})"]


async def test_the_stack_is_watched_and_stopped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = os.getpid()
    before = READY | {"pids": {"workers": [own], "api": own, "kafka": own, "redis": 0}}
    child(monkeypatch, CHILD, str(tmp_path / "ready.json"), json.dumps(before))

    async with local_stack(tmp_path, 1, asyncio.Event()) as stack:
        assert stack.ready == ready(**before)
        assert stack.trouble() == ""
        after = READY | {"pids": {"workers": [own + 1], "api": own, "kafka": own, "redis": 0}}
        (tmp_path / "ready.json").write_text(json.dumps(after))
        assert stack.trouble() == f"a worker (process {own}) died (data/logs says why)"

    assert not stack.is_running


async def test_a_child_that_ends_is_told_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child(monkeypatch, "import sys; print('no java here'); sys.exit(3)")

    with pytest.raises(DemoFailed, match=r"(?s)status 3.*no java here"):
        async with local_stack(tmp_path, 1, asyncio.Event()):
            pass


async def test_waiting_can_be_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    child(monkeypatch, "import time; time.sleep(60)")
    stop = asyncio.Event()
    stop.set()

    with pytest.raises(DemoStopped, match="stopped before"):
        async with local_stack(tmp_path, 1, stop):
            pass


async def test_the_end_of_the_stack_ends_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child(monkeypatch, CHILD, str(tmp_path / "ready.json"), json.dumps(READY))

    async with local_stack(tmp_path, 1, asyncio.Event()) as stack:
        stack._child.kill()
        with pytest.raises(DemoFailed, match="ended with status -9"):
            await asyncio.wait_for(watch_stack(stack, DemoModel(60, 0)), 5)


Handler = Callable[[httpx.Request], httpx.Response]


async def created(handler: Handler) -> DemoModel:
    model = DemoModel(seconds=60, started_ms=0)
    await create_samples(ready(), model, httpx.MockTransport(handler))
    return model


async def test_samples_are_created_with_the_credential_and_ask_each_other() -> None:
    seen: list[dict[str, Any]] = []

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/data/core/ups/segment/definitions"
        assert request.headers["Authorization"] == "Bearer secret"
        seen.append(json.loads(request.content))
        return httpx.Response(200, json={"id": f"id-{len(seen)}"})

    model = await created(answer)

    assert [body["name"] for body in seen] == [sample.name for sample in SAMPLES]
    assert 'inSegment("id-2")' in seen[-1]["expression"]["value"]
    assert list(model.segments) == [f"id-{number + 1}" for number in range(len(SAMPLES))]


async def test_a_taken_name_gets_a_suffix() -> None:
    taken = {SAMPLES[0].name}

    def answer(request: httpx.Request) -> httpx.Response:
        name = json.loads(request.content)["name"]
        return httpx.Response(422) if name in taken else httpx.Response(200, json={"id": name})

    model = await created(answer)

    assert next(iter(model.segments)).startswith(SAMPLES[0].name + " (")


async def test_a_refusal_is_told_in_the_words_of_the_api() -> None:
    with pytest.raises(DemoFailed, match=r"Lives in Oslo.*status 400: no such function"):
        await created(lambda _request: httpx.Response(400, text="no such function"))


async def test_an_api_that_is_gone_is_told() -> None:
    def refuse(_request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused")

    with pytest.raises(DemoFailed, match="does not answer"):
        await created(refuse)


async def test_the_others_end_with_the_main_task() -> None:
    ended = asyncio.Event()

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    await run_beside(asyncio.sleep(0), endless())
    assert ended.is_set()


async def test_an_error_of_one_ends_all() -> None:
    async def fail() -> None:
        raise DemoFailed("one of them")

    with pytest.raises(DemoFailed, match="one of them"):
        await asyncio.wait_for(run_beside(asyncio.Event().wait(), fail()), 5)


def test_timestamps_are_read_to_the_millisecond() -> None:
    assert epoch_ms("2026-01-05T10:00:00.007Z") == 1_767_607_200_007
    assert epoch_ms("2026-01-05T10:00:00Z") == 1_767_607_200_000


def model(changes: int = 1, **fields: Any) -> DemoModel:
    made = DemoModel(seconds=60, started_ms=0)
    made.changes.total = changes
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def test_a_good_demo_passes() -> None:
    check(model())


@pytest.mark.parametrize(
    ("made", "reason"),
    [
        (model(changes=0), "no membership change"),
        (model(trouble="a worker (process 3) died"), "process 3"),
        (model(lag=12), "12 were left"),
        (model(repeated=1), "1 changes were seen twice"),
        (model(gaps=2), "2 are missing"),
    ],
)
def test_a_demo_that_shows_less_fails_with_the_reason(made: DemoModel, reason: str) -> None:
    with pytest.raises(DemoFailed, match=reason):
        check(made)
