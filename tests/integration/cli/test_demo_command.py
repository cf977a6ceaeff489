"""The demo as a person runs it: every process real, in a terminal that is none."""

import asyncio
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from app.adapters.cli.samples import SAMPLES

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(150)]

# Long enough for the windows of 10, 12 and 15 s to open and to close.
SECONDS = 22


async def test_the_demo_shows_every_sample_and_leaves_nothing_behind(tmp_path: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "app", "demo", "--seconds", str(SECONDS)),
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), 140)
    shown = output.decode()

    assert process.returncode == 0, errors.decode() + shown
    assert errors == b""
    for sample in SAMPLES:
        row = re.search(
            rf"^{re.escape(sample.name)} +[\d,]+ members +([\d,]+) entered", shown, re.M
        )
        assert row, sample.name
        assert row[1] != "0", f"nobody entered {sample.name!r}\n{shown}"
    for cause in ("event", "attribute", "time", "cascade"):
        assert re.search(rf"\d by {cause}\b", shown), f"no change by {cause}\n{shown}"
    assert "changes seen twice: 0, gaps in sequences: 0" in shown
    assert list(tmp_path.iterdir()) == []
