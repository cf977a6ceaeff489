"""Instants as the API and the topics write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_MS = 86_400_000
_CACHED = 10_000
_days: dict[int, str] = {}
_texts: dict[int, str] = {}


def iso_text(at_ms: int) -> str:
    """Return an instant as ISO 8601 in UTC: `2026-01-05T10:00:00Z`, with ms where there are any."""
    # Memberships of one profile share few instants, and each is written out many times.
    known = _texts.get(at_ms)
    if known is None:
        if len(_texts) > _CACHED:
            _texts.clear()
        known = _texts[at_ms] = _text(at_ms)
    return known


def _text(at_ms: int) -> str:
    day, rest = divmod(at_ms, _DAY_MS)
    date = _days.get(day)
    if date is None:
        if len(_days) > _CACHED:
            _days.clear()
        date = _days[day] = (_EPOCH + timedelta(days=day)).date().isoformat()
    seconds, ms = divmod(rest, 1_000)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    if ms:
        return f"{date}T{hour:02d}:{minute:02d}:{second:02d}.{ms:03d}Z"
    return f"{date}T{hour:02d}:{minute:02d}:{second:02d}Z"
