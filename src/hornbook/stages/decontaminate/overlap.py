"""Word n-grams that a text shares with protected texts: contamination, found and shown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hornbook.text.hashes import Hashes, batches
from hornbook.text.ngrams import BATCH_CHARS, grams, words

_TABLE_BITS = 20


@dataclass(frozen=True, slots=True)
class Overlap:
    """What a text shares with the protected text it shares most grams with."""

    name: str
    grams: int
    """How many grams of the text are that protected text's."""
    matched: str
    """The longest stretch of the text whose every gram is protected."""


@dataclass(frozen=True)
class Protected:
    """The n-grams of protected texts, ready to be looked for."""

    length: int
    names: tuple[str, ...]
    hashes: Hashes
    """Sorted, without repeats."""
    owners: tuple[tuple[int, ...], ...]
    """For each hash, which names it belongs to."""
    table: NDArray[np.bool_]
    """Whether any hash begins with these bits: one look in cache spares nearly every search."""

    @classmethod
    def of(cls, texts: Mapping[str, Sequence[str]], length: int, min_word_kinds: int) -> Protected:
        """Protect `texts` (name -> its texts): every gram with at least `min_word_kinds` different words of letters.

        Words of two letters and more count; tables of numbers and punctuation-like code never do.
        """
        owners: dict[int, set[int]] = {}
        for number, parts in enumerate(texts.values()):
            for hash_ in _telling_grams(parts, length, min_word_kinds):
                owners.setdefault(hash_, set()).add(number)
        hashes = np.array(sorted(owners), np.uint64)
        table = np.zeros(1 << _TABLE_BITS, bool)
        table[_prefix(hashes)] = True
        by_hash = tuple(tuple(sorted(owners[int(hash_)])) for hash_ in hashes)
        return cls(length, tuple(texts), hashes, by_hash, table)

    @property
    def covered(self) -> frozenset[str]:
        """The names that at least one gram belongs to; the others are too short or too plain to be found."""
        return frozenset(self.names[number] for owners in self.owners for number in owners)

    def overlaps(self, texts: Sequence[str]) -> Iterator[Overlap | None]:
        """For each text what it shares, None where that is nothing."""
        for batch in batches(texts, BATCH_CHARS):
            yield from self._overlaps(batch)

    def _overlaps(self, texts: Sequence[str]) -> list[Overlap | None]:
        batch = words(texts)
        found, positions, offsets = grams(batch, self.length)
        hits = np.flatnonzero(self.table[_prefix(found)])
        places = np.minimum(np.searchsorted(self.hashes, found[hits]), max(len(self.hashes) - 1, 0))
        real = self.hashes[places] == found[hits] if len(self.hashes) else np.zeros(0, bool)
        hits, places = hits[real], places[real]
        text_of_hit = np.searchsorted(offsets, hits, side="right") - 1
        results: list[Overlap | None] = [None] * len(texts)
        for text in np.unique(text_of_hit):
            here = text_of_hit == text
            first, last = _longest_run(positions[hits[here]])
            name, count = self._most_shared(places[here])
            results[text] = Overlap(name, count, batch.span(first, last + self.length - 1))
        return results

    def _most_shared(self, places: NDArray[np.int64]) -> tuple[str, int]:
        counts = np.zeros(len(self.names), np.int64)
        for place in places:
            counts[list(self.owners[place])] += 1
        best = int(counts.argmax())
        return self.names[best], int(counts[best])


def _telling_grams(texts: Sequence[str], length: int, min_word_kinds: int) -> Iterator[int]:
    for text in texts:
        batch = words([text])
        kinds = [_is_telling(batch.span(word, word)) for word in range(len(batch.hashes))]
        hashes, positions, _ = grams(batch, length)
        for hash_, position in zip(hashes, positions, strict=True):
            telling = {int(batch.hashes[i]) for i in range(position, position + length) if kinds[i]}
            if len(telling) >= min_word_kinds:
                yield int(hash_)


def _is_telling(word: str) -> bool:
    return len(word) > 1 and any(character.isalpha() for character in word)


def _prefix(hashes: Hashes) -> NDArray[np.int64]:
    return (hashes >> np.uint64(64 - _TABLE_BITS)).astype(np.int64)


def _longest_run(positions: NDArray[np.int64]) -> tuple[int, int]:
    """First and last of the longest run of consecutive positions."""
    runs = np.split(positions, np.flatnonzero(np.diff(positions) != 1) + 1)
    longest = max(runs, key=len)
    return int(longest[0]), int(longest[-1])
