"""Calls made up from our own OpenAPI document, against the shipped processes.

No answer may be an internal error, have a status or a body that the document does not tell, accept
what the document forbids, refuse what it allows, or pass without a token: see `schemathesis.toml`.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from pathlib import Path

import pytest

from tests.e2e.stage import Stage, running_stage
from tests.services import LocalKafka, LocalRedis

CONFIGURATION = Path(__file__).with_name("schemathesis.toml")
ROOT = Path(__file__).parents[2]
PHASES = "examples,coverage,fuzzing,stateful"
LONG_S = 1_800

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.kafka,
    pytest.mark.redis,
    pytest.mark.timeout(LONG_S + 300),
]


async def fuzz(stage: Stage, folder: Path, *more: str) -> str:
    """Run schemathesis; return what it said once it ended well."""
    headers = [f"--header={name}: {value}" for name, value in stage.client.headers.items()]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIGURATION), "run"),
        f"{stage.client.base_url}/openapi.json",
        *(one for one in headers if one.startswith(("--header=auth", "--header=x-"))),
        *("--phases", PHASES, "--continue-on-failure", "--no-color"),
        *("--generation-database", "none", "--suppress-health-check", "filter_too_much,too_slow"),
        *more,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": "tests.e2e.fuzz_hooks"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await process.communicate()
    said = out.decode()
    assert process.returncode == 0, said
    return said


@pytest.mark.parametrize(
    "more",
    [
        # A seed and a count, no time: the same calls each time. About two minutes.
        pytest.param(("--max-examples", "15", "--seed", "1"), id="short"),
        pytest.param(("--max-time", str(LONG_S)), id="long", marks=pytest.mark.long),
    ],
)
async def test_made_up_calls_are_answered_as_documented(
    kafka: LocalKafka,
    redis_server: LocalRedis,
    tmp_path: Path,
    more: tuple[str, ...],
) -> None:
    async with running_stage(kafka, redis_server, tmp_path) as stage:
        paths = (await stage.client.get("/openapi.json")).json()["paths"]
        operations = sum(len(methods) for methods in paths.values())
        said = await fuzz(stage, tmp_path, *more)
        assert f"Tested: {operations}" in said, said
        calls = re.search(r"(\d+) generated", said)
        assert calls, said
        assert int(calls[1]) > 10 * operations, said
        assert not stage.services.complaints()
