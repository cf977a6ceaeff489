"""A worker's `/livez`, `/readyz` and `/metrics` on a small HTTP port."""

from __future__ import annotations

from collections.abc import Callable

import orjson
from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest


class HealthServer:
    """Serves until stopped.

    Args:
        problems: Returns why the worker is not ready; empty when it is.

    Attributes:
        port: The port taken; differs from the one asked for where that was 0.
    """

    def __init__(
        self,
        host: str,
        port: int,
        problems: Callable[[], list[str]],
        registry: CollectorRegistry,
    ) -> None:
        self._host = host
        self._problems = problems
        self._registry = registry
        self._runner: web.AppRunner | None = None
        self.port = port

    async def start(self) -> None:
        """Bind the port.

        Raises:
            OSError: It is taken.
        """
        application = web.Application()
        application.router.add_get("/livez", self._live)
        application.router.add_get("/readyz", self._ready)
        application.router.add_get("/metrics", self._metrics)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._host, self.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Close the port."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _live(self, request: web.Request) -> web.Response:
        return _json(200, {"status": "live"})

    async def _ready(self, request: web.Request) -> web.Response:
        problems = self._problems()
        if problems:
            return _json(503, {"status": "not ready", "problems": problems})
        return _json(200, {"status": "ready"})

    async def _metrics(self, request: web.Request) -> web.Response:
        body = generate_latest(self._registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


def _json(status: int, value: object) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(value), content_type="application/json")
