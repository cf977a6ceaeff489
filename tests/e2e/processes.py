"""The shipped processes as children of the test, each on its own port and log."""

from __future__ import annotations

import itertools
import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from app.adapters.local.ports import free_ports
from app.adapters.local.process import ChildProcess
from tests.integration.http.harness import credential
from tests.integration.stream.harness import eventually

STOP_S = 30.0
READY_S = 90.0
# uvicorn stops in order and then ends by the signal that told it to.
_IN_ORDER = {"worker": {0}, "api": {0, -signal.SIGTERM}}


@dataclass
class Service:
    """One process of ours that can be killed, stopped, resumed and started again."""

    name: str
    command: str
    environment: Mapping[str, str]
    port_setting: str
    folder: Path
    starts: int = 0
    process: ChildProcess | None = None
    url: str = ""

    def start(self) -> None:
        """Start it anew, with a log of its own for each start."""
        (port,) = free_ports(1)
        self.starts += 1
        self.url = f"http://127.0.0.1:{port}"
        self.process = ChildProcess(self.name, self.folder / f"{self.name}-{self.starts}.log")
        environment = {**os.environ, **self.environment, self.port_setting: str(port)}
        self.process.start([sys.executable, "-m", "app", self.command], environment)

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.is_running

    def kill(self) -> None:
        """End it as a crash would."""
        assert self.process is not None
        assert self.is_running, self.process.how_it_ended()
        self.process.kill()

    def freeze(self) -> None:
        assert self.process is not None
        self.process.send(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send(signal.SIGCONT)

    def stop(self) -> bool:
        """Stop it in order; False if that took too long."""
        return self.process is None or self.process.stop(STOP_S)

    async def ready(self, timeout_s: float = READY_S) -> None:
        """Wait until `/readyz` says so."""
        async with httpx.AsyncClient() as client:

            async def answers() -> bool:
                assert self.is_running, self.process and self.process.how_it_ended()
                try:
                    answer = await client.get(f"{self.url}/readyz", timeout=2)
                except httpx.HTTPError:
                    return False
                return answer.status_code == 200

            await eventually(answers, timeout_s)


@dataclass
class Services:
    """Everything that one test started; `close` leaves nothing behind."""

    environment: Mapping[str, str]
    folder: Path
    running: list[Service] = field(default_factory=list)

    def worker(self, name: str, **settings: str) -> Service:
        """Start a worker."""
        return self._start(name, "worker", "SEG_WORKER_PORT", settings)

    def api(
        self, org_id: str, name: str = "api", **settings: str
    ) -> tuple[Service, dict[str, str]]:
        """Start a control plane; return it and the headers of a good call."""
        path = self.folder / "credentials.json"
        entry = credential("one", "secret-token", "key", org_id, "prod")
        path.write_text(json.dumps({"credentials": [entry]}))
        settings = {"SEG_CREDENTIALS_FILE": str(path), **settings}
        headers = {
            "authorization": "Bearer secret-token",
            "x-api-key": "key",
            "x-gw-ims-org-id": org_id,
            "x-sandbox-name": "prod",
        }
        return self._start(name, "api", "SEG_API_PORT", settings), headers

    def _start(
        self, name: str, command: str, port_setting: str, settings: Mapping[str, str]
    ) -> Service:
        environment = {**self.environment, **settings}
        service = Service(name, command, environment, port_setting, self.folder)
        self.running.append(service)
        service.start()
        return service

    def stop(self) -> list[str]:
        """Stop everything in order; return what did not end well."""
        return [
            f"{one.name} did not stop in order: {one.process and one.process.how_it_ended()}"
            for one in self.running
            if not one.stop()
            or one.process is None
            or one.process.status not in _IN_ORDER[one.command]
        ]

    def close(self) -> None:
        """Kill what still runs."""
        for service in self.running:
            if service.is_running and service.process is not None:
                service.process.kill()

    def complaints(self) -> list[str]:
        """Return what the logs hold that no fault excuses: stack traces, and records lost."""
        found = []
        for log in sorted(self.folder.glob("*.log")):
            lines = log.read_text(errors="replace").splitlines()
            for number, line in enumerate(lines):
                if "Traceback" in line:
                    trace = [*itertools.takewhile(_is_of_trace, lines[number + 1 :])]
                    end = number + 1 + len(trace)
                    told = [*lines[max(number - 2, 0) : number], *trace[-6:], *lines[end : end + 1]]
                    found.append("\n    ".join([f"{log.name}:{number + 1}: {line}", *told]))
                elif "records are lost" in line:
                    found.append(f"{log.name}: {line}")
        return found


def _is_of_trace(line: str) -> bool:
    return line.startswith(" ")
