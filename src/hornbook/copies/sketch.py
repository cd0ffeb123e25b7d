"""A shard's sketch: what is needed of its documents to find copies, a small part of their size."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from hornbook.copies.rule import Facts, Rule
from hornbook.copies.shuffle import Numbers, Shuffle
from hornbook.core.shards import read_table, write_bytes
from hornbook.core.spans import Hashes
from hornbook.text.minhash import band_keys, signatures
from hornbook.text.ngrams import batches, grams, words

ROW_BITS = 32
PARQUET_BYTES_A_PART = 16 << 20
MIN_PARTS, MAX_PARTS = 4, 256
"""Every part opens a file of every shard: with more parts, opening would cost more than reading."""
_BLANKS = bytes(ord(" ") if byte in b" \t\n\r\v\f" else byte for byte in range(256))


@dataclass(frozen=True, slots=True)
class Corpus:
    """The shards to be compared and where the work on them waits; a document's number is its shard's and its row."""

    shards: tuple[Path, ...]
    work: Path
    parts: int

    @classmethod
    def of(cls, shards: list[Path], work: Path) -> Corpus:
        size = sum(path.stat().st_size for path in shards)
        return cls(tuple(shards), work, min(MIN_PARTS + size // PARQUET_BYTES_A_PART, MAX_PARTS))

    def shuffle(self, name: str) -> Shuffle:
        return Shuffle(self.work / name, self.parts)

    def part_of(self, documents: Numbers) -> Numbers:
        """The part of each document: neighbouring shards share one, so parts are in order of documents."""
        return (documents >> ROW_BITS) * self.parts // max(len(self.shards), 1)

    def shards_of(self, part: int) -> Iterator[int]:
        count = len(self.shards)
        return (shard for shard in range(count) if shard * self.parts // count == part)

    def file(self, shard: int, ending: str) -> Path:
        return self.work / f"{self.shards[shard].stem}{ending}"

    def numbers(self, shard: int, rows: Numbers) -> Numbers:
        return (np.int64(shard) << ROW_BITS) + rows

    def facts(self, shard: int) -> Facts:
        """Columns exact, chars, licensed, shingles, and document: the number of each row."""
        with np.load(self.file(shard, ".npz")) as file:
            found = {name: file[name] for name in file.files}
        return {**found, "document": self.numbers(shard, np.arange(len(found["exact"])))}

    def keys(self, shard: int) -> NDArray[np.uint64]:
        """Band keys [documents, bands]."""
        keys: NDArray[np.uint64] = np.load(self.file(shard, ".keys.npy"), mmap_mode="r")
        return keys


class Sets:
    """The sets of shingles of documents, mapped from their files, not read."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self.open: dict[int, tuple[NDArray[np.uint32], Numbers]] = {}

    def of(self, document: int) -> NDArray[np.uint32]:
        """A document's set, sorted."""
        shard, row = document >> ROW_BITS, document & ((1 << ROW_BITS) - 1)
        if shard not in self.open:
            ends = np.cumsum(self.corpus.facts(shard)["shingles"])
            sets = np.load(self.corpus.file(shard, ".npy"), mmap_mode="r")
            self.open[shard] = sets, np.concatenate(([0], ends))
        sets, cuts = self.open[shard]
        return sets[cuts[row] : cuts[row + 1]]


def sketch(job: tuple[Rule, Corpus, int]) -> None:
    """Write a shard's sets of shingles (.npy), band keys (.keys.npy) and, last, hashes and sizes (.npz)."""
    rule, corpus, shard = job
    table = read_table(corpus.shards[shard], ["text", "meta"])
    texts = table["text"].to_pylist()
    keys, sets = _shingled(rule, texts if rule.near else [])
    facts: dict[str, Any] = {
        "exact": np.array([exact_hash(text) for text in texts], np.uint64),
        "chars": np.array([len(text) for text in texts], np.int64),
        "licensed": np.array([_is_licensed(meta) for meta in table["meta"].to_pylist()], bool),
        "shingles": np.array([len(part) for part in sets] or [0] * len(texts), np.int64),
    }
    _save(
        corpus.file(shard, ".npy"),
        lambda file: np.save(file, np.concatenate([np.zeros(0, np.uint32), *sets])),
    )
    _save(corpus.file(shard, ".keys.npy"), lambda file: np.save(file, keys))
    _save(corpus.file(shard, ".npz"), lambda file: np.savez(file, **facts))


def _shingled(rule: Rule, texts: list[str]) -> tuple[Hashes, list[NDArray[np.uint32]]]:
    """Band keys [texts, bands], and each text's set of shingles."""
    bands, rows = rule.bands
    keys = [np.zeros((0, bands), np.uint64)]
    sets: list[NDArray[np.uint32]] = []
    for batch in batches(texts):
        shingles, _, offsets = grams(words(batch), rule.shingle_words)
        keys.append(band_keys(signatures(shingles, offsets, rule.hashes), bands, rows))
        sets.extend(map(_sorted_set, np.split(shingles.astype(np.uint32), offsets[1:-1])))
    return np.concatenate(keys), sets


def exact_hash(text: str) -> int:
    """The hash of a text whose runs of ASCII blanks count as one space."""
    data = text.encode("utf-8", "surrogatepass").translate(_BLANKS)
    values = np.frombuffer(data, np.uint8)
    kept = values != ord(" ")
    kept[1:] |= kept[:-1].copy()
    return xxhash.xxh3_64_intdigest(values[kept].tobytes().strip(b" "))


def _is_licensed(meta: str) -> bool:
    return '"licence":' in meta and '"licence":""' not in meta and '"licence":[]' not in meta


def _sorted_set(values: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """np.unique, seven times faster: a sort and a comparison of neighbours."""
    ordered = np.sort(values)
    new = np.ones(len(ordered), bool)
    new[1:] = ordered[1:] != ordered[:-1]
    return ordered[new]


def _save(path: Path, write: Callable[[io.BytesIO], None]) -> None:
    buffer = io.BytesIO()
    write(buffer)
    write_bytes(path, buffer.getvalue())
