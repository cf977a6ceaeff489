"""Ends a test process in which a test does not end: CI would otherwise wait until it is killed.

pytest-timeout raises in the test, which then has to end; where a task of it heeds no cancellation,
closing its loop waits for ever. Ended this way, the test counts as crashed and the run goes on.

Shortly before a test's timeout it tells what the tasks wait for: what pytest-timeout raises then
shows no more than that the loop was idle.
"""

from __future__ import annotations

import asyncio
import faulthandler
import gc
import os
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key

_exit = os._exit  # A test may have put another in its place.

SPARE_S = 60.0
"""What a test has to end in after its timeout, and what its fixtures have."""
_BEFORE_S = 2.0


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Give the test its timeout and some time; one without a timeout may take for ever."""
    timeout = _timeout_of(item)
    if timeout:
        with _after(timeout - _BEFORE_S, _tell, item, timeout - _BEFORE_S):
            yield from _watched(item, timeout + SPARE_S)
    else:
        yield


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None]:
    """Give the fixtures some time."""
    yield from _watched(item, 2 * SPARE_S)


def _timeout_of(item: pytest.Item) -> float:
    """Return what pytest-timeout goes by: the mark, else the option, else the setting."""
    mark = item.get_closest_marker("timeout")
    if mark is not None:
        return float(mark.args[0])
    given = item.config.getoption("timeout")
    return float(item.config.getini("timeout") if given is None else given)


def _watched(item: pytest.Item, seconds: float) -> Generator[None]:
    with _after(seconds, _give_up, item, seconds):
        return (yield)


@contextmanager
def _after(seconds: float, call: Callable[..., None], *arguments: object) -> Iterator[None]:
    timer = threading.Timer(max(seconds, 0), call, arguments)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _tell(item: pytest.Item, seconds: float) -> None:
    # Where the process was started, not what pytest captures: nobody may print that any more.
    file = item.config.stash[fault_handler_stderr_fd_key]
    text = f"\n{item.nodeid} did not end within {seconds:.0f} s; what it waits for:\n"
    tasks = [one for one in gc.get_objects() if isinstance(one, asyncio.Task) and not one.done()]
    os.write(file, (text + "".join(map(_text, tasks))).encode())


def _text(task: asyncio.Task[Any]) -> str:
    """Return a task, with where each of the coroutines stands that it consists of."""
    lines = [f"{task}\n"]
    awaited: Any = task.get_coro()
    while (frame := getattr(awaited, "cr_frame", None)) is not None:
        code = frame.f_code
        lines.append(f"  {code.co_qualname} ({code.co_filename}:{frame.f_lineno})\n")
        awaited = awaited.cr_await
    return "".join(lines)


def _give_up(item: pytest.Item, seconds: float) -> None:
    _tell(item, seconds)
    faulthandler.dump_traceback(item.config.stash[fault_handler_stderr_fd_key])
    _exit(1)
