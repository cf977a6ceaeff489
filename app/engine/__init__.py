"""Resolved trees to decisions over time. No I/O, no clock: `now_ms` is always an argument."""
