"""Become another program that dies with the process that asked for it.

Run as a script: `exec_guard.py PARENT_PID PROGRAM ARGUMENT…`. Linux kills the program as soon as
its parent is gone, however that ended, so a killed supervisor leaves no orphan. Other systems have
no such call; there the program is only started.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Set the parent-death signal and replace this process by the program."""
    parent_pid, program = int(arguments[0]), arguments[1]
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    # It may have died before the call above: then no signal comes any more.
    if os.getppid() != parent_pid:
        sys.exit(1)
    os.execvp(program, arguments[1:])  # noqa: S606  # no shell is wanted


if __name__ == "__main__":
    main(sys.argv[1:])
