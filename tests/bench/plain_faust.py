"""The yardstick: a plain Faust agent that only decodes the same records, in a process of its own.

Run as `python -m tests.bench.plain_faust BOOTSTRAP TOPIC WARM_UP COUNT`; prints one JSON object.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from typing import Any

import faust
import orjson
import uvloop

_TIMEOUT_S = 180.0


async def run(bootstrap: str, topic_name: str, warm_up: int, count: int) -> dict[str, float]:
    """Return updates per second and processor µs per update, after the warm-up."""
    folder = tempfile.mkdtemp(prefix="plain-faust-")
    app = faust.App(
        f"{topic_name}plain",
        broker=f"kafka://{bootstrap}",
        store="memory://",
        datadir=folder,
        web_enabled=False,
        topic_disable_leader=True,
        topic_allow_declare=False,
    )
    topic = app.topic(topic_name, value_serializer="raw", key_serializer="raw")
    done = asyncio.Event()
    marks: list[tuple[float, float]] = []

    async def decode(stream: Any) -> None:
        seen = 0
        async for value in stream:
            orjson.loads(value)
            seen += 1
            if seen in (warm_up, warm_up + count):
                marks.append((time.monotonic(), time.process_time()))
                if len(marks) == 2:
                    done.set()

    app.agent(topic, name="decode")(decode)
    await app.start()
    await asyncio.wait_for(done.wait(), _TIMEOUT_S)
    (from_s, from_cpu), (to_s, to_cpu) = marks
    return {"per_second": count / (to_s - from_s), "cpu_us": (to_cpu - from_cpu) / count * 1e6}


def main() -> None:
    bootstrap, topic, warm_up, count = sys.argv[1:]
    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.run(_then_leave(bootstrap, topic, int(warm_up), int(count)))


async def _then_leave(bootstrap: str, topic: str, warm_up: int, count: int) -> None:
    found = await run(bootstrap, topic, warm_up, count)
    print(orjson.dumps(found).decode(), flush=True)
    # Stopping Faust takes seconds and proves nothing.
    os._exit(0)


if __name__ == "__main__":
    main()
