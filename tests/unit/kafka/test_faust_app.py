"""What Faust is kept from."""

from __future__ import annotations

from pathlib import Path

import faust

from app.adapters.kafka.faust_app import FaustApp


def test_no_folders_are_made(tmp_path: Path) -> None:
    """They would outlive a worker that is killed."""
    plain = faust.App("plain", datadir=tmp_path / "plain", store="memory://")
    plain._create_directories()
    assert (tmp_path / "plain").exists(), "the library makes them elsewhere now"

    FaustApp("ours", datadir=tmp_path / "ours", store="memory://")._create_directories()

    assert not (tmp_path / "ours").exists()
