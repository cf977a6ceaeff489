"""`segmentation demo`: everything on this machine, with traffic and a live view."""

from __future__ import annotations

import asyncio
import logging
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from aiokafka.errors import KafkaError
from rich.console import Console
from rich.live import Live

from app.adapters.cli import demo_view
from app.adapters.cli.clients import KafkaAccess, now_ms, start_reader, stop_on_signal
from app.adapters.cli.demo_model import DemoModel, Place, SeenChange
from app.adapters.cli.demo_tasks import (
    create_samples,
    read_changes,
    run_beside,
    send_traffic,
    watch_lag,
    watch_stack,
)
from app.adapters.cli.generate import Traffic
from app.adapters.cli.local_stack import (
    DemoFailed,
    DemoStopped,
    LocalStack,
    Ready,
    local_stack,
    place_of,
)
from app.domain.errors import SegmentationError

_DRAW_EVERY_S = 0.2
_SAY_EVERY_S = 1.0
_STALLED_S = 5.0
_CHANGES_A_LINE = 2
_INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What is shown.

    Attributes:
        traffic: Of the generator.
        seconds: How long.
        workers: How many workers run.
        plain: Lines instead of the live view, also in a terminal.
    """

    traffic: Traffic
    seconds: float = 60
    workers: int = 1
    plain: bool = False


def run(access: KafkaAccess, options: DemoOptions) -> int:
    """Run the demo for its time, or until Ctrl-C.

    Args:
        access: How Kafka is secured where one is given; the local one has its own address.
        options: What is shown.

    Returns:
        Exit status: 0; 1 with the reason on standard error; 130 if it was stopped before anything
        could be shown, as shells have it for Ctrl-C.
    """
    # What the clients retry belongs into no live view; what they give up is raised.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
    folder = Path(tempfile.mkdtemp(prefix="segmentation-demo-"))
    try:
        asyncio.run(_run(access, options, folder))
    except DemoStopped as error:
        shutil.rmtree(folder, ignore_errors=True)
        sys.stderr.write(f"demo: {error.message}\n")
        return _INTERRUPTED
    except (SegmentationError, KafkaError) as error:
        reason = error.message if isinstance(error, SegmentationError) else f"Kafka: {error}"
        sys.stdout.flush()
        sys.stderr.write(f"demo failed: {reason}\nLogs and data are kept in {folder}\n")
        return 1
    shutil.rmtree(folder, ignore_errors=True)
    return 0


async def _run(access: KafkaAccess, options: DemoOptions, folder: Path) -> None:
    view = _view(options)
    with stop_on_signal() as stop:
        view.say(f"Starting Kafka, Redis, {_workers(options.workers)} and the API in {folder} …")
        async with local_stack(folder, options.workers, stop) as stack:
            model = await _show(access, options, stack, view, stop)
            view.say("Stopping everything …")
    view.say("\n".join(demo_view.summary_lines(model, model.ended_ms)))
    check(model)


def _view(options: DemoOptions) -> _LiveView | _PlainView:
    console = Console()
    return _LiveView(console) if console.is_terminal and not options.plain else _PlainView()


def _workers(count: int) -> str:
    return "1 worker" if count == 1 else f"{count} workers"


def _access_to(ready: Ready, access: KafkaAccess) -> KafkaAccess:
    return replace(
        access,
        options={**access.options, "bootstrap_servers": ready.kafka},
        topic_prefix=ready.topic_prefix,
        org_id=ready.org_id,
        sandbox_name=ready.sandbox_name,
    )


async def _show(
    access: KafkaAccess,
    options: DemoOptions,
    stack: LocalStack,
    view: _LiveView | _PlainView,
    stop: asyncio.Event,
) -> DemoModel:
    """Show the running stack for the wanted time; returns what was counted."""
    access = _access_to(stack.ready, access)
    place = Place(**place_of(stack.ready, stack.folder))
    model = DemoModel(seconds=options.seconds, started_ms=now_ms(), place=place)
    view.say("\n".join(demo_view.place_lines(model)))
    changes = await start_reader(access, access.topic("membership-changes"), from_beginning=False)
    try:
        await create_samples(stack.ready, model)
        model.started_ms = now_ms()
        traffic = replace(options.traffic, seconds=options.seconds)
        with view.shown(model):
            await run_beside(
                _traffic_and_drain(access, traffic, model, stop),
                read_changes(changes, model, view.change),
                watch_lag(access, model),
                watch_stack(stack, model),
                view.keep_drawing(model),
            )
    finally:
        model.ended_ms = now_ms()
        await changes.stop()
    return model


async def _traffic_and_drain(
    access: KafkaAccess, traffic: Traffic, model: DemoModel, stop: asyncio.Event
) -> None:
    """Send the traffic, then wait for the last updates while the workers still get ahead."""
    await send_traffic(access, traffic, model, stop)
    least, since_ms = model.lag, now_ms()
    while model.lag != 0 and now_ms() - since_ms < _STALLED_S * 1_000:
        await asyncio.sleep(_DRAW_EVERY_S)
        if model.lag is not None and (least is None or model.lag < least):
            least, since_ms = model.lag, now_ms()


def check(model: DemoModel) -> None:
    """Say whether the demo showed what it promises.

    Raises:
        DemoFailed: If it did not; says what.
    """
    if model.trouble:
        raise DemoFailed(model.trouble)
    if not model.changes.total:
        raise DemoFailed(
            f"no membership change was seen after {model.updates.total:,} updates"
            " (local.log in the folder below says what the workers did)"
        )
    if model.lag:
        raise DemoFailed(
            f"the workers stopped applying updates: {model.lag:,} were left when the traffic ended"
            f" and none was applied in the {_STALLED_S:.0f} s after it (data/logs/worker-*.log)"
        )
    if model.repeated or model.gaps:
        raise DemoFailed(
            f"{model.repeated} changes were seen twice and {model.gaps} are missing, although"
            " every change is promised exactly once"
        )


class _LiveView:
    """A picture in a terminal, drawn anew five times a second."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, screen=True, auto_refresh=False)

    def say(self, text: str) -> None:
        self._console.print(text, highlight=False, markup=False)

    @contextmanager
    def shown(self, model: DemoModel) -> Iterator[None]:
        with self._live:
            yield

    def change(self, _change: SeenChange) -> None:
        """Nothing: the next picture has it."""

    async def keep_drawing(self, model: DemoModel) -> None:
        while True:
            size = self._console.size
            picture = demo_view.picture(model, now_ms(), size.width, size.height)
            self._live.update(picture, refresh=True)
            await asyncio.sleep(_DRAW_EVERY_S)


class _PlainView:
    """A line every second, and the first changes of that second."""

    def __init__(self) -> None:
        self._model: DemoModel | None = None
        self._said = 0

    def say(self, text: str) -> None:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()

    @contextmanager
    def shown(self, model: DemoModel) -> Iterator[None]:
        self._model = model
        yield

    def change(self, change: SeenChange) -> None:
        if self._model is not None and self._said < _CHANGES_A_LINE:
            self._said += 1
            self.say(demo_view.change_line(self._model, change))

    async def keep_drawing(self, model: DemoModel) -> None:
        while True:
            await asyncio.sleep(_SAY_EVERY_S)
            self.say(demo_view.status_line(model, now_ms()))
            self._said = 0
