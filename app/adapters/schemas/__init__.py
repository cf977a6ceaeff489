"""Schemas of profiles and events, from a file or over HTTP."""
