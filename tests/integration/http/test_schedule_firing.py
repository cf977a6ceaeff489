"""Firing of schedules on a real Redis: each due time once, whoever looks and whoever dies."""

from __future__ import annotations

import asyncio

import pytest
from redis.asyncio import Redis

from app.adapters.http import schedule_loop
from app.adapters.http.schedule_loop import ScheduleLoop
from app.adapters.redis.control_client import connect_control
from app.domain.errors import Conflict, NotFound, Unavailable, UserError
from app.domain.model import Tenant
from app.domain.schedules import INACTIVE, SKIP, Schedule, ScheduleRun
from app.service.firing import LEASE_MS, MISSED_AFTER_MS, MOST_BUSY, MOST_DEFECTS, RETRY_MS, Firing
from app.service.schedules import ScheduleChange
from tests.integration.http.schedule_bench import TENANT, RecordingStarter, ScheduleBench, ms
from tests.integration.stream.harness import eventually
from tests.services import LocalRedis, Names

pytestmark = pytest.mark.redis

DAY_MS = 86_400_000
NOON = "2026-11-26T12:00:00"
FIRST = ms("2026-11-27T02:00:00")


class Died(BaseException):
    """The process ends here."""


@pytest.fixture
def bench(redis: Redis, names: Names) -> ScheduleBench:
    return ScheduleBench(redis, names.redis_key_prefix)


async def found(bench: ScheduleBench, schedule: Schedule) -> Schedule:
    return await bench.schedules.get(TENANT, schedule.schedule_id)


async def opened(bench: ScheduleBench) -> int:
    return sum(len(rows) for rows in (await bench.store.open_firings([TENANT])).values())


async def test_a_schedule_fires_when_it_is_due_and_not_before(bench: ScheduleBench) -> None:
    schedule = await bench.create(NOON)
    firing = bench.firing()
    assert schedule.next_run_ms == FIRST
    await firing.round(FIRST - 1)
    assert bench.starter.calls == []
    await firing.round(FIRST)
    assert bench.starter.calls == [(TENANT, None, f"schedule:{schedule.schedule_id}:{FIRST}")]
    after = await found(bench, schedule)
    assert after.next_run_ms == FIRST + DAY_MS
    assert after.last_run == ScheduleRun(FIRST, FIRST, "started", "job-1")
    await firing.round(FIRST + 1)
    assert len(bench.starter.calls) == 1
    assert await opened(bench) == 0


async def test_two_loops_at_once_fire_each_due_time_exactly_once(bench: ScheduleBench) -> None:
    begin = ms(NOON)
    for _ in range(3):
        await bench.create(NOON, "* * * * * ?")
    loops = [bench.firing() for _ in range(4)]
    for step in range(1, 11):
        await asyncio.gather(*(firing.round(begin + step * 1500) for firing in loops))
    # Claimed by one alone: nobody called the starter twice for a due time either.
    assert len(bench.starter.calls) == len(bench.starter.jobs) == 3 * 15
    assert bench.starter.due == sorted(3 * [begin + n * 1000 for n in range(1, 16)])


async def test_loops_that_run_beside_each_other_fire_once(bench: ScheduleBench) -> None:
    now = [ms(NOON)]
    for _ in range(5):
        await bench.create(NOON, "0 0 * * * ?")
    loops = [ScheduleLoop(bench.firing(), lambda: now[0], 0.005) for _ in range(3)]
    async with loops[0].running(), loops[1].running(), loops[2].running():
        for hour in range(1, 5):
            now[0] = ms(NOON) + hour * 3_600_000
            async with asyncio.timeout(20):
                while len(bench.starter.jobs) < 5 * hour:
                    await asyncio.sleep(0.005)
    assert len(bench.starter.calls) == 20
    assert await loops[0].problem() is None


@pytest.mark.parametrize("after_start", [False, True])
async def test_a_loop_that_dies_after_its_claim_is_completed_by_another(
    bench: ScheduleBench, after_start: bool
) -> None:
    schedule = await bench.create(NOON)
    starter = _DiesAfterStart() if after_start else RecordingStarter(error=Died())
    with pytest.raises(Died):
        await bench.firing(starter).round(FIRST)
    bench.starter.jobs.update(starter.jobs)
    assert await opened(bench) == 1
    other = bench.firing()
    await other.round(FIRST + LEASE_MS - 1)
    assert bench.starter.calls == []  # perhaps it is only slow
    await other.round(FIRST + LEASE_MS)
    [(_, _, origin)] = bench.starter.calls
    assert origin == f"schedule:{schedule.schedule_id}:{FIRST}"
    assert len(bench.starter.jobs) == 1
    run = (await found(bench, schedule)).last_run
    assert run is not None
    assert (run.due_ms, run.outcome, run.job_id) == (FIRST, "started", "job-1")
    assert await opened(bench) == 0


class _DiesAfterStart(RecordingStarter):
    async def start(self, tenant: Tenant, segment_ids: object, *, origin: str) -> str:
        self.jobs[tenant, origin] = "job-1"
        raise Died


async def test_of_many_that_find_a_dead_one_s_firing_one_takes_it(bench: ScheduleBench) -> None:
    await bench.create(NOON)
    with pytest.raises(Died):
        await bench.firing(RecordingStarter(error=Died())).round(FIRST)
    others = [bench.firing() for _ in range(5)]
    await asyncio.gather(*(other.round(FIRST + LEASE_MS) for other in others))
    assert len(bench.starter.calls) == 1


async def test_what_was_missed_is_run_once(bench: ScheduleBench) -> None:
    schedule = await bench.create(NOON)
    back = FIRST + 3 * DAY_MS + 3_600_000
    await bench.firing().round(back)
    after = await found(bench, schedule)
    assert bench.starter.due == [FIRST]
    assert after.next_run_ms == FIRST + 4 * DAY_MS
    assert after.last_run == ScheduleRun(FIRST, back, "started", "job-1")


async def test_what_was_missed_is_skipped_where_the_schedule_says_so(bench: ScheduleBench) -> None:
    schedule = await bench.create(NOON, missed_runs=SKIP)
    late = FIRST + MISSED_AFTER_MS
    await bench.firing().round(late)
    assert bench.starter.due == [FIRST]  # late, but not missed
    await bench.firing().round(FIRST + DAY_MS + MISSED_AFTER_MS + 1)
    after = await found(bench, schedule)
    assert bench.starter.due == [FIRST]
    assert after.next_run_ms == FIRST + 2 * DAY_MS
    assert after.last_run is not None
    assert (after.last_run.due_ms, after.last_run.outcome) == (FIRST + DAY_MS, "skipped")
    assert "nobody was there" in after.last_run.reason


async def test_a_new_expression_moves_the_next_run(bench: ScheduleBench) -> None:
    schedule = await bench.create(NOON)
    change = ScheduleChange(cron="0 0 15 * * ?")
    await bench.schedules.change(TENANT, schedule.schedule_id, change, ms(NOON))
    three = ms("2026-11-26T15:00:00")
    assert (await found(bench, schedule)).next_run_ms == three
    firing = bench.firing()
    await firing.round(three)
    await firing.round(FIRST)
    assert bench.starter.due == [three]


async def test_an_inactive_schedule_does_not_fire_and_forgets_what_it_missed(
    bench: ScheduleBench,
) -> None:
    schedule = await bench.create(NOON, state=INACTIVE)
    firing = bench.firing()
    assert schedule.next_run_ms is None
    await firing.round(FIRST + DAY_MS)
    at = FIRST + DAY_MS + 5
    await bench.schedules.change(TENANT, schedule.schedule_id, ScheduleChange(state="active"), at)
    await firing.round(at)
    assert bench.starter.calls == []
    await firing.round(FIRST + 2 * DAY_MS)
    assert bench.starter.due == [FIRST + 2 * DAY_MS]
    await bench.schedules.change(TENANT, schedule.schedule_id, ScheduleChange(state=INACTIVE), at)
    await firing.round(FIRST + 9 * DAY_MS)
    assert len(bench.starter.calls) == 1


async def test_a_change_that_crosses_a_firing_does_not_bring_it_back(
    bench: ScheduleBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    schedule = await bench.create(NOON)
    real = bench.store.get
    crossed: list[bool] = []

    async def get(tenant: Tenant, schedule_id: str) -> Schedule | None:
        before = await real(tenant, schedule_id)
        if not crossed:
            crossed.append(True)
            await bench.firing().round(FIRST)
        return before

    monkeypatch.setattr(bench.store, "get", get)
    await bench.schedules.change(
        TENANT, schedule.schedule_id, ScheduleChange(missed_runs=SKIP), ms(NOON)
    )
    after = await found(bench, schedule)
    assert (after.missed_runs, after.next_run_ms) == (SKIP, FIRST + DAY_MS)


async def test_deletion_stops_a_schedule_and_what_it_had_claimed(bench: ScheduleBench) -> None:
    schedule = await bench.create(NOON)
    other = await bench.create(NOON)
    with pytest.raises(Died):
        await bench.firing(RecordingStarter(error=Died())).round(FIRST)
    await bench.schedules.delete(TENANT, schedule.schedule_id)
    await bench.schedules.delete(TENANT, other.schedule_id)
    await bench.firing().round(FIRST + 3 * DAY_MS)
    assert bench.starter.calls == []
    assert await opened(bench) == 0
    with pytest.raises(NotFound):
        await bench.schedules.delete(TENANT, schedule.schedule_id)


async def test_a_clock_that_goes_back_fires_nothing_twice(bench: ScheduleBench) -> None:
    schedule = await bench.create(NOON)
    firing = bench.firing()
    await firing.round(FIRST)
    await firing.round(FIRST - 3_600_000)
    await bench.firing().round(FIRST - 1)  # a process that starts with the clock set back
    await firing.round(FIRST)
    assert bench.starter.due == [FIRST]
    assert (await found(bench, schedule)).next_run_ms == FIRST + DAY_MS


async def test_a_clock_that_was_far_ahead_leaves_no_gap(bench: ScheduleBench) -> None:
    schedule = await bench.create(NOON)
    firing = bench.firing()
    await firing.round(FIRST + 365 * DAY_MS)
    assert (await found(bench, schedule)).next_run_ms == FIRST + 366 * DAY_MS
    await firing.round(ms(NOON))
    assert (await found(bench, schedule)).next_run_ms == FIRST + DAY_MS
    await firing.round(FIRST + DAY_MS)
    assert bench.starter.due == [FIRST, FIRST + DAY_MS]


async def test_a_claim_of_a_clock_that_was_ahead_is_not_waited_for(bench: ScheduleBench) -> None:
    await bench.create(NOON)
    with pytest.raises(Died):
        await bench.firing(RecordingStarter(error=Died())).round(FIRST + 365 * DAY_MS)
    await bench.firing().round(FIRST)
    assert bench.starter.due == [FIRST]


async def test_a_job_that_cannot_be_started_now_is_started_later(bench: ScheduleBench) -> None:
    schedule = await bench.create(NOON)
    firing = bench.firing()
    bench.starter.error = Unavailable("Kafka does not answer")
    for n in range(2 * MOST_DEFECTS):
        await firing.round(FIRST + n * RETRY_MS)
    assert len(bench.starter.calls) == 2 * MOST_DEFECTS
    assert (await found(bench, schedule)).last_run is None
    bench.starter.error = None
    await firing.round(FIRST + 100 * RETRY_MS)
    assert bench.starter.due == [FIRST]


async def test_a_job_that_is_refused_is_a_failed_run(bench: ScheduleBench) -> None:
    schedule = await bench.create(NOON)
    firing = bench.firing()
    bench.starter.error = UserError("there is nothing to evaluate")
    await firing.round(FIRST)
    await firing.round(FIRST + DAY_MS - 1)
    assert len(bench.starter.calls) == 1
    run = (await found(bench, schedule)).last_run
    assert run == ScheduleRun(FIRST, FIRST, "failed", reason="there is nothing to evaluate")


async def test_a_job_that_meets_a_full_queue_waits_for_it(bench: ScheduleBench) -> None:
    schedule = await bench.create(NOON)
    firing = bench.firing()
    bench.starter.error = Conflict("too many jobs", code="jobs-busy")
    for n in range(3):
        await firing.round(FIRST + n * LEASE_MS)
        await firing.round(FIRST + (n + 1) * LEASE_MS - 1)
    assert len(bench.starter.calls) == 3
    assert (await found(bench, schedule)).last_run is None
    bench.starter.error = None
    await firing.round(FIRST + 3 * LEASE_MS)
    run = (await found(bench, schedule)).last_run
    assert run == ScheduleRun(FIRST, FIRST + 3 * LEASE_MS, "started", "job-1")


async def test_a_queue_that_stays_full_is_a_failed_run(bench: ScheduleBench) -> None:
    schedule = await bench.create(NOON)
    firing = bench.firing()
    bench.starter.error = Conflict("too many jobs", code="jobs-busy")
    for n in range(MOST_BUSY + 2):
        await firing.round(FIRST + n * LEASE_MS)
    assert len(bench.starter.calls) == MOST_BUSY + 1
    run = (await found(bench, schedule)).last_run
    assert run is not None
    assert (run.outcome, run.reason) == ("failed", "too many jobs")


async def test_a_defect_harms_no_other_schedule_and_is_given_up(
    bench: ScheduleBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = await bench.create(NOON)
    good = await bench.create(NOON)
    real, tried = bench.starter.start, []

    async def start(tenant: Tenant, segment_ids: None, *, origin: str) -> str:
        if broken.schedule_id in origin:
            tried.append(origin)
            raise ZeroDivisionError
        return await real(tenant, segment_ids, origin=origin)

    monkeypatch.setattr(bench.starter, "start", start)
    firing = bench.firing()
    for n in range(MOST_DEFECTS + 5):
        await firing.round(FIRST + n * RETRY_MS)
    assert len(tried) == MOST_DEFECTS
    assert bench.starter.due == [FIRST]
    runs = [(await found(bench, one)).last_run for one in (broken, good)]
    assert [run and run.outcome for run in runs] == ["failed", "started"]
    assert runs[0] is not None
    assert "log" in runs[0].reason


async def test_only_what_is_published_is_run(bench: ScheduleBench) -> None:
    one, two = await bench.audience("a"), await bench.audience("b")
    schedule = await bench.create(NOON, segments=("b", "a"))
    firing = bench.firing()
    await firing.round(FIRST)
    await bench.definitions.remove(TENANT, await bench.definitions.head(TENANT), one)
    await firing.round(FIRST + DAY_MS)
    await bench.definitions.remove(TENANT, await bench.definitions.head(TENANT), two)
    await firing.round(FIRST + 2 * DAY_MS)
    assert [segments for _, segments, _ in bench.starter.calls] == [("b", "a"), ("b",)]
    run = (await found(bench, schedule)).last_run
    assert run is not None
    assert run.outcome == "failed"
    assert "none of the audiences" in run.reason


async def test_schedules_of_two_tenants_do_not_meet(bench: ScheduleBench) -> None:
    other = Tenant("org@AdobeOrg", "dev")
    mine = await bench.create(NOON)
    theirs = await bench.create(NOON, "0 0 3 * * ?", tenant=other)
    assert await bench.store.get(other, mine.schedule_id) is None
    assert await bench.store.all(other) == [theirs]
    await bench.firing().round(FIRST)
    assert [(tenant, origin) for tenant, _, origin in bench.starter.calls] == [
        (TENANT, f"schedule:{mine.schedule_id}:{FIRST}")
    ]
    assert not await bench.store.remove(other, mine.schedule_id)


async def test_the_last_firing_leaves_no_next_run(bench: ScheduleBench) -> None:
    schedule = await bench.create(NOON, "0 0 2 27 11 ? 2026")
    firing: Firing = bench.firing()
    await firing.round(FIRST)
    await firing.round(FIRST + 400 * DAY_MS)
    assert bench.starter.due == [FIRST]
    assert (await found(bench, schedule)).next_run_ms is None


async def test_the_loop_goes_on_after_redis_was_away(
    own_redis: LocalRedis, names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schedule_loop, "_SILENT_SECONDS", 1.0)
    redis = connect_control(own_redis.url)
    bench = ScheduleBench(redis, names.redis_key_prefix)
    await bench.create(NOON)
    now = [ms(NOON)]
    loop = ScheduleLoop(bench.firing(), lambda: now[0], 0.05)

    async def is_unready() -> bool:
        return "not looked at" in (await loop.problem() or "")

    async def is_ready() -> bool:
        return await loop.problem() is None

    async with loop.running():
        await asyncio.to_thread(own_redis.kill)
        await eventually(is_unready)
        now[0] = FIRST
        await asyncio.to_thread(own_redis.start)
        await eventually(lambda: bench.starter.jobs, 30)
        await eventually(is_ready)
    assert bench.starter.due == [FIRST]
    await redis.aclose()
