"""`segmentation local`: Kafka, Redis, workers and the API on this machine, from one command."""

from __future__ import annotations

import fcntl
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import structlog
from rich.console import Console
from rich.table import Table

from app.adapters.local.credential import LocalCredential, load_or_create
from app.adapters.local.files import write_private_json
from app.adapters.local.kafka import LocalKafka
from app.adapters.local.redis import LocalRedis
from app.adapters.local.service import LocalService
from app.adapters.local.supervisor import Supervisor
from app.adapters.logs import redact_text
from app.domain.errors import ConfigurationError

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LocalOptions:
    """What to run.

    Attributes:
        data_dir: Everything that is kept; a second run on it continues.
        ready_file: Written each time all is ready; None writes none.
        kafka: Bootstrap servers of a Kafka that runs already; None starts one.
        redis: URL of a Redis that runs already; None starts one.
        api_port: 0 takes a free one.
        org_id: Organisation of the credential; empty for the one of the data folder.
        environment: What the workers and the API find in their environment, beside the addresses
            of what is started here.
        create_topics: Called with the bootstrap servers before anything uses a topic.
    """

    workers: int
    partitions: int
    data_dir: Path
    ready_file: Path | None
    kafka: str | None
    redis: str | None
    api_port: int
    org_id: str
    sandbox_name: str
    topic_prefix: str
    environment: Mapping[str, str]
    create_topics: Callable[[str], None]


def run(options: LocalOptions) -> int:
    """Run the stack until SIGINT, SIGTERM or SIGHUP, then stop all of it.

    Returns:
        Exit status 0.

    Raises:
        ConfigurationError: The data folder is in use, or something is not installed.
        Unavailable: A part does not start; says what it wrote.
    """
    stop = Event()
    with _only_user_of(options.data_dir), _stop_on_signals(stop):
        if options.ready_file:
            options.ready_file.unlink(missing_ok=True)
        stack = _Stack(options)
        try:
            stack.run(stop)
        finally:
            _log.info("stopping")
            stack.stop()
            if options.ready_file:
                options.ready_file.unlink(missing_ok=True)
    return 0


class _Stack:
    """The parts, in the order of their start."""

    def __init__(self, options: LocalOptions) -> None:
        self._options = options
        self._kafka = None if options.kafka else LocalKafka(options.data_dir / "kafka")
        self._redis = None if options.redis else LocalRedis(options.data_dir / "redis")
        self._credential = load_or_create(options.data_dir, options.org_id, options.sandbox_name)
        self._workers: list[LocalService] = []
        self._api: LocalService | None = None
        self._supervisor: Supervisor | None = None

    def run(self, stop: Event) -> None:
        """Start everything and look after it until `stop` is set."""
        self._start_servers()
        if stop.is_set():
            return
        self._options.create_topics(self._bootstrap)
        environment = self._service_environment()
        logs = self._options.data_dir / "logs"
        self._workers = [
            LocalService(f"worker-{number}", "worker", environment, logs)
            for number in range(1, self._options.workers + 1)
        ]
        self._api = LocalService("api", "api", environment, logs, self._options.api_port)
        self._supervisor = Supervisor([*self._workers, self._api], self._announce)
        for server in self._servers():
            self._supervisor.adopt(server)
        _log.info("starting workers and API", workers=len(self._workers), logs=str(logs))
        self._supervisor.run(stop)

    def stop(self) -> None:
        """Stop what uses the servers, then the servers."""
        if self._supervisor is not None:
            self._supervisor.stop_all()
        else:
            for server in self._servers():
                server.stop()

    def _servers(self) -> list[LocalKafka | LocalRedis]:
        return [server for server in (self._redis, self._kafka) if server is not None]

    def _start_servers(self) -> None:
        if self._redis is None:
            _log.info("using the Redis given", url=redact_text(self._redis_url))
        else:
            _log.info("starting Redis", program=self._redis.program)
            self._redis.start()
        if self._kafka is None:
            _log.info("using the Kafka given", servers=self._bootstrap)
        else:
            _log.info("starting Apache Kafka; Maven gets it once, where that was not done yet")
            self._kafka.start()

    @property
    def _bootstrap(self) -> str:
        return self._kafka.bootstrap if self._kafka else self._options.kafka or ""

    @property
    def _redis_url(self) -> str:
        return self._redis.url if self._redis else self._options.redis or ""

    def _service_environment(self) -> dict[str, str]:
        credentials_file = self._options.data_dir.resolve() / "credentials.json"
        self._credential.write_credentials_file(credentials_file)
        given = {
            name: value
            for name, value in self._options.environment.items()
            # What secures the connection to some other Kafka is of no use for ours.
            if self._kafka is None or not name.startswith("SEG_KAFKA_")
        }
        return {
            **given,
            "SEG_KAFKA_BOOTSTRAP_SERVERS": self._bootstrap,
            "SEG_REDIS_URL": self._redis_url,
            "SEG_PARTITIONS": str(self._options.partitions),
            "SEG_DEFAULT_ORG_ID": self._credential.org_id,
            "SEG_DEFAULT_SANDBOX_NAME": self._credential.sandbox_name,
            "SEG_CREDENTIALS_FILE": str(credentials_file),
            "SEG_WORKER_HOST": "127.0.0.1",
            "SEG_API_HOST": "127.0.0.1",
        }

    def _announce(self) -> None:
        ready = self._ready()
        if self._options.ready_file:
            write_private_json(self._options.ready_file, ready)
        Console(file=sys.stdout).print(_table(ready, self._options.data_dir))
        sys.stdout.flush()

    def _ready(self) -> dict[str, Any]:
        """Return the content of the ready file."""
        credential: LocalCredential = self._credential
        return {
            "kafka": self._bootstrap,
            "kafkaKind": "apache-kafka" if self._kafka else "external",
            "redis": self._redis_url,
            "api": self._api.url if self._api else "",
            "token": credential.token,
            "apiKey": credential.api_key,
            "orgId": credential.org_id,
            "sandboxName": credential.sandbox_name,
            "topicPrefix": self._options.topic_prefix,
            "partitions": self._options.partitions,
            "pids": {
                "workers": [worker.pid for worker in self._workers],
                "api": self._api.pid if self._api else 0,
                "kafka": self._kafka.pid if self._kafka else 0,
                "redis": self._redis.pid if self._redis else 0,
            },
        }


def _table(ready: Mapping[str, Any], data_dir: Path) -> Table:
    table = Table(title="segmentation local is ready; Ctrl-C stops it", show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in ready.items():
        if name != "pids":
            table.add_row(name, redact_text(str(value)))
    for name, value in ready["pids"].items():
        table.add_row(f"pid {name}", str(value))
    table.add_row("data", str(data_dir.resolve()))
    return table


@contextmanager
def _only_user_of(data_dir: Path) -> Iterator[None]:
    """Hold a lock on the data folder: two brokers on one folder would ruin it."""
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (data_dir / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigurationError(
                f"{data_dir} is in use by another `segmentation local`: stop that one, or name"
                " another folder with --data-dir."
            ) from error
        yield


@contextmanager
def _stop_on_signals(stop: Event) -> Iterator[None]:
    """Set `stop` on the signals that ask for the end."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
