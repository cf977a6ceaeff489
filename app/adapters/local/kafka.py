"""A local Apache Kafka: one KRaft node, broker and controller, on the machine's JVM."""

from __future__ import annotations

import base64
import subprocess
import uuid
from pathlib import Path

from app.adapters.local.kafka_jars import find_java, kafka_jars
from app.adapters.local.ports import LOOPBACK, is_listening
from app.adapters.local.server import LocalServer
from app.domain.errors import Unavailable

_STARTED = "Kafka Server started"
_FORMAT_TIMEOUT_S = 60
_JVM_OPTIONS = (
    "-Xms512m",
    "-Xmx512m",
    "-XX:+UseG1GC",
    "-XX:MaxGCPauseMillis=20",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.awt.headless=true",
)

# Warnings only, and the one line that says that the node is up.
_LOG4J = """\
status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %c: %m%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
logger.server.name = kafka.server.KafkaRaftServer
logger.server.level = info
"""

_PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{host}:{controller_port}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
num.partitions=1
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
# Above the largest max.message.bytes of our topics (12 MiB).
message.max.bytes=13631488
# A node that was killed is only let in again when its old session is over: 9 s as Kafka ships.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
log.segment.bytes=67108864
# Each index is preallocated on disk: the broker's 10 MiB times hundreds of partitions is too much.
log.index.size.max.bytes=1048576
# The usual 128 MiB is a quarter of the heap.
log.cleaner.dedupe.buffer.size=16777216
num.network.threads=2
num.io.threads=4
"""


class LocalKafka(LocalServer):
    """One node with its data in a folder; `stop`, `kill` and `start` again keep data and port.

    Args:
        folder: For configuration, log and data.
    """

    _port_count = 2

    def __init__(self, folder: Path) -> None:
        super().__init__("kafka", folder)
        self._classpath = ""
        self._java = ""

    @property
    def port(self) -> int:
        """The port for clients."""
        return self._ports[0]

    @property
    def bootstrap(self) -> str:
        """What clients connect to, `host:port`."""
        return f"{LOOPBACK}:{self.port}"

    def _prepare(self) -> list[str]:
        self._java = self._java or find_java()
        self._classpath = self._classpath or f"{kafka_jars()}/*"
        properties = self._folder / "server.properties"
        properties.write_text(
            _PROPERTIES.format(
                host=LOOPBACK,
                port=self._ports[0],
                controller_port=self._ports[1],
                data=self._data.resolve(),
            ),
            encoding="utf-8",
        )
        log4j = self._folder / "log4j2.properties"
        log4j.write_text(_LOG4J, encoding="utf-8")
        if not (self._data / "meta.properties").exists():
            self._format(properties)
        return [
            self._java,
            *_JVM_OPTIONS,
            f"-Dlog4j2.configurationFile={log4j.resolve()}",
            "-cp",
            self._classpath,
            "kafka.Kafka",
            str(properties),
        ]

    def _format(self, properties: Path) -> None:
        """Give the data folder its cluster id, once."""
        # Kafka reads it as a command-line argument: it must not begin with a hyphen.
        cluster_id = "k" + base64.urlsafe_b64encode(uuid.uuid4().bytes).decode()[1:22]
        tool = ["-cp", self._classpath, "kafka.tools.StorageTool", "format"]
        result = subprocess.run(
            [self._java, *tool, "--cluster-id", cluster_id, "--config", str(properties)],
            capture_output=True,
            text=True,
            timeout=_FORMAT_TIMEOUT_S,
            check=False,
        )
        if result.returncode:
            raise Unavailable(
                f"Kafka's storage tool could not prepare {self._data}:"
                f" {(result.stdout + result.stderr).strip()}"
            )

    def _is_ready(self) -> bool:
        return _STARTED in self._process.log_text() and is_listening(self.port)

    def _is_port_taken(self, log: str) -> bool:
        return "Address already in use" in log
