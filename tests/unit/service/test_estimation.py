from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.service.estimation import Stratum, estimate, wilson


@pytest.mark.parametrize(
    ("share", "read", "low", "high"),
    [
        # Published worked examples of the score interval at 95 %.
        (0.1, 10, 0.0179, 0.4042),
        (0.5, 10, 0.2366, 0.7634),
        (0.0, 10, 0.0, 0.2775),
        (81 / 263, 263, 0.2553, 0.3662),
        (15 / 148, 148, 0.0624, 0.1605),
    ],
)
def test_the_interval_is_that_of_wilson(share: float, read: int, low: float, high: float) -> None:
    assert wilson(share, read) == pytest.approx((low, high), abs=5e-5)


def test_one_partition_has_the_error_of_a_sample_without_replacement() -> None:
    found = estimate([Stratum(total=10_000, read=1_001, matched=91)])
    share = 91 / 1_001
    error = 10_000 * math.sqrt((1 - 0.1001) * share * (1 - share) / 1_000)
    assert found.size == round(10_000 * share)
    assert found.standard_error == pytest.approx(error)


def test_partitions_of_other_sizes_count_by_their_size() -> None:
    found = estimate([Stratum(1_000, 100, 100), Stratum(9_000, 100, 0)])
    assert found.size == 1_000


def test_partitions_that_were_read_whole_add_no_error() -> None:
    alone = estimate([Stratum(1_000, 100, 40)])
    both = estimate([Stratum(1_000, 100, 40), Stratum(50, 50, 20)])
    assert both.standard_error == pytest.approx(alone.standard_error)
    assert both.size == alone.size + 20


def test_a_partition_that_has_not_begun_is_like_the_others() -> None:
    assert estimate([Stratum(1_000, 100, 50), Stratum(1_000, 0, 0)]).size == 1_000
    assert estimate([Stratum(1_000, 0, 0)]) == estimate([Stratum(500, 0, 0), Stratum(500, 0, 0)])
    assert estimate([Stratum(1_000, 0, 0)]).high == 1_000


def test_nobody_found_in_a_sample_does_not_mean_nobody() -> None:
    found = estimate([Stratum(1_000_000, 1_000, 0)])
    assert (found.size, found.low) == (0, 0)
    # The rule of three, a little more careful.
    assert 3_000 < found.high < 4_000


STRATA = st.lists(
    st.integers(0, 3_000).flatmap(
        lambda total: st.integers(0, total).flatmap(
            lambda read: st.builds(Stratum, st.just(total), st.just(read), st.integers(0, read))
        )
    ),
    max_size=9,
)


@given(STRATA)
def test_the_interval_holds_the_share_and_what_is_certain(strata: list[Stratum]) -> None:
    total = sum(one.total for one in strata)
    read = sum(one.read for one in strata)
    matched = sum(one.matched for one in strata)
    found = estimate(strata)
    assert matched <= found.low <= found.size <= found.high <= total - (read - matched)
    assert found.standard_error >= 0


@given(STRATA)
def test_all_read_is_exact(strata: list[Stratum]) -> None:
    whole = [Stratum(one.read, one.read, one.matched) for one in strata]
    matched = sum(one.matched for one in whole)
    found = estimate(whole)
    assert (found.size, found.low, found.high) == (matched, matched, matched)
    assert found.standard_error == 0


def test_the_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    chance = random.Random(5)
    population = [number < 600 for number in range(6_000)]
    hits = 0
    for _ in range(400):
        chance.shuffle(population)
        strata = [
            Stratum(len(part), 150, sum(part[:150]))
            for part in (population[:1_500], population[1_500:3_000], population[3_000:])
        ]
        found = estimate(strata)
        hits += found.low <= 600 <= found.high
    assert 370 <= hits <= 396
