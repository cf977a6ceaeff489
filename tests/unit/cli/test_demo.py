from typing import Any

import pytest
from rich.console import Console

from app.adapters.cli.demo_model import DemoModel, Place, Rate, percentile
from app.adapters.cli.demo_view import change_line, picture, status_line, summary_lines
from app.adapters.cli.samples import SAMPLES
from app.pql.checker import check
from app.pql.parser import parse

NOW = 1_767_607_200_000


def change(sequence: int = 1, status: str = "realized", **changes: Any) -> dict[str, Any]:
    made = {
        "profileId": "p-1",
        "segmentId": "s-1",
        "status": status,
        "sequence": sequence,
        "cause": {"kind": "event", "eventId": "e-1"},
    }
    return made | changes


def model() -> DemoModel:
    made = DemoModel(seconds=60, started_ms=NOW)
    made.place = Place("127.0.0.1:9", "apache-kafka", "redis://127.0.0.1:7", "http://x", 2, "/t")
    made.add_segment("s-1", "Lives in Oslo", "attribute")
    return made


def shown(made: DemoModel, now_ms: int = NOW, width: int = 120, height: int = 40) -> str:
    console = Console(width=width, height=height, color_system=None, record=True, quiet=False)
    with console.capture() as captured:
        console.print(picture(made, now_ms, width, height))
    return captured.get()


def test_members_are_those_who_entered_less_those_who_left() -> None:
    made = model()
    made.changed(change(1), NOW, None)
    made.changed(change(1, profileId="p-2"), NOW, None)
    made.changed(change(2, "exited"), NOW, None)

    counts = made.segments["s-1"]
    assert (counts.entered, counts.left, counts.members) == (2, 1, 1)
    assert made.causes == {"event": 3}


def test_a_repeated_change_is_counted_apart() -> None:
    made = model()
    made.changed(change(1), NOW, None)
    assert made.changed(change(1), NOW, None) is None
    assert (made.repeated, made.gaps, made.changes.total) == (1, 0, 1)


def test_a_gap_in_the_sequence_is_counted() -> None:
    made = model()
    made.changed(change(1), NOW, None)
    made.changed(change(3), NOW, None)
    assert made.gaps == 1


def test_latency_is_from_the_first_time_an_update_was_sent() -> None:
    made = model()
    made.sent("e-1", NOW)
    made.sent("e-1", NOW + 40)
    seen = made.changed(change(), NOW + 55, NOW)
    assert seen is not None
    assert seen.latency_ms == 55
    assert list(made.latencies) == [55]


def test_a_change_by_time_is_late_by_what_passed_since_it_was_due() -> None:
    made = model()
    seen = made.changed(change(cause={"kind": "time"}), NOW + 120, NOW + 100)
    assert seen is not None
    assert seen.latency_ms == 20
    assert list(made.lateness) == [20]
    assert not made.latencies


def test_an_update_of_somebody_else_has_no_latency() -> None:
    seen = model().changed(change(cause={"kind": "event", "eventId": "other"}), NOW, NOW)
    assert seen is not None
    assert seen.latency_ms is None


def test_a_rate_is_of_the_last_three_seconds() -> None:
    rate = Rate()
    rate.add(NOW, 300)
    rate.add(NOW + 1_000, 300)
    assert rate.per_second(NOW + 1_000) == 600
    assert rate.per_second(NOW + 2_000) == 300
    assert rate.per_second(NOW + 3_500) == 100
    assert rate.per_second(NOW + 9_000) == 0
    assert rate.total == 600


@pytest.mark.parametrize(
    ("values", "share", "wanted"),
    [([], 0.5, None), ([7], 0.99, 7), (list(range(100)), 0.5, 50), (list(range(100)), 0.99, 99)],
)
def test_percentiles(values: list[int], share: float, wanted: int | None) -> None:
    assert percentile(values, share) == wanted


@pytest.mark.parametrize(("width", "height"), [(80, 24), (120, 40), (200, 60)])
def test_the_picture_fits_the_terminal(width: int, height: int) -> None:
    made = DemoModel(seconds=60, started_ms=NOW)
    for sample in SAMPLES:
        made.add_segment(sample.key, sample.name, sample.shows)
    for number in range(50):
        one = change(profileId=f"p-{number}", segmentId=SAMPLES[number % 8].key)
        made.changed(one, NOW + number, None)

    lines = shown(made, NOW + 50, width, height).splitlines()

    assert len(lines) <= max(height, 27)
    assert max(map(len, lines)) <= width
    assert all(sample.name in "\n".join(lines) for sample in SAMPLES)


def test_the_picture_shows_figures_place_and_last_change() -> None:
    made = model()
    made.lag = 1_234
    made.sent("e-1", NOW)
    made.changed(change(), NOW + 21, None)

    text = shown(made, NOW + 30_000)

    for wanted in ("apache-kafka 127.0.0.1:9", "2 workers", "1,234", "30 / 60 s", "+ p-1", "21 ms"):
        assert wanted in text


def test_an_empty_model_can_be_shown() -> None:
    empty = DemoModel(seconds=60, started_ms=NOW)
    assert "none yet" in shown(empty)
    assert "lag ?" in status_line(empty, NOW)
    assert "0 membership changes" in summary_lines(empty, NOW)[1]


def test_plain_lines_say_what_happened() -> None:
    made = model()
    made.lag = 3
    made.sent("e-1", NOW)
    seen = made.changed(change(), NOW + 21, None)
    assert seen is not None
    assert change_line(made, seen).endswith("p-1 enters 'Lives in Oslo' (event, 21 ms)")
    assert "lag 3" in status_line(made, NOW + 1_000)
    assert "Lives in Oslo: 1" in status_line(made, NOW + 1_000)
    closing = "\n".join(summary_lines(made, NOW + 2_000))
    assert "1 updates in 2 s" in closing
    assert "1 by event" in closing
    assert "changes seen twice: 0, gaps in sequences: 0" in closing


def test_a_sample_asks_only_earlier_ones() -> None:
    known: dict[str, str] = {}
    for sample in SAMPLES:
        assert "{" not in sample.expression(known)
        known[sample.key] = f"id-of-{sample.key}"
    assert 'inSegment("id-of-loyal")' in SAMPLES[-1].expression(known)


def test_the_samples_can_be_evaluated() -> None:
    known: dict[str, str] = {}
    for sample in SAMPLES:
        checked = check(parse(sample.expression(known)), segments=set(known.values()))
        assert not checked.problems, sample.name
        known[sample.key] = f"id-of-{sample.key}"


def test_the_samples_have_different_names() -> None:
    assert len({sample.name for sample in SAMPLES}) == len({s.key for s in SAMPLES}) == len(SAMPLES)
