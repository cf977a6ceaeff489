"""The guards of all tests catch what they should: run in a pytest of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]

_SWALLOWS = """
import contextlib, socket
{marker}
def test_connects():
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", 9), timeout=0.2)
"""


_HANGS = """
import asyncio, contextlib
async def test_leaves_a_task():
    async def stubborn():
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(100)
    task = asyncio.create_task(stubborn(), name="left behind")
    await asyncio.sleep(0)
"""


@pytest.mark.parametrize(("marker", "status"), [("", 1), ("import pytest\n@pytest.mark.redis", 0)])
def test_network_use_fails_unmarked_tests_even_when_swallowed(tmp_path, marker, status):
    (tmp_path / "conftest.py").write_text(
        "from tests.conftest import *\nfrom tests.conftest import _no_network\n"
    )
    (tmp_path / "test_it.py").write_text(_SWALLOWS.format(marker=marker))

    result = run(tmp_path)

    assert result.returncode == status, result.stdout
    assert ("used the network without a marker" in result.stdout) == bool(status)


def test_a_process_whose_test_does_not_end_is_ended(tmp_path):
    (tmp_path / "conftest.py").write_text(
        "from tests import watchdog\nfrom tests.watchdog import *\nwatchdog.SPARE_S = 0.5\n"
    )
    (tmp_path / "test_it.py").write_text(_HANGS)

    result = run(tmp_path)

    assert result.returncode == 1
    assert "test_leaves_a_task did not end within 1 s" in result.stderr
    assert "left behind" in result.stderr


def test_what_a_test_waits_for_is_told_before_its_timeout(tmp_path):
    (tmp_path / "conftest.py").write_text(
        "from tests import watchdog\nfrom tests.watchdog import *\nwatchdog._BEFORE_S = 0.8\n"
    )
    waits = (
        "import asyncio\nasync def never_comes():\n    await asyncio.Event().wait()\n"
        "async def test_waits():\n    await never_comes()\n"
    )
    (tmp_path / "test_it.py").write_text(waits)

    result = run(tmp_path, "--timeout", "1")

    assert "Timeout (>1.0s)" in result.stdout
    assert "test_waits did not end within 0 s" in result.stderr
    assert f"  never_comes ({tmp_path / 'test_it.py'}:3)\n  Event.wait (" in result.stderr


def test_a_test_without_a_timeout_is_not_ended(tmp_path):
    (tmp_path / "conftest.py").write_text(
        "from tests import watchdog\nfrom tests.watchdog import *\nwatchdog.SPARE_S = 0.1\n"
    )
    slow = "import threading\ndef test_waits():\n    threading.Event().wait(0.5)\n"
    (tmp_path / "test_it.py").write_text(slow)

    # As the nightly properties are run: the setting is not in force.
    result = run(tmp_path, "-o", "timeout=0.2", "--timeout", "0")

    assert result.returncode == 0, result.stderr


def run(tests: Path, *more: str) -> subprocess.CompletedProcess[str]:
    options = ["-q", f"--rootdir={_ROOT}", f"-c{_ROOT}/pyproject.toml", "-p", "no:cacheprovider"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options, *more, str(tests)],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
