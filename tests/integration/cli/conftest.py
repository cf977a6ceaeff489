from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.cli.control_harness import Control, served
from tests.services import LocalRedis, Names


@pytest.fixture
def control(
    redis_server: LocalRedis,
    names: Names,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Iterator[Control]:
    """A control plane, with the environment of a caller who may do everything."""
    with served(redis_server, names, tmp_path) as (plane, url, portal):
        made = Control(plane, url, tmp_path, portal, monkeypatch, capsys)
        for name, value in made.environment.items():
            monkeypatch.setenv(name, value)
        yield made
