"""How the demo looks: a live picture for a terminal, plain lines for anything else. Pure."""

from __future__ import annotations

from datetime import UTC, datetime

from rich import box
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from app.adapters.cli.demo_model import DemoModel, SeenChange, percentile

_WIDEST_BAR = 24
_NARROWEST_BAR = 6
_WIDTH_OF_SEGMENTS = 82  # of the table without its bars
_LINES_ABOVE = 14  # of the list of changes, less one for each segment
_FEWEST_ROWS = 3
_CAUSE_STYLE = {
    "event": "cyan",
    "attribute": "blue",
    "time": "magenta",
    "cascade": "yellow",
}


def picture(model: DemoModel, now_ms: int, width: int = 120, height: int = 40) -> RenderableType:
    """Return the live view of this instant, for a terminal of so many columns and lines."""
    head, figures, segments = _head(model, now_ms), _figures(model, now_ms), _segments(model, width)
    rows = height - (_LINES_ABOVE + len(model.segments))
    return Group(head, figures, segments, _last(model, max(_FEWEST_ROWS, rows)))


def _head(model: DemoModel, now_ms: int) -> RenderableType:
    passed_s = max(0.0, (now_ms - model.started_ms) / 1_000)
    grid = Table.grid(expand=True, padding=(0, 2))
    grid.add_column(ratio=1)
    grid.add_column(justify="right")
    grid.add_row(_place(model), Text(f"{min(passed_s, model.seconds):.0f} / {model.seconds:.0f} s"))
    grid.add_row(
        ProgressBar(total=model.seconds, completed=min(passed_s, model.seconds)),
        Text("Ctrl-C stops", style="dim"),
    )
    return Panel(grid, title="[bold]segmentation demo", border_style="green", box=box.ROUNDED)


def _place(model: DemoModel) -> Text:
    place = model.place
    workers = "1 worker" if place.workers == 1 else f"{place.workers} workers"
    return Text.assemble(
        (place.kafka_kind or "kafka", "bold"), f" {place.kafka}   ",
        ("redis", "bold"), f" {place.redis}   ",
        ("api", "bold"), f" {place.api}   ",
        (workers, "bold"),
    )  # fmt: skip


def _figures(model: DemoModel, now_ms: int) -> RenderableType:
    lag = "…" if model.lag is None else f"{model.lag:,}"
    cells = (
        ("updates/s", f"{model.updates.per_second(now_ms):,.0f}", f"{model.updates.total:,} sent"),
        ("lag", lag, "not committed"),
        ("changes/s", f"{model.changes.per_second(now_ms):,.0f}", f"{model.changes.total:,} seen"),
        ("latency", _ms(percentile(model.latencies, 0.5)), f"p99 {_p99(model)}"),
    )
    grid = Table.grid(expand=True)
    for _ in cells:
        grid.add_column(ratio=1)
    grid.add_row(*(_figure(*cell) for cell in cells))
    return grid


def _figure(title: str, value: str, note: str) -> RenderableType:
    lines = Group(
        Text(value, style="bold", justify="center"), Text(note, style="dim", justify="center")
    )
    return Panel(lines, title=title, box=box.ROUNDED, border_style="bright_black")


def _p99(model: DemoModel) -> str:
    return _ms(percentile(model.latencies, 0.99))


def _ms(value: int | None) -> str:
    return "…" if value is None else f"{value:,} ms"


def _segments(model: DemoModel, width: int) -> RenderableType:
    bar_width = min(_WIDEST_BAR, width - _WIDTH_OF_SEGMENTS)
    with_bars = bar_width >= _NARROWEST_BAR
    table = Table(expand=True, box=box.SIMPLE_HEAD, header_style="bold green", pad_edge=False)
    table.add_column("segment", no_wrap=True, ratio=1)
    table.add_column("shows", style="dim", no_wrap=True)
    table.add_column("members", justify="right")
    if with_bars:
        table.add_column("", width=bar_width, no_wrap=True)
    table.add_column("entered", justify="right", style="green")
    table.add_column("left", justify="right", style="red", min_width=5)
    most = max((counts.members for counts in model.segments.values()), default=0)
    for counts in model.segments.values():
        table.add_row(
            counts.name,
            counts.shows,
            f"{counts.members:,}",
            *([_bar(counts.members, most, bar_width)] if with_bars else []),
            f"{counts.entered:,}",
            f"{counts.left:,}",
        )
    return table


def _bar(value: int, most: int, width: int) -> Text:
    eighths = 0 if most <= 0 else round(max(0, value) / most * width * 8)
    part = " ▏▎▍▌▋▊▉"[eighths % 8].strip()
    return Text("█" * (eighths // 8) + part, style="green")


def _last(model: DemoModel, rows: int) -> RenderableType:
    table = Table(expand=True, box=None, show_header=False, pad_edge=False)
    table.add_column(no_wrap=True, min_width=12)
    table.add_column(no_wrap=True, min_width=16)
    table.add_column(no_wrap=True, ratio=1)
    table.add_column(no_wrap=True, min_width=9)
    table.add_column(no_wrap=True, justify="right", min_width=8)
    shown = min(rows, model.last.maxlen or rows)
    for change in list(reversed(model.last))[:shown]:
        table.add_row(*_change_cells(model, change))
    causes = "   ".join(f"{cause} {count:,}" for cause, count in model.causes.most_common())
    return Panel(
        table,
        title="last membership changes",
        subtitle=Text(causes or "none yet", style="dim"),
        border_style="bright_black",
        box=box.ROUNDED,
        height=shown + 2,
    )


def _change_cells(model: DemoModel, change: SeenChange) -> tuple[Text, ...]:
    sign, style = ("+", "green") if change.entered else ("-", "red")
    return (
        Text(clock_text(change.at_ms), style="dim"),
        Text(f"{sign} {change.profile_id}", style=style),
        Text(model.name_of(change.segment_id)),
        Text(change.cause, style=_CAUSE_STYLE.get(change.cause, "")),
        Text(_ms(change.latency_ms), style="dim"),
    )


def clock_text(at_ms: int) -> str:
    """Return epoch ms as a time of day in UTC with milliseconds."""
    return f"{datetime.fromtimestamp(at_ms // 1000, UTC):%H:%M:%S}.{at_ms % 1000:03d}"


def status_line(model: DemoModel, now_ms: int) -> str:
    """Return one plain line with the figures of this instant."""
    passed_s = (now_ms - model.started_ms) / 1_000
    lag = "?" if model.lag is None else f"{model.lag:,}"
    members = ", ".join(f"{counts.name}: {counts.members}" for counts in model.segments.values())
    return (
        f"{passed_s:5.1f} s  {model.updates.per_second(now_ms):,.0f} updates/s  lag {lag}"
        f"  {model.changes.per_second(now_ms):,.0f} changes/s"
        f"  p50 {_ms(percentile(model.latencies, 0.5))}  p99 {_p99(model)}  |  {members}"
    )


def change_line(model: DemoModel, change: SeenChange) -> str:
    """Return one plain line about a change."""
    verb = "enters" if change.entered else "leaves"
    latency = "" if change.latency_ms is None else f", {change.latency_ms:,} ms"
    return (
        f"        {clock_text(change.at_ms)}  {change.profile_id} {verb}"
        f" {model.name_of(change.segment_id)!r} ({change.cause}{latency})"
    )


def place_lines(model: DemoModel) -> list[str]:
    """Return plain lines about where everything runs."""
    place = model.place
    return [
        f"kafka    {place.kafka} ({place.kafka_kind})",
        f"redis    {place.redis}",
        f"api      {place.api}",
        f"workers  {place.workers}",
        f"folder   {place.folder}",
    ]


def summary_lines(model: DemoModel, now_ms: int) -> list[str]:
    """Return the lines that close the demo."""
    passed_s = max(0.001, (now_ms - model.started_ms) / 1_000)
    causes = ", ".join(f"{count:,} by {cause}" for cause, count in model.causes.most_common())
    lines = [
        "",
        f"{model.updates.total:,} updates in {passed_s:.0f} s"
        f" ({model.updates.total / passed_s:,.0f}/s),"
        f" {model.changes.total:,} membership changes" + (f" ({causes})" if causes else ""),
        f"from update to change: p50 {_ms(percentile(model.latencies, 0.5))},"
        f" p99 {_p99(model)}; timed changes seen after they were due:"
        f" p50 {_ms(percentile(model.lateness, 0.5))},"
        f" p99 {_ms(percentile(model.lateness, 0.99))}",
        f"changes seen twice: {model.repeated}, gaps in sequences: {model.gaps}",
        "",
    ]
    width = max((len(counts.name) for counts in model.segments.values()), default=0)
    lines += [
        f"{counts.name:<{width}}  {counts.members:>6,} members  {counts.entered:>6,} entered"
        f"  {counts.left:>6,} left   {counts.shows}"
        for counts in model.segments.values()
    ]
    return lines
