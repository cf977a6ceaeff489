"""One child process: its start, its end, and what it said.

Invariants: the child dies with this process (`exec_guard`); it is in a session of its own, so that
Ctrl-C reaches only the supervisor, which then stops all in order; it is signalled by its own pid
and only while that pid is surely still its own.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from app.adapters.local import exec_guard
from app.domain.errors import Unavailable

_POLL_S = 0.02
_TAIL_BYTES = 4_000
_TAIL_LINES = 15

# Linux sends the parent-death signal when the *thread* that made the child ends. One thread that
# lives as long as this process therefore makes all of them.
_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")


class ChildProcess:
    """A program that can be started again after it ended.

    Args:
        name: For messages.
        log_file: Gets what the program writes; begins anew with each start, the output of the run
            before is kept beside it with `.1` added.
    """

    def __init__(self, name: str, log_file: Path) -> None:
        self.name = name
        self.log_file = log_file
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id; 0 before the first start."""
        return self._process.pid if self._process else 0

    @property
    def status(self) -> int | None:
        """The exit status, negative for a signal; None while it runs or was never started."""
        return self._process.poll() if self._process else None

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended."""
        return self._process is not None and self._process.poll() is None

    def start(self, arguments: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        """Start the program; it must not be running.

        Args:
            arguments: Program and arguments.
            environment: All of its environment; None gives it ours.
        """
        self.log_file.parent.mkdir(parents=True, exist_ok=True)
        if self.log_file.exists():
            self.log_file.replace(self.log_file.with_name(self.log_file.name + ".1"))
        guarded = [sys.executable, "-I", "-S", str(Path(exec_guard.__file__))]
        with self.log_file.open("ab") as log:
            self._process = _spawner.submit(
                subprocess.Popen,
                [*guarded, str(os.getpid()), *arguments],
                env=None if environment is None else dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            ).result()

    def stop(self, timeout_s: float) -> bool:
        """Ask it to end, kill it when `timeout_s` have passed, and wait until it is gone.

        Returns:
            False if it had to be killed.
        """
        self.send(signal.SIGTERM)
        # A stopped process (SIGSTOP) sees no SIGTERM until it goes on.
        self.send(signal.SIGCONT)
        try:
            if self._process is not None:
                self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            return False
        return True

    def kill(self) -> None:
        """End it at once and wait until it is gone."""
        self.send(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()

    def send(self, number: signal.Signals) -> None:
        """Send a signal if it runs; Popen knows when the pid is no longer its own."""
        if self._process is not None:
            self._process.send_signal(number)

    def log_text(self) -> str:
        """Return all that this run has written."""
        return self.log_file.read_text(encoding="utf-8", errors="replace")

    def log_tail(self) -> str:
        """Return the last lines that this run has written, for an error message."""
        if not self.log_file.exists():
            return "(it wrote nothing)"
        with self.log_file.open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - _TAIL_BYTES))
            lines = log.read().decode(errors="replace").strip().splitlines()
        return "\n".join(lines[-_TAIL_LINES:]) or "(it wrote nothing)"

    def how_it_ended(self) -> str:
        """Return the exit status and what it wrote last."""
        return (
            f"{self.name} ended with status {self.status}."
            f" It wrote last ({self.log_file}):\n{self.log_tail()}"
        )

    def wait_until(self, is_ready: Callable[[], bool], timeout_s: float) -> bool:
        """Wait until `is_ready`.

        Returns:
            False if the program ended instead.

        Raises:
            Unavailable: If neither happened in `timeout_s`; says what the program wrote last.
        """
        deadline = time.monotonic() + timeout_s
        while self.is_running:
            if is_ready():
                return True
            if time.monotonic() > deadline:
                raise Unavailable(
                    f"{self.name} did not become ready in {timeout_s:.0f} s."
                    f" It wrote last ({self.log_file}):\n{self.log_tail()}"
                )
            time.sleep(_POLL_S)
        return False


class ProcessOwner:
    """What a server and a service have in common: one child process, and what is known of it."""

    _process: ChildProcess

    @property
    def name(self) -> str:
        """Its name, for messages."""
        return self._process.name

    @property
    def pid(self) -> int:
        """Process id; 0 before the first start."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self._process.is_running

    @property
    def log_file(self) -> Path:
        """What it writes."""
        return self._process.log_file

    def how_it_ended(self) -> str:
        """Return its status and what it wrote last."""
        return self._process.how_it_ended()
