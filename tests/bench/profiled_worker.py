"""A worker under cProfile: `python -m tests.bench.profiled_worker FILE`, stopped with SIGTERM."""

from __future__ import annotations

import cProfile
import sys

from app.__main__ import main


def profiled(path: str) -> None:
    """Run the worker and write the profile of its main thread."""
    profile = cProfile.Profile()
    sys.argv = ["segmentation", "worker"]
    try:
        profile.runcall(main)
    finally:
        profile.dump_stats(path)


if __name__ == "__main__":
    profiled(sys.argv[1])
