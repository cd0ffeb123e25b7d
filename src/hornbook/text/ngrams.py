"""Words and word n-grams as 64-bit hashes, for whole batches of texts at a time.

A word is a run of ASCII letters, digits, underscores and non-ASCII characters; ASCII case is ignored.
Words are hashed eight bytes a step, all at once. The hash of a gram is a polynomial in those of its words, read
off a prefix sum: P(i) = sum of hash k * B^k for k < i, modulo 2^64, so gram(i, j) = (P(j) - P(i)) * B^-i. Passes
of numpy over a batch replace a compiled scanner at about 200 MB/s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from hornbook.text.hashes import Hashes, Positions, mixed, span_hashes

BATCH_CHARS = 1 << 18
"""Texts are best scanned in batches of about this size, whose arrays stay in the processor's cache."""
_BASE = 0x9E3779B97F4A7C15
_LETTERS = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") | frozenset(
    range(128, 256)
)
_IS_WORD = bytes(byte in _LETTERS for byte in range(256))
_LOWER = bytes(range(256)).lower()


@dataclass(frozen=True, slots=True)
class Words:
    """The words of several texts in a row: their hashes, their byte spans, and where each text begins."""

    data: bytes
    """The texts in UTF-8, a newline between them."""
    hashes: Hashes
    starts: Positions
    ends: Positions
    text_offsets: Positions
    """Text number t has words text_offsets[t] to text_offsets[t + 1]."""

    def span(self, first: int, last: int) -> str:
        """The text from word `first` to word `last`, both included."""
        return self.data[self.starts[first] : self.ends[last]].decode("utf-8", "replace")


def words(texts: Sequence[str]) -> Words:
    """The words of a batch of texts; memory is about 30 bytes for each byte of text."""
    encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
    data = b"\n".join(encoded)
    lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
    flags = np.frombuffer(b"\0" + data.translate(_IS_WORD) + b"\0", np.uint8)
    edges = np.flatnonzero(flags[1:] != flags[:-1])
    starts, ends = edges[::2], edges[1::2]
    text_starts = np.concatenate(([0], np.cumsum(lengths + 1)))
    hashes = span_hashes(data.translate(_LOWER), starts, ends)
    return Words(data, hashes, starts, ends, np.searchsorted(starts, text_starts))


def gram_hashes(hashes: Hashes, length: int) -> Hashes:
    """The hash of every run of `length` words, in order; empty where there are fewer words."""
    count = max(len(hashes) - length + 1, 0)
    powers, inverses = _powers(1 << max(len(hashes) - 1, 1).bit_length())
    prefix = np.zeros(len(hashes) + 1, np.uint64)
    np.cumsum(hashes * powers[: len(hashes)], out=prefix[1:])
    return mixed((prefix[len(prefix) - count :] - prefix[:count]) * inverses[:count])


def grams(batch: Words, length: int) -> tuple[Hashes, Positions, Positions]:
    """The n-gram hashes of a batch that lie within one text, the word each begins at, and text offsets into them."""
    valid = np.ones(max(len(batch.hashes) - length + 1, 0), bool)
    for text_end in batch.text_offsets[1:-1]:
        valid[max(text_end - length + 1, 0) : text_end] = False
    positions = np.flatnonzero(valid)
    return gram_hashes(batch.hashes, length)[valid], positions, np.searchsorted(positions, batch.text_offsets)


@cache
def _powers(count: int) -> tuple[Hashes, Hashes]:
    """The first powers of the base, and of its inverse modulo 2^64."""
    return _powers_of(_BASE, count), _powers_of(pow(_BASE, -1, 1 << 64), count)


def _powers_of(base: int, count: int) -> Hashes:
    factors = np.full(count, base, np.uint64)
    factors[0] = 1
    return np.cumprod(factors)
