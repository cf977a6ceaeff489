"""Fixtures for all tests: the no-network guard, the shared servers, the shared data.

A test says with a marker (`redis`, `kafka`, `e2e`) that it uses a real service. Services are
started by the tests, always, on free ports; one that cannot be started fails the test.
"""

from __future__ import annotations

import gc
import os
import socket
import warnings
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
import structlog
from hypothesis import settings

from tests.services import LocalKafka, LocalRedis, Names, start_kafka, start_redis

settings.register_profile("ci", max_examples=300, deadline=None, print_blob=True)
settings.register_profile("long", max_examples=20_000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

# As it comes structlog draws a stack trace with every local variable: some seconds for each.
structlog.configure(
    processors=[
        *structlog.get_config()["processors"][:-1],
        structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
    ]
)

# For each JVM of the tests, also those that the shipped commands start: no second, optimizing
# compiler. A broker that lives for minutes spends more time in it than it ever saves.
os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1")

pytest_plugins = ["tests.watchdog"]

_LIVE = {"redis", "kafka", "e2e", "bench", "loopback"}
_GUARDED = ("connect", "connect_ex", "bind", "sendto")


@pytest.fixture(autouse=True)
def _no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fail a test that touches the network without saying so, even if it swallows the error."""
    if _LIVE & {mark.name for mark in request.node.iter_markers()}:
        yield
        return
    attempts: list[str] = []

    def guarded(name: str) -> Callable[..., object]:
        real = getattr(socket.socket, name)

        def call(self: socket.socket, *arguments: object) -> object:
            if self.family not in (socket.AF_INET, socket.AF_INET6):
                return real(self, *arguments)
            attempts.append(f"{name}{arguments}")
            raise PermissionError(
                f"{name}{arguments}: a test without the marker redis, kafka or e2e uses no network"
            )

        return call

    for name in _GUARDED:
        monkeypatch.setattr(socket.socket, name, guarded(name))
    yield
    if attempts:
        pytest.fail(f"used the network without a marker: {attempts}")


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    """The Kafka of this session: `.bootstrap`; not to be stopped, see `own_kafka`."""
    server = start_kafka(tmp_path_factory.mktemp("kafka"))
    yield server
    server.kill()


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalRedis]:
    """The Redis of this session: `.url`; not to be stopped, see `own_redis`."""
    server = start_redis(tmp_path_factory.mktemp("redis"))
    yield server
    server.kill()


@pytest.fixture(scope="session")
def _spare_kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    server = start_kafka(tmp_path_factory.mktemp("spare-kafka"))
    yield server
    server.kill()


@pytest.fixture
def own_kafka(_spare_kafka: LocalKafka) -> LocalKafka:
    """A Kafka that only this test uses as long as it runs, to `.kill()`, `.start()`, `.restart()`.

    Tests have it one after the other, each with names of its own: a start costs many seconds.
    """
    if not _spare_kafka.is_running:
        _spare_kafka.start()
    return _spare_kafka


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    """Collect the connections that aiokafka was making when their Kafka was killed.

    It closes them never; found by the next test that collects garbage, they would fail that one.
    """
    yield
    if "own_kafka" in getattr(item, "fixturenames", ()):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[LocalRedis]:
    """A Redis of this test alone, to `.kill()`, `.start()`, `.copy_data()`, `.restore_data()`."""
    server = start_redis(tmp_path / "redis")
    yield server
    server.kill()


@pytest.fixture
def names() -> Names:
    """Topic prefix, key prefix, application id and organisation that no other test uses."""
    return Names()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of the shared corpora; skips where SEG_TEST_DATA_DIR is unset.

    A clone of a user does not have them. Set, but without files, is a failure.
    """
    given = os.environ.get("SEG_TEST_DATA_DIR")
    if given is None:
        pytest.skip("SEG_TEST_DATA_DIR is not set: the shared corpora are not at hand")
    folder = Path(given)
    if not folder.is_dir() or not any(folder.iterdir()):
        pytest.fail(f"SEG_TEST_DATA_DIR={given} is no folder with files")
    return folder


@pytest.fixture(autouse=True)
def _no_settings_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the settings of whoever runs the tests away from them."""
    for variable in list(os.environ):
        if variable.startswith("SEG_") and not variable.startswith("SEG_TEST_"):
            monkeypatch.delenv(variable)
