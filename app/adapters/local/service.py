"""A worker or the API as a process: on a free loopback port, ready when its `/readyz` says so."""

from __future__ import annotations

import http.client
import signal
import sys
from collections.abc import Mapping
from pathlib import Path

from app.adapters.local.ports import LOOPBACK, free_ports
from app.adapters.local.process import ChildProcess, ProcessOwner

_READY_TIMEOUT_S = 1.0
_STOP_TIMEOUT_S = 30.0


class LocalService(ProcessOwner):
    """One process of ours.

    Args:
        name: For messages and the log file, such as `worker-1`.
        command: The subcommand of the command line, such as `worker`.
        environment: All of its environment but the port.
        log_folder: Gets `<name>.log`.
        port: The port; 0 takes a free one at each start.
    """

    def __init__(
        self,
        name: str,
        command: str,
        environment: Mapping[str, str],
        log_folder: Path,
        port: int = 0,
    ) -> None:
        self._command = command
        self._environment = environment
        self._wanted_port = port
        self._process = ChildProcess(name, log_folder / f"{name}.log")
        self.port = port

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://{LOOPBACK}:{self.port}"

    def start(self) -> None:
        """Start the process; `is_ready` tells when it works."""
        self.port = self._wanted_port or free_ports(1)[0]
        port = {f"SEG_{self._command.upper()}_PORT": str(self.port)}
        self._process.start(
            [sys.executable, "-m", "app", self._command], {**self._environment, **port}
        )

    def is_ready(self) -> bool:
        """Whether `/readyz` answers 200."""
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=_READY_TIMEOUT_S)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status == http.HTTPStatus.OK
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    def ask_to_stop(self) -> None:
        """Send SIGTERM, without waiting."""
        self._process.send(signal.SIGTERM)

    def stop(self) -> None:
        """Stop it in order; kill it if that takes too long."""
        self._process.stop(_STOP_TIMEOUT_S)
