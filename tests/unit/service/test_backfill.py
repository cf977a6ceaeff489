"""What a partition keeps of the scans of its profiles, and what it does next."""

from __future__ import annotations

from app.domain.model import ProfileKey, Tenant
from app.service.backfill import HASHES, Backfill, Scan, Slice, Suspects

TENANT = Tenant("org", "prod")
OTHER = Tenant("org", "dev")
NOBODY = Suspects()
FIELD = "backfill:org/prod"


def keys(count: int) -> list[ProfileKey]:
    return [ProfileKey(TENANT, f"p-{number}") for number in range(count)]


def test_another_tag_starts_a_scan_and_the_first_batch_says_so():
    backfill = Backfill()
    assert backfill.begin(TENANT, "1-a") == {FIELD: "1-a 0"}
    assert backfill.is_waiting
    assert backfill.next(10, NOBODY) == Slice(TENANT, "1-a", 0, 10)


def test_a_slice_moves_the_cursor_and_the_last_one_ends_the_scan():
    backfill = Backfill()
    backfill.begin(TENANT, "1-a")
    first = backfill.next(10, NOBODY)
    assert first is not None
    assert backfill.advance(first, 77) == {FIELD: "1-a 77"}
    second = backfill.next(10, NOBODY)
    assert second == Slice(TENANT, "1-a", 77, 10)
    assert backfill.advance(second, None) == {FIELD: "1-a done"}
    assert not backfill.is_waiting
    assert backfill.next(10, NOBODY) is None
    assert backfill.begin(TENANT, "1-a") == {}
    assert not backfill.is_waiting


def test_a_scan_goes_on_from_what_was_stored():
    backfill = Backfill()
    backfill.restore({FIELD: "1-a 77", "backfill:org/dev": "4-d done", "epoch": "3"})
    assert not backfill.is_waiting  # until the catalogue is known
    assert backfill.begin(TENANT, "1-a") == {}
    assert backfill.begin(OTHER, "4-d") == {}
    assert backfill.next(10, NOBODY) == Slice(TENANT, "1-a", 77, 10)


def test_a_newer_tag_starts_over_whether_or_not_the_scan_was_done():
    backfill = Backfill()
    backfill.restore({FIELD: "1-a 77", "backfill:org/dev": "4-d done"})
    assert backfill.begin(TENANT, "2-b") == {FIELD: "2-b 0"}
    assert backfill.begin(OTHER, "5-e") == {"backfill:org/dev": "5-e 0"}
    assert backfill.next(10, NOBODY) == Slice(TENANT, "2-b", 0, 10)


def test_only_what_is_stored_is_reported():
    backfill = Backfill()
    backfill.begin(TENANT, "1-a")
    assert backfill.unreported == {}
    backfill.committed()
    assert backfill.unreported == {TENANT: Scan("1-a", 0)}
    scan = backfill.next(10, NOBODY)
    assert scan is not None
    backfill.advance(scan, None)
    assert backfill.unreported[TENANT].share == 0.0
    backfill.committed()
    assert backfill.unreported[TENANT].share == 1.0


def test_what_an_owner_finds_is_reported_again():
    backfill = Backfill()
    backfill.restore({FIELD: "1-a done"})
    assert backfill.unreported == {TENANT: Scan("1-a", None)}


def test_only_a_finished_scan_has_the_whole_share():
    assert Scan("1-a", HASHES // 4).share == 0.25
    assert Scan("1-a", HASHES - 1).share < 1.0
    assert Scan("1-a", None).share == 1.0


def test_a_profile_that_fails_is_found_by_halves_and_left_out():
    suspects, backfill = Suspects(), Backfill()
    backfill.begin(TENANT, "1-a")
    scan = backfill.next(4, suspects)
    assert scan is not None
    assert not scan.is_alone
    suspects.blame(scan, keys(4), 400)
    for size in (4, 2, 1):
        scan = backfill.next(256, suspects)
        assert scan == Slice(TENANT, "1-a", 0, size, is_alone=True)
        suspects.blame(scan, keys(size), 400)
    assert suspects.bad == set(keys(1))
    assert backfill.next(256, suspects) == Slice(TENANT, "1-a", 0, 256)


def test_the_search_ends_behind_the_slice_that_failed():
    suspects, backfill = Suspects(), Backfill()
    backfill.begin(TENANT, "1-a")
    scan = backfill.next(4, suspects)
    assert scan is not None
    suspects.blame(scan, keys(4), 400)
    alone = backfill.next(256, suspects)
    assert alone is not None
    assert alone.is_alone
    backfill.advance(alone, 400)
    assert backfill.next(256, suspects) == Slice(TENANT, "1-a", 400, 256)
