"""Every family of lists, walked to the end while objects come and go."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

import httpx
import pytest

from tests.integration.http.harness import AUDIENCES, DEFINITIONS, audience_body, definition_body

pytestmark = pytest.mark.redis

BASE = "/data/core/ups"
JOBS = f"{BASE}/segment/jobs"
SCHEDULES = f"{BASE}/config/schedules"
EXPORTS = f"{BASE}/export/jobs"
BEFORE = 7
LIMIT = 2

Create = Callable[[httpx.AsyncClient, int], Awaitable[httpx.Response]]


async def define(client: httpx.AsyncClient, number: int) -> httpx.Response:
    return await client.post(DEFINITIONS, json=definition_body(f"one {number}"))


async def make_audience(client: httpx.AsyncClient, number: int) -> httpx.Response:
    return await client.post(AUDIENCES, json=audience_body(f"one {number}"))


async def start_job(client: httpx.AsyncClient, number: int) -> httpx.Response:
    one = (await define(client, number)).json()["id"]
    return await client.post(JOBS, json=[{"segmentId": one}])


async def schedule(client: httpx.AsyncClient, number: int) -> httpx.Response:
    body = {
        "name": f"one {number}",
        "type": "batch_segmentation",
        "properties": {"segments": ["*"]},
        "schedule": "0 15 2 * * ?",
    }
    return await client.post(SCHEDULES, json=body)


async def export(client: httpx.AsyncClient, number: int) -> httpx.Response:
    body = {"schema": {"name": "_xdm.context.profile"}, "filter": {"emptyProfiles": bool(number)}}
    return await client.post(EXPORTS, json=body)


FAMILIES: dict[str, tuple[str, str, Create]] = {
    "definitions": (DEFINITIONS, "segments", define),
    "audiences": (AUDIENCES, "children", make_audience),
    "jobs": (JOBS, "children", start_job),
    "schedules": (SCHEDULES, "children", schedule),
    "exports": (EXPORTS, "records", export),
}


def following(document: dict[str, Any]) -> dict[str, str] | None:
    """Return the query of the next page as the page tells it; None on the last."""
    links = document.get("_links", document.get("link"))
    assert isinstance(links, dict)
    found = links.get("next")
    href = found.get("href") if isinstance(found, dict) else found
    return dict(parse_qsl(href.partition("?")[2])) if href else None


@pytest.mark.parametrize("family", FAMILIES)
async def test_nothing_is_missed_while_others_are_made(
    client: httpx.AsyncClient, family: str
) -> None:
    path, rows, create = FAMILIES[family]
    made = []
    for number in range(BEFORE):
        answer = await create(client, number)
        assert answer.status_code in (200, 201), answer.text
        made.append(str(answer.json()["id"]))
    seen: list[str] = []
    asked: dict[str, str] | None = {"limit": str(LIMIT)}
    pages = 0
    while asked is not None:
        answer = await client.get(path, params=asked)
        assert answer.status_code == 200, answer.text
        seen += [str(one["id"]) for one in answer.json()[rows]]
        asked, pages = following(answer.json()), pages + 1
        if pages <= 3:
            await create(client, BEFORE + pages)
        assert pages <= BEFORE + 3, "the walk does not end"
    # Newest first: what was there may move to a later page, and be seen twice, but is not missed.
    assert set(made) <= set(seen)
    if family == "exports":
        assert len(seen) == len(set(seen)), "its pages begin at an object, not at a number"
