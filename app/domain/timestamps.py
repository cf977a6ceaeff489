"""Instants as the API and the topics write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_CACHED = 10_000
_minutes: dict[int, str] = {}


def iso_text(at_ms: int) -> str:
    """Return an instant as ISO 8601 in UTC: `2026-01-05T10:00:00Z`, with ms where there are any."""
    minute, rest = divmod(at_ms, 60_000)
    start = _minutes.get(minute)
    if start is None:
        if len(_minutes) > _CACHED:
            _minutes.clear()
        moment = _EPOCH + timedelta(minutes=minute)
        start = _minutes[minute] = moment.isoformat(timespec="minutes")[:16]
    if rest % 1_000:
        return f"{start}:{rest // 1_000:02d}.{rest % 1_000:03d}Z"
    return f"{start}:{rest // 1_000:02d}Z"
