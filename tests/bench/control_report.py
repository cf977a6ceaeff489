"""The part of the report about the control plane."""

from __future__ import annotations

from tests.bench.control import CALLS, ControlCosts
from tests.bench.tables import table, target

_PER_CORE = {"attributes": 50_000, "mixed": 5_000}
_PREVIEW_S = 15


def control_targets(costs: ControlCosts) -> list[tuple[str, ...]]:
    """Return a row for each target of the control plane."""
    slowest = max((one for one in costs.calls if one.name != "search"), key=lambda one: one.p99)
    (search,) = (one for one in costs.calls if one.name == "search")
    rows = [
        target(f"p99 ms of the slowest list ({slowest.name})", 100, slowest.p99),
        target("p99 ms of a search", 50, search.p99),
        target("MiB of the API", 300, costs.api_mib),
    ]
    for one in costs.jobs:
        what = f"profiles/s and core, segment job of 100 definitions, {one.kind}"
        rows.append(target(what, _PER_CORE[one.kind], one.per_core, least=True))
    worst = max(one.seconds for one in costs.previews)
    rows.append(target("s until a preview is ready", _PREVIEW_S, worst))
    return rows


def control_tables(costs: ControlCosts) -> list[str]:
    """Return headings and tables of the control plane."""
    plan = costs.plan
    calls = [
        (one.name, f"{one.p50:.1f}", f"{one.p99:.1f}", f"{one.kib:.0f}") for one in costs.calls
    ]
    jobs = [
        (
            one.kind,
            f"{one.scanned:,.0f}",
            f"{one.counted:,.0f}",
            f"{one.worker_us:.1f}",
            f"{one.per_core:,.0f}",
        )
        for one in costs.jobs
    ]
    shown = [
        (one.predicate, f"{one.seconds:.1f}", f"{one.read:,}", f"{one.worker_us:.1f}", one.size)
        for one in costs.previews
    ]
    return [
        f"## Control plane, {plan.definitions:,} definitions, {plan.jobs:,} ended jobs, one API",
        table((f"{CALLS} calls each", "p50 ms", "p99 ms", "KiB"), calls),
        f"## Segment jobs, 100 definitions, {plan.profiles:,} profiles, one worker",
        table(("definitions", "scan/s", "job/s", "worker µs", "job/s and core"), jobs),
        f"## Previews, {plan.profiles:,} profiles, one worker",
        table(("predicate", "ready after s", "looked at", "worker µs", "estimate"), shown),
    ]
