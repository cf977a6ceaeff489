"""Adapter package: http."""
