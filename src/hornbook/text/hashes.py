"""Spans of bytes as 64-bit hashes, for a whole batch at a time: eight bytes a step, all spans at once.

Spans of one length of at most eight bytes never share a hash, since each step is a bijection.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
Positions = NDArray[np.int64]
_STEP = 8
_LOW_BYTES = np.array([(1 << (8 * count)) - 1 for count in range(_STEP + 1)], np.uint64)
_ODD = np.uint64(0x9E3779B97F4A7C15)
_MIX = np.uint64(0xD6E8FEB86659FD93)


def batches(texts: Sequence[str], chars: int) -> Iterator[Sequence[str]]:
    """Consecutive groups of texts of at most `chars` characters, or of one text."""
    begin = size = 0
    for number, text in enumerate(texts):
        if size and size + len(text) > chars:
            yield texts[begin:number]
            begin, size = number, 0
        size += len(text)
    if begin < len(texts):
        yield texts[begin:]


def span_hashes(data: bytes, starts: Positions, ends: Positions) -> Hashes:
    """The hash of data[start:end] for each span; equal bytes have equal hashes wherever they stand."""
    padded = data + bytes(_STEP)
    numbers: Hashes = np.ndarray((len(data) + 1,), "<u8", padded, strides=(1,))
    lengths = ends - starts
    hashes = numbers[starts] & _LOW_BYTES[np.minimum(lengths, _STEP)]
    hashes = mixed(hashes * _ODD + lengths.astype(np.uint64))
    at, longer = _STEP, np.flatnonzero(lengths > _STEP)
    while len(longer):
        part = numbers[starts[longer] + at] & _LOW_BYTES[np.minimum(lengths[longer] - at, _STEP)]
        hashes[longer] = mixed((hashes[longer] ^ part) * _ODD)
        at += _STEP
        longer = longer[lengths[longer] > at]
    return hashes


def mixed(hashes: Hashes) -> Hashes:
    """The hashes with their high bits spread over the low ones, in place; a bijection."""
    hashes ^= hashes >> np.uint64(32)
    hashes *= _MIX
    hashes ^= hashes >> np.uint64(29)
    return hashes
