"""`segmentation local` as a child process, for as long as the demo runs."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from app.adapters.cli.control.connection import ApiAccess
from app.adapters.local.process import ChildProcess
from app.domain.errors import UserError

_READY_TIMEOUT_S = 300.0
_STOP_TIMEOUT_S = 30.0
_POLL_S = 0.1


class DemoFailed(UserError):
    """The demo could not show what it is there to show; the message says why."""

    code = "demo-failed"


class DemoStopped(UserError):
    """Somebody stopped the demo before there was anything to show."""

    code = "demo-stopped"


class Pids(msgspec.Struct, frozen=True):
    """Process ids; 0 for what was given and not started."""

    workers: tuple[int, ...]
    api: int
    kafka: int
    redis: int


class Ready(msgspec.Struct, frozen=True, rename="camel"):
    """What `segmentation local` writes when everything answers."""

    kafka: str
    kafka_kind: str
    redis: str
    api: str
    token: str
    api_key: str
    org_id: str
    sandbox_name: str
    topic_prefix: str
    partitions: int
    pids: Pids

    def headers(self) -> dict[str, str]:
        """Return the request headers that the control plane asks for (API reference)."""
        access = ApiAccess(self.api, self.token, self.api_key, self.org_id, self.sandbox_name)
        return access.headers()


def replaced(before: Pids, after: Pids) -> list[str]:
    """Return what died, told by the process ids that are no longer the same."""
    named = [("the API", before.api, after.api), ("Kafka", before.kafka, after.kafka)]
    named += [("Redis", before.redis, after.redis)]
    gone = [f"{name} (process {old})" for name, old, new in named if old != new]
    lost = [pid for pid in before.workers if pid not in after.workers]
    return gone + [f"a worker (process {pid})" for pid in lost]


def died(pids: Pids) -> list[str]:
    """Return which of the processes are no longer there."""
    there = Pids(
        tuple(pid for pid in pids.workers if _is_there(pid)),
        *(pid if _is_there(pid) else -1 for pid in (pids.api, pids.kafka, pids.redis)),
    )
    return replaced(pids, there)


def _is_there(pid: int) -> bool:
    if pid == 0:  # given, not started
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@dataclass(frozen=True, slots=True)
class LocalStack:
    """The running child.

    Attributes:
        ready: What it said when everything answered.
        folder: Holds its data, ready file and log.
    """

    ready: Ready
    folder: Path
    _child: ChildProcess

    @property
    def is_running(self) -> bool:
        """Whether the child is alive."""
        return self._child.is_running

    def trouble(self) -> str:
        """Return what died since the start; empty while all is well."""
        if not self._child.is_running:
            return _ended(self._child)
        now = _read_ready(self.folder)
        # The file is written anew only when all is well again, which may be never.
        gone = (replaced(self.ready.pids, now.pids) if now else []) or died(self.ready.pids)
        return f"{' and '.join(gone)} died (data/logs says why)" if gone else ""


@asynccontextmanager
async def local_stack(folder: Path, workers: int, stop: asyncio.Event) -> AsyncIterator[LocalStack]:
    """Start `segmentation local` on a folder, wait until it is ready, and stop it in the end.

    The child dies with this process, whatever ends it, and Ctrl-C reaches only this process.

    Args:
        folder: For its data, ready file and log.
        workers: How many workers it runs.
        stop: Ends the waiting.

    Raises:
        DemoFailed: If it ends, or is not ready within five minutes, or does not stop.
        DemoStopped: If `stop` was set before it was ready.
    """
    child = ChildProcess("segmentation local", folder / "local.log")
    child.start(_command(folder, workers))
    try:
        ready = await _wait_until_ready(child, folder, stop)
        yield LocalStack(ready, folder, child)
    finally:
        stopped = await asyncio.to_thread(child.stop, _STOP_TIMEOUT_S)
    if not stopped:
        raise DemoFailed(
            f"`segmentation local` did not stop within {_STOP_TIMEOUT_S:.0f} s and was killed"
        )


def _command(folder: Path, workers: int) -> list[str]:
    options = {
        "--workers": str(workers),
        "--data-dir": str(folder / "data"),
        "--ready-file": str(folder / "ready.json"),
    }
    words = [word for option in options.items() for word in option]
    return [sys.executable, "-m", "app", "local", *words]


async def _wait_until_ready(child: ChildProcess, folder: Path, stop: asyncio.Event) -> Ready:
    deadline = time.monotonic() + _READY_TIMEOUT_S
    while time.monotonic() < deadline:
        if stop.is_set():
            raise DemoStopped("stopped before everything was ready")
        if not child.is_running:
            raise DemoFailed(_ended(child))
        ready = _read_ready(folder)
        if ready is not None:
            return ready
        await asyncio.sleep(_POLL_S)
    raise DemoFailed(
        f"Kafka, Redis, workers and API were not ready within {_READY_TIMEOUT_S:.0f} s;"
        f" `segmentation local` wrote last:\n{child.log_tail()}"
    )


def _ended(child: ChildProcess) -> str:
    return (
        f"`segmentation local` ended with status {child.status}; it wrote last:\n{child.log_tail()}"
    )


def _read_ready(folder: Path) -> Ready | None:
    try:
        return msgspec.json.decode((folder / "ready.json").read_bytes(), type=Ready)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise DemoFailed(
            f"the ready file of `segmentation local` is not as expected: {error}"
        ) from None


def place_of(ready: Ready, folder: Path) -> dict[str, Any]:
    """Return where things run, as the fields of `demo_model.Place`."""
    return {
        "kafka": ready.kafka,
        "kafka_kind": ready.kafka_kind,
        "redis": ready.redis.rpartition("@")[2] or ready.redis,
        "api": ready.api,
        "workers": len(ready.pids.workers),
        "folder": str(folder),
    }
