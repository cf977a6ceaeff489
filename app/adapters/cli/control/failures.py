"""What a command ends with that is neither success nor somebody's misspelling.

Exit status: `Failed` 1, `Usage` 2, `Unavailable` 3 (app/__main__.py).
"""

from __future__ import annotations

from app.domain.errors import SegmentationError, UserError


class Failed(SegmentationError):
    """The API answered, but not with what was asked for."""

    code = "failed"


class Refused(Failed):
    """The API refused the request; the message has its reasons, one to a line."""

    code = "refused"


class Unknown(Failed):
    """Some of what was named does not exist; the rest was done."""

    code = "unknown"


class NotLive(Failed):
    """A definition that was waited for is not evaluated, or not in time."""

    code = "not-live"


class NotSucceeded(Failed):
    """A job that was waited for did not succeed, or not in time."""

    code = "not-succeeded"


class NotReady(Failed):
    """A preview that was waited for failed, or is not ready in time."""

    code = "not-ready"


class Usage(UserError):
    """What was typed, or an environment variable, or a file named there, cannot be used."""

    code = "usage"
