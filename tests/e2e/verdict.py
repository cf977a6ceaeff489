"""What a reader of the output must find, however often the workers died.

Every check returns problems as text that names profile, segment and sequence, and shows the history
in question; none of them stops at the first.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from app.domain.limits import EngineLimits
from app.domain.model import Origin, ProfileKey, ProfileUpdate, Tenant
from app.domain.partitioning import partition_of
from tests.e2e.segments import model_texts
from tests.e2e.workload import NUMBER, Sent
from tests.property.engine_model import Model

FORWARDED = "forwarded-from"
Change = Mapping[str, Any]
Histories = dict[tuple[str, str], list[Change]]


@dataclass
class Truth:
    """What the topic says was sent, and what becomes of it by the letter of the rules.

    Attributes:
        dead: The records that belong on the dead letter topic, by partition and offset.
    """

    tenant: Tenant
    partitions: int
    sent: Sequence[Sent]
    problems: list[str] = field(default_factory=list)
    models: dict[str, Model] = field(default_factory=dict)
    dead: dict[tuple[int, int], Any] = field(default_factory=dict)

    def read(self, records: Iterable[Any]) -> None:
        """Take in everything on the update topic, in the order of each partition."""
        # Checked once for all profiles.
        self._expressions = Model(model_texts(), EngineLimits()).checked
        self._clocks: dict[int, int] = {}
        copies: dict[tuple[str, ...], int] = defaultdict(int)
        astray: dict[tuple[str, ...], int] = {}
        seen: set[int] = set()
        for record in sorted(records, key=lambda one: (one.partition, one.offset)):
            headers = {name: value.decode() for name, value in record.headers}
            made = self.sent[int(headers[NUMBER])]
            if FORWARDED in headers:
                copies[tuple(headers[FORWARDED].rsplit("/", 2))] += 1
            else:
                seen.add(made.number)
            if made.kind not in ("update", "tombstone"):
                self.dead[record.partition, record.offset] = record
            elif partition_of(made.profile_id, self.partitions) == record.partition:
                self._apply(record, made)
            else:
                place = (record.topic, str(record.partition), str(record.offset))
                astray[place] = made.number
        lost = [one.number for one in self.sent if one.number not in seen]
        if lost:
            self.problems.append(f"the test itself lost {len(lost)} records: {lost[:5]}")
        self._compare_copies(astray, copies)

    def _compare_copies(
        self, astray: Mapping[tuple[str, ...], int], copies: Mapping[tuple[str, ...], int]
    ) -> None:
        for place, number in astray.items():
            if copies.get(place, 0) != 1:
                self.problems.append(
                    f"update {number} at {'/'.join(place)} was forwarded {copies.get(place, 0)}"
                    " times instead of once"
                )
        for place in copies:
            if place not in astray:
                self.problems.append(f"{'/'.join(place)} was forwarded without need")

    def _apply(self, record: Any, made: Sent) -> None:
        now_ms = max(self._clocks.get(record.partition, 0), record.timestamp)
        self._clocks[record.partition] = now_ms
        model = self.models.get(made.profile_id)
        if model is None:
            model = self.models[made.profile_id] = Model([], EngineLimits())
            model.checked = self._expressions
        update = ProfileUpdate(
            ProfileKey(self.tenant, made.profile_id),
            Origin(record.topic, record.partition, record.offset),
            record.timestamp,
            made.event_id,
            made.attributes,
            made.event,
            made.event_ms,
            deletes=made.kind == "tombstone",
        )
        model.update(update, now_ms)

    def members(self, now_ms: int) -> dict[str, set[str]]:
        """Return by profile the segments it is in, as numbered by `segments.TEXTS`."""
        return {name: model.members(now_ms) for name, model in self.models.items()}


def histories_of(changes: Iterable[Change]) -> Histories:
    """Return the changes of each profile and segment in the order read."""
    found: Histories = defaultdict(list)
    for change in changes:
        found[change["profileId"], change["segmentId"]].append(change)
    return found


def shown(history: Sequence[Change]) -> str:
    """Return a history for a person."""
    rows = [
        f"    {one['sequence']:>3} {one['previousStatus']} -> {one['status']} at"
        f" {one['lastQualificationTime']} by {json.dumps(one['cause'])}"
        for one in history
    ]
    return "\n".join(rows) or "    (no change at all)"


def history_problems(histories: Histories) -> list[str]:
    """Check that statuses alternate, sequences are 1, 2, 3, … and no change comes twice."""
    found = []
    ids: set[str] = set()
    for (profile_id, segment_id), history in histories.items():
        previous = None
        for index, change in enumerate(history):
            wanted = "exited" if index % 2 else "realized"
            actual = (change["sequence"], change["status"], change["previousStatus"])
            if actual != (index + 1, wanted, previous) or change["changeId"] in ids:
                repeated = " (its changeId was there before)" if change["changeId"] in ids else ""
                found.append(
                    f"profile {profile_id} segment {segment_id}: change {index + 1} is {actual},"
                    f" expected {(index + 1, wanted, previous)}{repeated}\n{shown(history)}"
                )
                break
            ids.add(change["changeId"])
            previous = wanted
    return found


def cause_problems(changes: Iterable[Change], records: Iterable[Any], topic: str) -> list[str]:
    """Check that a change by an update names a record of that very profile."""
    keys = {(one.partition, one.offset): one.key for one in records}
    found = []
    for change in changes:
        cause = change["cause"]
        if "offset" not in cause:
            continue
        key = keys.get((cause["partition"], cause["offset"]))
        if cause["topic"] != topic or key != change["profileId"].encode():
            found.append(f"{change['changeId']} says it was caused by {cause}, a record of {key}")
    return found


def state_problems(
    histories: Histories, expected: Mapping[str, set[str]], segment_ids: Sequence[str]
) -> list[str]:
    """Compare the last status of every profile and segment with the oracle's answer."""
    found = []
    for profile_id, wanted in expected.items():
        for number, segment_id in enumerate(segment_ids):
            history = histories.get((profile_id, segment_id), [])
            is_member = bool(history) and history[-1]["status"] == "realized"
            if is_member != (f"s{number}" in wanted):
                found.append(
                    f"profile {profile_id} segment {segment_id} (number {number}): published as"
                    f" {'in' if is_member else 'out'}, the oracle says"
                    f" {'in' if f's{number}' in wanted else 'out'}\n{shown(history)}"
                )
    strangers = {profile_id for profile_id, _ in histories} - set(expected)
    found += [f"profile {name} has changes but was never sent" for name in sorted(strangers)]
    return found


def map_problems(
    histories: Histories, records: Iterable[Any], exists: Mapping[str, bool]
) -> list[str]:
    """Compare the last record of each profile on the compacted topic with its changes."""
    last = {one.key.decode().rsplit("/", 1)[1]: one.value for one in records}
    wanted: dict[str, dict[str, tuple[str, int]]] = defaultdict(dict)
    for (profile_id, segment_id), history in histories.items():
        wanted[profile_id][segment_id] = (history[-1]["status"], history[-1]["sequence"])
    found = []
    for profile_id, statuses in wanted.items():
        value = last.get(profile_id)
        if not exists[profile_id]:
            if value is not None:
                found.append(f"profile {profile_id} is deleted, but memberships has {value!r}")
            continue
        stored = json.loads(value)["segmentMembership"]["ups"] if value else {}
        actual = {name: (one["status"], one["sequence"]) for name, one in stored.items()}
        differing = sorted({name for name, _ in statuses.items() ^ actual.items()})
        found += [
            f"profile {profile_id} segment {name}: memberships says {actual.get(name)}, the"
            f" changes say {statuses.get(name)}\n{shown(histories.get((profile_id, name), []))}"
            for name in differing
        ]
    return found


def dead_letter_problems(letters: Iterable[Any], truth: Truth, topic: str) -> list[str]:
    """Check that the dead letters are the poison, each once, byte for byte, with its code."""
    found = []
    left = dict(truth.dead)
    for letter in letters:
        headers = {name: value.decode() for name, value in letter.headers}
        place = (int(headers["partition"]), int(headers["offset"]))
        record = left.pop(place, None)
        if record is None or headers["topic"] != topic:
            found.append(f"a dead letter too many: {headers}: {(letter.value or b'')[:200]!r}")
            continue
        code = truth.sent[int(dict(record.headers)[NUMBER])].kind
        if (letter.key, letter.value) != (record.key, record.value):
            found.append(f"the dead letter of {place} does not carry the original bytes")
        if headers["error-code"] != code or len(headers["message"]) < 20:
            found.append(f"the dead letter of {place} should say {code}: {headers}")
    found += [f"no dead letter of {place}: {one.value[:200]!r}" for place, one in left.items()]
    return found


def report(problems: Sequence[str], where: str) -> str:
    """Return what a failed test says."""
    return f"{len(problems)} problems; {where}\n" + "\n".join(problems[:12])
