"""Adapter package: redis."""
