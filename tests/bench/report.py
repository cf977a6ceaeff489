"""The result as Markdown: tables, the targets beside what was reached, the machine."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from app.adapters.local.kafka_jars import find_java
from tests.bench.control import ControlCosts
from tests.bench.control_report import control_tables, control_targets
from tests.bench.engine_cost import EngineCost
from tests.bench.language import LanguageCosts, language_tables, language_targets
from tests.bench.latency import Latency
from tests.bench.tables import TARGET_HEAD, table, target
from tests.bench.throughput import Throughput

BASE, MANY, USUAL = 100, 10_000, 1_000

# 20,000/s was asked for where plain Faust took 61 µs to decode a record: 50 µs are left of a core.
_RATIO = 1.22


@dataclass
class Results:
    """What one run measured; a part that was left out is empty."""

    profiles: int
    engine: list[EngineCost] = field(default_factory=list)
    throughput: list[Throughput] = field(default_factory=list)
    latency: list[Latency] = field(default_factory=list)
    plain: dict[str, float] = field(default_factory=dict)
    control: ControlCosts | None = None
    language: LanguageCosts | None = None
    load_before: float = 0.0
    seconds: float = 0.0


def markdown(results: Results) -> str:
    """Return the whole report."""
    parts = [
        "# Benchmark",
        _machine(results),
        "## Targets",
        table(TARGET_HEAD, _targets(results)),
    ]
    if results.engine:
        parts += ["## Engine alone (one process, no I/O)", _engine(results.engine)]
    if results.throughput:
        parts += ["## Sustained throughput, exactly once, one worker", _throughput(results)]
    if results.latency:
        parts += ["## Latency, produce to `read_committed` receipt", _latency(results.latency)]
    if results.control is not None:
        parts += control_tables(results.control)
    if results.language is not None:
        parts += language_tables(results.language)
    return "\n\n".join(parts) + "\n"


def _engine(rows: Sequence[EngineCost]) -> str:
    head = (
        "definitions",
        "µs/update",
        "of it decoding states",
        "updates that change",
        "state B",
        "compile s",
    )
    return table(
        head,
        [
            (
                f"{row.definitions:,}",
                f"{row.total_us:.1f}",
                f"{row.load_us:.1f}",
                f"{row.changed:.1%}",
                f"{row.state_bytes:.0f}",
                f"{row.compile_s:.2f}",
            )
            for row in rows
        ],
    )


def _throughput(results: Results) -> str:
    head = (
        "definitions",
        "updates/s",
        "worker µs",
        "Kafka µs",
        "Redis µs",
        "worker's share of a core",
        "changes/s",
        "transactions/s",
        "timers/s",
        "B/update",
        "measured",
        "peak MiB",
    )
    rows: list[tuple[str, ...]] = [
        (
            f"{row.definitions:,}",
            f"{row.per_second:,.0f}",
            f"{row.cpu_us['worker']:.1f}",
            f"{row.cpu_us['kafka']:.1f}",
            f"{row.cpu_us['redis']:.1f}",
            f"{row.share:.2f}",
            f"{row.changes_per_second:,.0f}",
            f"{row.transactions / row.seconds:.0f}",
            f"{row.timers / row.seconds:.0f}",
            f"{row.value_bytes:.0f}",
            f"{row.updates:,} in {row.seconds:.1f} s",
            f"{row.peak_mib:.0f}",
        )
        for row in results.throughput
    ]
    if results.plain:
        rows.append(
            (
                "plain Faust, decodes only",
                f"{results.plain['per_second']:,.0f}",
                f"{results.plain['cpu_us']:.1f}",
                *[""] * 9,
            )
        )
    return table(head, rows)


def _latency(rows: Sequence[Latency]) -> str:
    head = (
        "what",
        "updates/s",
        "sent/s",
        "changes",
        "p50 ms",
        "p90",
        "p99",
        "most",
        "µs/update",
        "transactions/s",
    )
    return table(
        head,
        [
            (
                row.what,
                f"{row.rate:,.0f}",
                f"{row.achieved:,.0f}",
                f"{row.changes:,}",
                f"{row.p50:.1f}",
                f"{row.p90:.1f}",
                f"{row.p99:.1f}",
                f"{row.most:.1f}",
                f"{row.worker_cpu_us:.0f}",
                f"{row.transactions_per_second:.0f}" if row.what == "worker" else "",
            )
            for row in rows
        ],
    )


def _targets(results: Results) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = []
    for row in results.throughput:
        if row.definitions == USUAL:
            what = "updates/s with 1,000 definitions"
            rows.append(target(what, 20_000, row.per_second, least=True))
            if results.plain:
                ratio = results.plain["cpu_us"] / row.cpu_us["worker"]
                rows.append(target("plain Faust µs : worker µs", _RATIO, ratio, least=True))
    worker = {row.definitions: row.cpu_us["worker"] for row in results.throughput}
    alone = {row.definitions: row.total_us for row in results.engine}
    for name, costs in (("worker", worker), ("engine", alone)):
        if BASE in costs and MANY in costs:
            ratio = costs[MANY] / costs[BASE]
            rows.append(target(f"{name} cost per update, 10,000 : 100", 1.5, ratio))
    for found in results.latency:
        if found.rate == 2_000 and found.what == "worker":
            rows.append(target("p50 ms at 2,000/s", 40, found.p50))
            rows.append(target("p99 ms at 2,000/s", 100, found.p99))
    if results.control is not None:
        rows += control_targets(results.control)
    if results.language is not None:
        rows += language_targets(results.language)
    return rows


def _machine(results: Results) -> str:
    java = subprocess.run([find_java(), "-version"], capture_output=True, text=True, check=False)
    now = datetime.now(UTC).isoformat(timespec="seconds")
    version = (java.stderr.splitlines() or ["unknown"])[0]
    return "\n".join(
        [
            f"- {now}, took {results.seconds:.0f} s",
            f"- {os.cpu_count()} processors: {_processor()}, {_memory_gib():.0f} GiB",
            f"- {platform.platform()}",
            f"- CPython {platform.python_version()}, {version}",
            f"- load average before the start {results.load_before:.2f}: above 0.5 somebody else"
            " was working too; then trust µs of processor time, not rates and latencies",
            f"- {results.profiles:,} profiles (Zipf), Kafka, Redis and generator on this machine",
        ]
    )


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as info:
        names = [line.partition(":")[2].strip() for line in info if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
