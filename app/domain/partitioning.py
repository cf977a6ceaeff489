"""Which partition a profile lives in: murmur2 of its key, as Kafka's Java client computes it.

Faust, Kafka Streams and aiokafka agree, so the control plane finds a profile without asking.
librdkafka's default differs (CRC32); its `murmur2_random` is the same.
"""

from __future__ import annotations

_SEED = 0x9747B28C
_MIX = 0x5BD1E995
_MASK = 0xFFFFFFFF


def murmur2(data: bytes) -> int:
    """Return the 32-bit MurmurHash2 of `data`, unsigned, with the seed of Kafka's Java client."""
    mixed = (_SEED ^ len(data)) & _MASK
    whole = len(data) & ~3
    for start in range(0, whole, 4):
        block = int.from_bytes(data[start : start + 4], "little") * _MIX & _MASK
        block = (block ^ block >> 24) * _MIX & _MASK
        mixed = mixed * _MIX & _MASK ^ block
    if whole < len(data):
        mixed = (mixed ^ int.from_bytes(data[whole:], "little")) * _MIX & _MASK
    mixed = (mixed ^ mixed >> 13) * _MIX & _MASK
    return mixed ^ mixed >> 15


def partition_of(key: str, partitions: int) -> int:
    """Return the partition of a record key, given as text, among `partitions`."""
    return (murmur2(key.encode()) & 0x7FFFFFFF) % partitions
