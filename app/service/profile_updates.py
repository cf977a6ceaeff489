"""Use cases: updates and deletions of a profile from whoever has no Kafka client.

Nothing is applied here: both are appended to the input topic, and the worker that owns the profile
applies them like those of any other producer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from app.domain.errors import InvalidUpdate, UserError
from app.domain.model import ExternalMembership, ProfileKey
from app.service.profiles import Profiles

MAX_UPDATES = 1_000
"""Updates in one call."""


class UpdateRecord(NamedTuple):
    """One record of the input topic, ready to be appended.

    Attributes:
        value: None deletes the profile.
    """

    profile_id: str
    value: bytes | None
    headers: list[tuple[str, bytes]]
    timestamp_ms: int


class Position(NamedTuple):
    """Where a record is in the input topic."""

    partition: int
    offset: int


class CheckedUpdate(NamedTuple):
    """An update that a worker will not refuse; `event_id` is None where it has none."""

    record: UpdateRecord
    event_id: str | None


class AcceptedUpdate(NamedTuple):
    """An update that is in the input topic."""

    event_id: str | None
    position: Position


class MisdirectedUpdate(UserError):
    """An update of another profile or tenant than the call: `other-profile`, `other-tenant`."""


class UpdateCheck(Protocol):
    """Reads updates as the workers do."""

    def update(self, key: ProfileKey, document: object, now_ms: int) -> CheckedUpdate:
        """Return the record of an update of a profile, with its tenant filled in.

        Raises:
            InvalidUpdate: A worker would make it a dead letter.
            MisdirectedUpdate: It names another profile or tenant.
        """
        ...

    def membership(
        self, key: ProfileKey, told: ExternalMembership, event_id: str, now_ms: int
    ) -> UpdateRecord:
        """Return the record that tells a membership of an external audience."""
        ...

    def deletion(self, key: ProfileKey, now_ms: int) -> UpdateRecord:
        """Return the record that deletes a profile."""
        ...


class UpdateLog(Protocol):
    """The input topic."""

    async def append(self, records: Sequence[UpdateRecord]) -> list[Position]:
        """Append records in their order, and wait until they are safe.

        Raises:
            Unavailable: Nothing was sent, or it is not known which of them are there: the message
                says which.
            ConfigurationError: The topic is not the one that the workers read.
        """
        ...


class RefusedUpdate(NamedTuple):
    """Why one update is refused; `item` is its place in a list, None where it came alone."""

    item: int | None
    error: UserError


class RefusedUpdates(UserError):
    """Updates of which at least one is refused; none of them was appended."""

    code = "invalid-update"

    def __init__(self, refused: Sequence[RefusedUpdate], count: int) -> None:
        verb = "is" if len(refused) == 1 else "are"
        super().__init__(f"{len(refused)} of {count} updates {verb} refused; none was taken")
        self.refused = refused


class ProfileUpdates:
    """Appends to the input topic."""

    def __init__(self, profiles: Profiles, check: UpdateCheck, log: UpdateLog) -> None:
        self._profiles = profiles
        self._check = check
        self._log = log

    async def accept(self, key: ProfileKey, body: object, now_ms: int) -> list[AcceptedUpdate]:
        """Append one update, or all of a list in its order.

        Args:
            key: The profile that all of them must be of.
            body: One update or a list of 1 to `MAX_UPDATES`, as it was parsed from JSON.
            now_ms: The timestamp of the records.

        Raises:
            RefusedUpdates: At least one would become a dead letter; all problems are told.
            UserError: The list is empty or too long.
            Unavailable, ConfigurationError: As `UpdateLog.append` does.
        """
        checked = self._checked(key, body, now_ms)
        positions = await self._log.append([one.record for one in checked])
        return [
            AcceptedUpdate(one.event_id, position)
            for one, position in zip(checked, positions, strict=True)
        ]

    async def delete(self, key: ProfileKey, now_ms: int) -> Position:
        """Append the deletion of a profile.

        Raises:
            NotFound: There is no such profile in this tenant, or it was deleted.
            Unavailable, ConfigurationError: As `UpdateLog.append` does.
        """
        await self._profiles.membership(key)
        (position,) = await self._log.append([self._check.deletion(key, now_ms)])
        return position

    def _checked(self, key: ProfileKey, body: object, now_ms: int) -> list[CheckedUpdate]:
        documents = body if isinstance(body, list) else [body]
        if not 1 <= len(documents) <= MAX_UPDATES:
            text = f"the list has {len(documents)} updates; send 1 to {MAX_UPDATES:,} at a time"
            raise UserError(text, code="invalid-body")
        checked: list[CheckedUpdate] = []
        refused: list[RefusedUpdate] = []
        for number, document in enumerate(documents):
            try:
                checked.append(self._check.update(key, document, now_ms))
            except (InvalidUpdate, MisdirectedUpdate) as error:
                item = number if isinstance(body, list) else None
                refused.append(RefusedUpdate(item, error))
        if refused:
            raise RefusedUpdates(refused, len(documents))
        return checked
