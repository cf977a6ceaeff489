"""The control plane on a real Redis behind a real port, and the command line in this process."""

from __future__ import annotations

import io
import json
import sys
import time
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
import uvicorn
from anyio.from_thread import BlockingPortal, start_blocking_portal
from redis.asyncio import Redis
from structlog.testing import capture_logs

from app.__main__ import main
from app.adapters.redis.control_client import connect_control
from tests.integration.http.harness import DEFINITIONS, Plane, definition_body, running_plane
from tests.services import LocalRedis, Names

SECRETS = ("token-1", "key-1")
_START_S = 20.0


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    status: int
    out: str
    err: str
    logged: Sequence[MutableMapping[str, Any]] = ()

    @property
    def document(self) -> dict[str, Any]:
        """Standard output as one line of JSON."""
        [line] = self.out.splitlines()
        document: dict[str, Any] = json.loads(line)
        return document

    @property
    def documents(self) -> list[dict[str, Any]]:
        """Standard output as lines of JSON."""
        return [json.loads(line) for line in self.out.splitlines()]


@dataclass(frozen=True)
class Control:
    """A control plane with an event loop of its own, and how to run commands against it."""

    plane: Plane
    url: str
    folder: Path
    portal: BlockingPortal
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]

    @property
    def environment(self) -> dict[str, str]:
        """The settings of a caller who may do everything."""
        return {
            "SEG_CLIENT_URL": self.url,
            "SEG_CLIENT_TOKEN": "token-1",
            "SEG_CLIENT_API_KEY": "key-1",
            "SEG_CLIENT_ORG_ID": self.plane.org_id,
        }

    def ready_file(self, **changed: str) -> Path:
        """Write what `segmentation local` would."""
        ready = {
            "api": self.url,
            "token": "token-1",
            "apiKey": "key-1",
            "orgId": self.plane.org_id,
            "sandboxName": "prod",
        }
        path = self.folder / "ready.json"
        path.write_text(json.dumps(ready | changed))
        return path

    def run(self, *arguments: str, stdin: str = "") -> Done:
        """Run a command to its end; whatever it is, no secret shows."""
        self.monkeypatch.setattr(sys, "argv", ["segmentation", *arguments])
        given = io.TextIOWrapper(io.BytesIO(stdin.encode()))
        self.monkeypatch.setattr(sys, "stdin", given)
        self.capsys.readouterr()
        # The API is in this process: what it logs is no output of the command.
        with capture_logs() as logged, pytest.raises(SystemExit) as ended:
            main()
        captured = self.capsys.readouterr()
        assert not [secret for secret in SECRETS if secret in captured.out + captured.err]
        status = ended.value.code or 0
        assert isinstance(status, int)
        return Done(status, captured.out, captured.err, logged)

    def good(self, *arguments: str, stdin: str = "") -> Done:
        """Run a command that has to succeed."""
        done = self.run(*arguments, stdin=stdin)
        assert done.status == 0, done
        return done

    def create(self, name: str, expression: str = "age > 30", **more: Any) -> str:
        """Create a definition past the command line; return its id."""
        answer = httpx.post(
            self.url + DEFINITIONS,
            json=definition_body(name, expression, **more),
            headers=self.plane.headers(),
        )
        assert answer.status_code == 200, answer.text
        return str(answer.json()["id"])

    async def _mark_live(self) -> None:
        loaded = await self.plane.store.load(self.plane.tenant)
        await self.plane.store.report_backfill(self.plane.tenant, loaded.tag, 0, 1, 1.0)

    def mark_live(self) -> None:
        """Report, as workers do, that all profiles are evaluated by what there is."""
        self.portal.call(self._mark_live)

    async def _fail(self, segment_id: str, reason: str) -> None:
        loaded = await self.plane.store.load(self.plane.tenant)
        await self.plane.store.report_failures(self.plane.tenant, loaded.tag, {segment_id: reason})

    def fail(self, segment_id: str, reason: str) -> None:
        """Report, as a worker does, that a definition cannot be compiled."""
        self.portal.call(self._fail, segment_id, reason)


async def _connected(url: str) -> Redis:
    return connect_control(url)


@contextmanager
def served(
    redis_server: LocalRedis, names: Names, folder: Path
) -> Iterator[tuple[Plane, str, BlockingPortal]]:
    """Serve a control plane; yield it, its URL, and where its event loop runs."""
    with start_blocking_portal() as portal:
        redis = portal.call(_connected, redis_server.url)
        running = running_plane(redis, names.redis_key_prefix, names.org_id, folder)
        with (
            portal.wrap_async_context_manager(running) as plane,
            portal.wrap_async_context_manager(plane.keeper.running()),
        ):
            options = uvicorn.Config(plane.application, port=0, log_level="warning")
            server = uvicorn.Server(options)
            serving = portal.start_task_soon(server.serve)
            try:
                yield plane, _url_of(server), portal
            finally:
                server.should_exit = True
                serving.result(_START_S)
        portal.call(redis.aclose)


def _url_of(server: uvicorn.Server) -> str:
    deadline = time.monotonic() + _START_S
    while not server.started:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    host, port = server.servers[0].sockets[0].getsockname()
    return f"http://{host}:{port}"


Answer = tuple[int, bytes]


@contextmanager
def another_server(*answers: Answer, **headers: str) -> Iterator[tuple[str, list[str]]]:
    """Answer one request after the other, all further ones with the last answer.

    Yields the URL, and the paths that were asked for so far.
    """
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers[min(len(asked), len(answers) - 1)]
            asked.append(self.path)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", asked
        finally:
            server.shutdown()
            thread.join()
