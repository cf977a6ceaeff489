"""What a poll takes: what lies ready, and what the broker has got since."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka.errors import OffsetOutOfRangeError
from aiokafka.structs import TopicPartition

from app.adapters.kafka.consumer_thread import BatchConsumerThread

FIRST, SECOND = TopicPartition("t", 0), TopicPartition("t", 1)
MOST = 5


class Fetcher:
    """Answers with the given results in turn; one that is a number is waited for, in seconds."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.asked: list[int] = []

    async def fetched_records(self, assigned: Any, timeout: float, max_records: int) -> Any:
        self.asked.append(max_records)
        answer = self.answers.pop(0) if self.answers else {}
        if isinstance(answer, float):
            await asyncio.sleep(answer)
            return await self.fetched_records(assigned, timeout, max_records)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def poll(fetcher: Fetcher) -> Any:
    thread: Any = SimpleNamespace(_ensure_consumer=lambda: SimpleNamespace(_max_poll_records=MOST))
    fetched: Any = BatchConsumerThread._fetched
    return await fetched(thread, fetcher, {FIRST, SECOND}, 0.1)


async def test_what_was_fetched_ahead_is_joined_with_what_came_since():
    fetcher = Fetcher({FIRST: [1]}, {FIRST: [2], SECOND: [3]})

    assert await poll(fetcher) == {FIRST: [1, 2], SECOND: [3]}
    assert fetcher.asked == [MOST, MOST - 1]


async def test_what_had_to_be_waited_for_is_all_there_is():
    fetcher = Fetcher(0.005, {FIRST: [1]}, {FIRST: [2]})

    assert await poll(fetcher) == {FIRST: [1]}


@pytest.mark.parametrize("first", [{}, {FIRST: [1, 2], SECOND: [3, 4, 5]}])
async def test_nothing_and_enough_are_not_asked_for_more(first: Any):
    fetcher = Fetcher(first, {FIRST: [9]})

    assert await poll(fetcher) == first
    assert fetcher.asked == [MOST]


async def test_an_error_of_the_second_fetch_loses_nothing_of_the_first():
    fetcher = Fetcher({FIRST: [1]}, OffsetOutOfRangeError({SECOND: 7}))

    assert await poll(fetcher) == {FIRST: [1]}
