"""Reading a process from outside: its processor time from /proc, its counters from /metrics."""

from __future__ import annotations

import os
import re
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field

_TICKS = os.sysconf("SC_CLK_TCK")
_COUNTER = re.compile(
    r"^segmentation_(\w+?)_total(?:\{\w+=\"([\w-]+)\"[^}]*\})? (\S+)$", re.MULTILINE
)
_TIMEOUT_S = 30.0


def cpu_seconds(pid: int) -> float:
    """Return user and system time of all threads of a process."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def peak_mib(pid: int) -> float:
    """Return the largest resident size of a process so far."""
    with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as status:
        line = next(line for line in status if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


@dataclass
class Sample:
    """A worker at one instant; `cpu` by process name, in seconds."""

    at_s: float
    applied: int
    changes: int
    transactions: int
    batches: int
    timers: int
    refused: int
    cpu: dict[str, float] = field(default_factory=dict)


class Meter:
    """Samples one worker and the servers beside it.

    Args:
        port: Of the worker's /metrics.
        pids: By the name to report.
    """

    def __init__(self, port: int, pids: dict[str, int]) -> None:
        self._url = f"http://127.0.0.1:{port}"
        self._pids = pids

    def is_ready(self) -> bool:
        """Whether the worker says that it is ready."""
        try:
            with urllib.request.urlopen(f"{self._url}/readyz", timeout=_TIMEOUT_S):
                return True
        except OSError:
            return False

    def sample(self) -> Sample:
        """Return the counters and processor times now."""
        with urllib.request.urlopen(f"{self._url}/metrics", timeout=_TIMEOUT_S) as answer:
            text = answer.read().decode()
        found: dict[tuple[str, str], int] = {}
        for name, label, value in _COUNTER.findall(text):
            found[name, label] = int(float(value))
        updates = {label: count for (name, label), count in found.items() if name == "updates"}
        applied = updates.pop("applied", 0)
        return Sample(
            time.monotonic(),
            applied,
            sum(count for (name, _), count in found.items() if name == "changes"),
            found.get(("transactions", ""), 0),
            found.get(("batches", ""), 0),
            found.get(("timers", ""), 0),
            sum(updates.values()),
            {name: cpu_seconds(pid) for name, pid in self._pids.items()},
        )
