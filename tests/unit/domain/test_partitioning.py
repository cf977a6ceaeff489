from __future__ import annotations

import pytest
from aiokafka.partitioner import murmur2 as reference
from hypothesis import given
from hypothesis import strategies as st

from app.domain.partitioning import murmur2, partition_of


@pytest.mark.parametrize(
    ("data", "expected"),  # the vectors of Kafka's own UtilsTest, as unsigned numbers
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_the_vectors_of_the_java_client(data: bytes, expected: int) -> None:
    assert murmur2(data) == expected & 0xFFFFFFFF


@given(st.binary(max_size=80))
def test_murmur2_agrees_with_aiokafka(data: bytes) -> None:
    assert murmur2(data) == reference(data)


@given(st.text(), st.integers(1, 1000))
def test_a_partition_is_in_range(key: str, partitions: int) -> None:
    assert 0 <= partition_of(key, partitions) < partitions
