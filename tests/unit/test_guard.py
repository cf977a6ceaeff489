"""The no-network guard catches what it should: run in a pytest of its own."""

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


@pytest.mark.parametrize(("marker", "status"), [("", 1), ("import pytest\n@pytest.mark.redis", 0)])
def test_network_use_fails_unmarked_tests_even_when_swallowed(tmp_path, marker, status):
    (tmp_path / "conftest.py").write_text(
        "from tests.conftest import *\nfrom tests.conftest import _no_network\n"
    )
    (tmp_path / "test_it.py").write_text(_SWALLOWS.format(marker=marker))

    result = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            f"--rootdir={_ROOT}",
            f"-c{_ROOT}/pyproject.toml",
            "-p",
            "no:cacheprovider",
            str(tmp_path),
        ],
        cwd=_ROOT,
        capture_output=True,
        text=True,
        check=False,
    )

    assert result.returncode == status, result.stdout
    assert ("used the network without a marker" in result.stdout) == bool(status)
