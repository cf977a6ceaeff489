"""The error tree.

SegmentationError            `code` is stable and machine-readable
├─ UserError                 the message may be shown to whoever sent the input
│   ├─ InvalidUpdate         a record that cannot be applied: goes to the dead letters
│   ├─ InvalidDefinition     a segment definition that is refused; carries all problems
│   ├─ NotFound, Conflict    control plane
│   └─ ConfigurationError    a setting or a topology that cannot work; names the remedy
├─ Unavailable               Redis or Kafka does not answer: retry, nothing is lost
└─ Fenced                    another owner took the partition: drop everything held for it
"""

from __future__ import annotations


class SegmentationError(Exception):
    """Root of every error this service raises on purpose."""

    code = "internal"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


class UserError(SegmentationError):
    """Caused by input; the message is safe to show."""

    code = "invalid"


class InvalidUpdate(UserError):
    """A profile update that cannot be applied.

    `code` is one of the dead-letter codes of `docs/topics.md`.
    """

    code = "invalid-update"


class InvalidDefinition(UserError):
    """A segment definition that is refused.

    Args:
        problems: One text per problem, each with position and remedy.
    """

    code = "invalid-definition"

    def __init__(self, message: str, problems: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


class NotFound(UserError):
    """The named object does not exist in this tenant."""

    code = "not-found"


class Conflict(UserError):
    """The object is busy or changed meanwhile, or its name is taken."""

    code = "conflict"


class ConfigurationError(UserError):
    """A setting, topic or key space that cannot work as it is."""

    code = "configuration"


class Unavailable(SegmentationError):
    """Redis or Kafka does not answer; the caller retries."""

    code = "unavailable"


class Fenced(SegmentationError):
    """A newer owner of the partition exists; nothing of the old one may be written."""

    code = "fenced"
