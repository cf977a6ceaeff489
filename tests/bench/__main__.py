"""`make bench`: measure all in one run, print the tables and keep them in results/latest.md."""

from __future__ import annotations

import argparse
import asyncio
import os
import pstats
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import orjson

from tests.bench import control, engine_cost, language, latency, throughput
from tests.bench.report import USUAL, Results, markdown
from tests.bench.stage import PARTITIONS, Servers, Stage

RESULTS = Path(__file__).parent / "results"
_CACHE = 10_000 * PARTITIONS
_PLAIN = (5_000, 30_000)


@dataclass(frozen=True)
class Plan:
    """What to measure; counts are of updates."""

    definitions: list[int]
    profiles: int
    warm_up: int
    updates: int
    engine_updates: int
    rates: list[float]
    latency: latency.LatencyPlan
    has_engine: bool
    has_language: bool
    has_plain: bool
    control: control.ControlPlan | None
    is_profiled: bool


def _arguments() -> Plan:
    parser = argparse.ArgumentParser("make bench", description=__doc__)
    quick = parser.add_argument("--quick", action="store_true", help="in under two minutes").dest
    parser.add_argument("--definitions", default="", help="counts, such as 10,100,1000,10000")
    parser.add_argument("--profiles", type=int, default=100_000)
    parser.add_argument(
        "--warm-up",
        type=int,
        default=0,
        help="updates after all profiles are known",
    )
    parser.add_argument("--updates", type=int, default=0, help="updates measured for each count")
    parser.add_argument("--rates", default="", help="updates/s to take the latency at")
    parser.add_argument("--latency-seconds", type=float, default=0, help="for each rate")
    parser.add_argument("--latency-warm-up", type=float, default=0, help="seconds before, each")
    parser.add_argument("--no-engine", action="store_true", help="leave out the engine alone")
    parser.add_argument("--no-language", action="store_true", help="leave out the language")
    parser.add_argument("--no-plain", action="store_true", help="leave out the plain Faust agent")
    parser.add_argument("--no-control", action="store_true", help="leave out the control plane")
    parser.add_argument("--profile", action="store_true", help="run the worker under cProfile")
    given = parser.parse_args()
    is_quick = bool(getattr(given, quick))
    definitions = given.definitions or ("100,1000" if is_quick else "10,100,1000,10000")
    rates = given.rates or ("2000" if is_quick else "2000,5000")
    return Plan(
        [int(count) for count in definitions.split(",")],
        given.profiles,
        given.warm_up or (30_000 if is_quick else 100_000),
        given.updates or (200_000 if is_quick else 600_000),
        40_000 if is_quick else 100_000,
        [float(rate) for rate in rates.split(",") if float(rate)],
        latency.LatencyPlan(
            given.latency_seconds or (10 if is_quick else 60),
            given.latency_warm_up or (20 if is_quick else 60),
        ),
        not given.no_engine,
        not (given.no_language or is_quick),
        not given.no_plain,
        None if given.no_control or is_quick else control.ControlPlan(),
        given.profile,
    )


def main() -> None:
    plan = _arguments()
    # Ended from outside, the servers and their data must go as well.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    started = time.monotonic()
    results = Results(plan.profiles, load_before=os.getloadavg()[0])
    RESULTS.mkdir(exist_ok=True)
    if plan.has_engine:
        _measure_engine(plan, results)
    if plan.has_language:
        results.language = language.measure()
        _say(f"language: {results.language.read_s:.1f} s for {language.DEFINITIONS:,} definitions")
    folder = Path(tempfile.mkdtemp(prefix="segmentation-bench-"))
    servers = Servers(folder)
    try:
        servers.start()
        _say(f"Kafka {servers.kafka.bootstrap}, Redis {servers.redis.url}, data in {folder}")
        for count in plan.definitions:
            _measure_worker(plan, servers, count, results)
        if plan.control is not None:
            results.control = asyncio.run(control.measure(servers, plan.control))
    finally:
        servers.stop()
        shutil.rmtree(folder, ignore_errors=True)
    results.seconds = time.monotonic() - started
    text = markdown(results)
    (RESULTS / "latest.md").write_text(text, encoding="utf-8")
    print(text)
    print(f"Kept in {RESULTS / 'latest.md'}")


def _measure_engine(plan: Plan, results: Results) -> None:
    for count in plan.definitions:
        found = engine_cost.measure(
            count, plan.profiles, plan.profiles + plan.engine_updates, plan.engine_updates, _CACHE
        )
        results.engine.append(found)
        _say(
            f"engine alone, {count:,} definitions: {found.total_us:.1f} µs/update,"
            f" {found.changed:.1%} change a membership"
        )


def _measure_worker(plan: Plan, servers: Servers, count: int, results: Results) -> None:
    stage = Stage(servers, count, plan.profiles)
    stage.prepare()
    profile = RESULTS / f"worker-{count}.prof" if plan.is_profiled else None
    try:
        found, meter = throughput.measure(
            stage, plan.profiles + plan.warm_up, plan.updates, profile
        )
        results.throughput.append(found)
        _say(
            f"worker, {count:,} definitions: {found.per_second:,.0f} updates/s,"
            f" {found.cpu_us['worker']:.1f} µs each, {found.changes_per_second:,.0f} changes/s"
        )
        if count == _usual(plan) and profile is None:
            usage = latency.usage_of(meter)
            for rate in plan.rates:
                _note(results, latency.measure(stage, "worker", usage, rate, plan.latency))
            stage.check_worker()
    finally:
        log = stage.stop_worker()
    if log.strip():
        _say(f"the worker logged:\n{log[-4_000:]}")
    if profile is not None:
        pstats.Stats(str(profile)).sort_stats("tottime").print_stats(45)
    if count == _usual(plan) and plan.has_plain:
        for rate in plan.rates:
            _note(results, latency.measure_plain(stage, rate, plan.latency))
        results.plain = _plain_faust(stage)
        _say(f"plain Faust: {results.plain['per_second']:,.0f} updates/s")


def _note(results: Results, found: latency.Latency) -> None:
    results.latency.append(found)
    _say(
        f"latency of {found.what} at {found.rate:,.0f}/s:"
        f" p50 {found.p50:.0f} ms, p99 {found.p99:.0f} ms"
    )


def _usual(plan: Plan) -> int:
    return USUAL if USUAL in plan.definitions else plan.definitions[-1]


def _plain_faust(stage: Stage) -> dict[str, float]:
    module = [sys.executable, "-m", "tests.bench.plain_faust"]
    counts = [str(count) for count in _PLAIN]
    done = subprocess.run(
        [*module, stage.servers.kafka.bootstrap, stage.input_topic, *counts],
        stdout=subprocess.PIPE,
        check=True,
        timeout=240,
    )
    found: dict[str, float] = orjson.loads(done.stdout.splitlines()[-1])
    return found


def _say(text: str) -> None:
    print(f"… {text}", flush=True)


if __name__ == "__main__":
    main()
