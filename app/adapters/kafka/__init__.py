"""Adapter package: kafka."""
