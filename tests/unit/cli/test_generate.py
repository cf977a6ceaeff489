import asyncio

import orjson
import pytest

from app.adapters.cli.generate import Traffic, encode, pour
from app.adapters.cli.shop import Shop, ShopUpdate
from app.domain.errors import ConfigurationError


class Recorder:
    def __init__(self) -> None:
        self.sent: list[ShopUpdate] = []
        self.flushed = 0

    async def send(self, update: ShopUpdate) -> None:
        self.sent.append(update)

    async def flush(self) -> None:
        self.flushed += 1


def shop() -> Shop:
    return Shop(seed=1, profiles=10, start_ms=0)


@pytest.mark.parametrize(
    ("elapsed_s", "sent", "due"),
    [(0.0, 0, 0), (0.5, 0, 50), (0.5, 40, 10), (0.5, 60, 0), (2.0, 0, 200), (9.0, 0, 300)],
)
def test_what_is_due_follows_the_rate_up_to_the_end(elapsed_s: float, sent: int, due: int) -> None:
    assert Traffic(rate=100, seconds=3).due(elapsed_s, sent) == due


def test_a_count_bounds_what_is_due() -> None:
    assert Traffic(rate=100, count=120).due(60, 100) == 20


@pytest.mark.parametrize(
    ("traffic", "elapsed_s", "sent", "over"),
    [
        (Traffic(rate=10, seconds=2), 1.9, 19, False),
        (Traffic(rate=10, seconds=2), 2.1, 20, True),
        (Traffic(rate=10, seconds=2), 2.1, 19, False),
        (Traffic(rate=10, count=5), 0.1, 5, True),
        (Traffic(rate=10), 1e9, 10**9, False),
    ],
)
def test_the_end_comes_when_nothing_is_due_any_more(
    traffic: Traffic, elapsed_s: float, sent: int, over: bool
) -> None:
    assert traffic.is_over(elapsed_s, sent) is over


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"profiles": 0}, "--profiles"),
        ({"rate": 0}, "--rate"),
        ({"rate": float("nan")}, "--rate"),
        ({"seconds": 0}, "--seconds"),
        ({"count": 0}, "--count"),
    ],
)
def test_a_bad_option_is_named(options: dict[str, float], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        Traffic(**options)  # type: ignore[arg-type]


async def test_pouring_sends_the_count_and_flushes() -> None:
    recorder = Recorder()
    seen: list[tuple[ShopUpdate, int]] = []

    sent = await pour(
        shop(),
        recorder,
        Traffic(rate=100_000, count=250),
        asyncio.Event(),
        lambda update, at_ms: seen.append((update, at_ms)),
    )

    assert sent == len(recorder.sent) == len(seen) == 250
    assert recorder.flushed == 1


async def test_a_stopped_generator_sends_nothing_more() -> None:
    recorder, stop = Recorder(), asyncio.Event()
    stop.set()

    assert await pour(shop(), recorder, Traffic(rate=100), stop) == 0
    assert recorder.flushed == 1


def test_a_record_is_one_line_of_json() -> None:
    update = shop().update(5)
    assert b"\n" not in encode(update)
    assert orjson.loads(encode(update)) == update.body
