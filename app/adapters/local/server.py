"""A local server that is started, killed, stopped and started again on the same data and port."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from pathlib import Path

from app.adapters.local.ports import free_ports
from app.adapters.local.process import ChildProcess, ProcessOwner
from app.domain.errors import Unavailable

_ATTEMPTS = 5
_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 15.0


class LocalServer(ProcessOwner, ABC):
    """A server process on loopback, with its data in one folder.

    The first start takes free ports; later ones keep them, so that clients find it again.

    Args:
        name: For messages and file names.
        folder: For configuration, log and data; made when absent, its data continued.
    """

    _port_count = 1

    def __init__(self, name: str, folder: Path) -> None:
        self._folder = folder
        self._data = folder / "data"
        self._ports: list[int] = []
        self._process = ChildProcess(name, folder / f"{name}.log")

    def start(self) -> None:
        """Start it and return when it answers.

        Raises:
            Unavailable: If it does not start; says what it wrote.
            ConfigurationError: If it, or what it needs, is not on this machine.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        keep_ports = bool(self._ports)
        for _ in range(_ATTEMPTS):
            if not keep_ports:
                self._ports = free_ports(self._port_count)
            arguments = self._prepare()
            self._process.start(arguments)
            if self._process.wait_until(self._is_ready, _START_TIMEOUT_S):
                return
            if not self._is_port_taken(self._process.log_text()):
                break
        self._process.kill()
        raise Unavailable(
            f"{self.name} does not start. It wrote ({self.log_file}):\n{self._process.log_tail()}"
        )

    def is_ready(self) -> bool:
        """Whether it works: `start` returned, and it is still there."""
        return self.is_running

    def ask_to_stop(self) -> None:  # nothing to do is the answer, not a gap
        """Do nothing: what uses the server stops first."""

    def stop(self) -> None:
        """Stop it in order; kill it if that takes too long."""
        self._process.stop(_STOP_TIMEOUT_S)

    def kill(self) -> None:
        """Kill it, as a crash would, and wait until it is gone."""
        self._process.kill()

    def restart(self) -> None:
        """Stop it in order if it runs, and start it again on the same data and ports."""
        self.stop()
        self.start()

    def copy_data(self, target: Path) -> None:
        """Copy its data as it is at this moment, to go back to with `restore_data`."""
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(self._data, target)

    def restore_data(self, source: Path) -> None:
        """Kill it, put back what `copy_data` copied, and start it again."""
        self.kill()
        shutil.rmtree(self._data)
        shutil.copytree(source, self._data)
        self.start()

    @abstractmethod
    def _prepare(self) -> list[str]:
        """Write what the server reads and return its command line."""

    @abstractmethod
    def _is_ready(self) -> bool:
        """Whether it answers."""

    @abstractmethod
    def _is_port_taken(self, log: str) -> bool:
        """Whether it ended because somebody else has its port."""
