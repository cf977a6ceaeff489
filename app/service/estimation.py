"""How many profiles meet a predicate, estimated from a uniform sample of each partition.

The profiles read of a partition are those with the smallest hashes: a sample without replacement.
Source: API reference, `GET /estimate`; Wilson (1927) for the interval, with the effective sample
size in place of the number read, so that it narrows to nothing where all profiles were read
(docs/decisions/0306).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Z_95 = 1.959963984540054
"""Two-sided 95 % quantile of the normal distribution."""

_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True)
class Stratum:
    """One partition.

    Attributes:
        total: Profiles there are.
        read: Of these, how many were evaluated; at most `total`.
        matched: Of these, how many meet the predicate.
    """

    total: int
    read: int
    matched: int


@dataclass(frozen=True, slots=True)
class Estimate:
    """Numbers of profiles.

    Attributes:
        size: The estimate.
        standard_error: Of it; 0 where all profiles were read.
        low, high: The 95 % interval; `low <= size <= high`.
    """

    size: int
    standard_error: float
    low: int
    high: int


def estimate(strata: Sequence[Stratum]) -> Estimate:
    """Estimate how many of all profiles match.

    While a partition that has profiles is not read at all, the others stand for it.
    """
    total = sum(one.total for one in strata)
    read = sum(one.read for one in strata)
    matched = sum(one.matched for one in strata)
    if read == 0:
        return Estimate(0, 0.0, 0, total)
    if any(one.read == 0 < one.total for one in strata):
        strata = [Stratum(total, read, matched)]
    size = sum(one.total * one.matched / one.read for one in strata if one.read)
    if read >= total:
        return Estimate(matched, 0.0, matched, matched)
    error = math.sqrt(sum(_variance(one) for one in strata if one.read))
    low, high = wilson(size / total, _effective(size, total, read, error))
    # What was seen is certain: so many match, and so many do not.
    least, most = matched, total - (read - matched)
    return Estimate(
        round(size),
        error,
        max(least, math.floor(total * low + _ROUNDING)),
        min(most, math.ceil(total * high - _ROUNDING)),
    )


def wilson(share: float, read: float, z: float = Z_95) -> tuple[float, float]:
    """Return the Wilson score interval of a share.

    Args:
        share: Observed, 0 to 1.
        read: Number of observations, more than 0; need not be whole.
        z: Quantile of the normal distribution.
    """
    spread = z * z / read
    centre = (share + spread / 2) / (1 + spread)
    half = z / (1 + spread) * math.sqrt(share * (1 - share) / read + spread / (4 * read))
    # Rounding must not put the share itself outside.
    return max(0.0, min(centre - half, share)), min(1.0, max(centre + half, share))


def _variance(one: Stratum) -> float:
    """Return the variance of the estimated number of matches in a stratum."""
    if one.read >= one.total:
        return 0.0
    share = one.matched / one.read
    unread = 1 - one.read / one.total
    return one.total**2 * unread * share * (1 - share) / max(one.read - 1, 1)


def _effective(size: float, total: int, read: int, error: float) -> float:
    """Return how many draws with replacement would know as much."""
    if error > 0:
        share = size / total
        return share * (1 - share) * (total / error) ** 2
    # All or none of those read match: their number is all there is to go by.
    return read / (1 - read / total)
