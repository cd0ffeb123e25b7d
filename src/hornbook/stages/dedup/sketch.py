"""A shard's sketch: what is needed of its documents to find copies, a small part of their size."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from numpy.typing import NDArray

from hornbook.core.shards import read_table, shards
from hornbook.stages.dedup.config import Facts, Rule
from hornbook.stages.dedup.partitions import Numbers, Shuffle
from hornbook.text.hashes import Hashes, batches
from hornbook.text.minhash import band_keys, signatures
from hornbook.text.ngrams import BATCH_CHARS, grams, words

ROW_BITS = 32
PARQUET_BYTES_A_PART = 4 << 20
MAX_PARTS = 2048
"""Each part writes a file that every part reads, so their number is paid for squared. Beyond it parts grow: a worker
then holds about 80 MB more for each terabyte of text."""
_BLANKS = bytes(ord(" ") if byte in b" \t\n\r\v\f" else byte for byte in range(256))


@dataclass(frozen=True, slots=True)
class Corpus:
    """A dataset to be compared and where the work on it waits; a document's number is its shard's and its row.

    It travels to every worker with every step, so it holds no list that grows with the dataset.
    """

    dataset: Path
    work: Path
    parts: int

    @classmethod
    def of(cls, dataset: Path, work: Path) -> Corpus:
        found = shards(dataset)
        size = sum(path.stat().st_size for path in found)
        return cls(dataset, work, min(1 + size // PARQUET_BYTES_A_PART, MAX_PARTS, len(found)))

    @property
    def shards(self) -> list[Path]:
        return _listed(self.dataset)

    def shuffle(self, name: str) -> Shuffle:
        return Shuffle(self.work / name, self.parts)

    def part_of(self, documents: Numbers) -> Numbers:
        """The part of each document: neighbouring shards share one, so parts are in order of documents."""
        return (documents >> ROW_BITS) * self.parts // len(self.shards)

    def part_of_shard(self, shard: int) -> int:
        return shard * self.parts // len(self.shards)

    def shards_of(self, part: int) -> range:
        count = len(self.shards)
        return range(-(-part * count // self.parts), -(-(part + 1) * count // self.parts))

    def sketch_file(self, shard: int) -> Path:
        return self.work / f"{self.shards[shard].stem}.arrow"

    def sketch(self, shard: int) -> pa.RecordBatch:
        """A shard's sketch as `sketch` wrote it, mapped, not read."""
        with pa.memory_map(str(self.sketch_file(shard))) as file:
            return pa.ipc.open_file(file).get_batch(0)

    def numbers(self, shard: int, rows: Numbers) -> Numbers:
        return (np.int64(shard) << ROW_BITS) + rows

    def facts(self, shard: int) -> Facts:
        """Columns exact, chars, licensed, shingles (how many), and document: the number of each row."""
        batch = self.sketch(shard)
        found = {name: batch[name].to_numpy(zero_copy_only=False) for name in ("exact", "chars", "licensed")}
        found["shingles"] = np.diff(batch["shingles"].offsets.to_numpy()).astype(np.int64)
        return {**found, "document": self.numbers(shard, np.arange(len(batch)))}

    def facts_of(self, part: int) -> Facts:
        """The facts of all shards of a part."""
        found = [self.facts(shard) for shard in self.shards_of(part)]
        return {name: np.concatenate([facts[name] for facts in found]) for name in found[0]}

    def keys(self, shard: int) -> Hashes:
        """Band keys [documents, bands]."""
        keys = self.sketch(shard)["keys"]
        found: Hashes = keys.flatten().to_numpy().reshape(len(keys), keys.type.list_size)
        return found


@lru_cache(maxsize=1)
def _listed(dataset: Path) -> list[Path]:
    """The shards of a finished dataset, listed once a process."""
    return shards(dataset)


class Sets:
    """The sets of shingles of documents, mapped from their files, not read."""

    def __init__(self, corpus: Corpus) -> None:
        self.corpus = corpus
        self.open: dict[int, tuple[NDArray[np.uint32], Numbers]] = {}

    def of(self, document: int) -> NDArray[np.uint32]:
        """A document's set, sorted."""
        shard, row = document >> ROW_BITS, document & ((1 << ROW_BITS) - 1)
        if shard not in self.open:
            sets = self.corpus.sketch(shard)["shingles"]
            self.open[shard] = sets.values.to_numpy(), sets.offsets.to_numpy()
        sets, cuts = self.open[shard]
        return sets[cuts[row] : cuts[row + 1]]


def sketch(job: tuple[Rule, Corpus, int]) -> None:
    """Write of each document of a shard its hash, size and licence, its set of shingles and its band keys."""
    rule, corpus, shard = job
    table = read_table(corpus.shards[shard], ["text", "meta"])
    texts = table["text"]
    columns = {
        "exact": exact_hashes(texts),
        "chars": pc.utf8_length(texts).combine_chunks().cast(pa.int64()),
        "licensed": pa.array(_are_licensed(table["meta"], rule.clean_licences)),
        "shingles": pa.array([[]] * len(texts), pa.list_(pa.uint32())),
    }
    if rule.near:
        keys, sets = _shingled(rule, texts.to_pylist())
        cuts = np.cumsum([0, *map(len, sets)], dtype=np.int32)
        columns["shingles"] = pa.ListArray.from_arrays(cuts, np.concatenate([np.zeros(0, np.uint32), *sets]))
        columns["keys"] = pa.FixedSizeListArray.from_arrays(keys.ravel(), rule.bands[0])
    batch, path = pa.record_batch(columns), corpus.sketch_file(shard)
    partial = path.with_suffix(".partial")
    with pa.OSFile(str(partial), "wb") as sink, pa.ipc.new_file(sink, batch.schema) as file:
        file.write_batch(batch)
    partial.rename(path)


def _shingled(rule: Rule, texts: list[str]) -> tuple[Hashes, list[NDArray[np.uint32]]]:
    """Band keys [texts, bands], and each text's set of shingles."""
    bands, rows = rule.bands
    keys = [np.zeros((0, bands), np.uint64)]
    sets: list[NDArray[np.uint32]] = []
    for batch in batches(texts, BATCH_CHARS):
        shingles, _, offsets = grams(words(batch), rule.shingle_words)
        keys.append(band_keys(signatures(shingles, offsets, rule.hashes), bands, rows))
        sets.extend(map(_sorted_set, np.split(shingles.astype(np.uint32), offsets[1:-1])))
    return np.concatenate(keys), sets


def exact_hashes(texts: pa.ChunkedArray) -> Hashes:
    """The hash of each text, its runs of ASCII blanks as one space."""
    return np.array([_exact_hash(data) for chunk in texts.chunks for data in _bytes_of(chunk)], np.uint64)


def _bytes_of(texts: pa.StringArray) -> Iterator[bytes]:
    """The UTF-8 of each text, from the buffer where it lies."""
    _, offsets, data = texts.buffers()
    cuts = np.frombuffer(offsets, np.int32)[texts.offset : texts.offset + len(texts) + 1].tolist()
    values = memoryview(data or b"")
    return (bytes(values[begin:end]) for begin, end in pairwise(cuts))


def _exact_hash(data: bytes) -> int:
    values = np.frombuffer(data.translate(_BLANKS), np.uint8)
    kept = values != ord(" ")
    kept[1:] |= kept[:-1].copy()
    return xxhash.xxh3_64_intdigest(values[kept].tobytes().strip(b" "))


def _are_licensed(meta: pa.ChunkedArray, clean: tuple[str, ...]) -> NDArray[np.bool_]:
    """Whether each document has a licence; where some are named as clean, none but those."""
    named = np.flatnonzero(pc.match_substring(meta, '"licence":').to_numpy())
    licensed = np.zeros(len(meta), bool)
    for row, text in zip(named.tolist(), meta.take(pa.array(named)).to_pylist(), strict=True):
        value = orjson.loads(text)["licence"]
        licences = value if isinstance(value, list) else [value] if value else []
        licensed[row] = bool(licences) and (not clean or set(licences) <= set(clean))
    return licensed


def _sorted_set(values: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """np.unique, seven times faster: a sort and a comparison of neighbours."""
    ordered = np.sort(values)
    new = np.ones(len(ordered), bool)
    new[1:] = ordered[1:] != ordered[:-1]
    return ordered[new]
