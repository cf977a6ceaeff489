"""A self-hosted streaming segmentation service."""

__version__ = "0.1.0"
