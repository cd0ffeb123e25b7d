"""A mix of datasets -> rows of tokens, all of one length, with a record of the documents in each.

Documents are encoded shard by shard into files, only as many as the mix takes; what is held in memory is where each
document's ids are.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from pydantic import Field

from hornbook.core.context import Tools
from hornbook.core.errors import StageError
from hornbook.core.records import SCHEMA, Document, documents
from hornbook.core.settings import Config
from hornbook.core.shards import Counts, read_table, shards, write_json

if TYPE_CHECKING:
    from hornbook.model.tokenizer import Tokenizer
Ids = npt.NDArray[np.unsignedinteger[Any]]
Numbers = npt.NDArray[np.int64]
FIRST_DOCUMENTS = 1024
"""So many are encoded before it is known how long documents are."""
USES_A_CHUNK = 1 << 16
WORK = "work"
MANY = 1 << 62
DOCUMENTS_SCHEMA = pa.schema(
    [
        ("start", pa.int64()),
        ("id", pa.string()),
        ("source", pa.string()),
        ("part", pa.string()),
        ("epoch", pa.int64()),
    ]
)


class PackConfig(Config):
    """Which datasets, in what shares, make up how many tokens."""

    parts: dict[str, float] = Field(min_length=1)
    """Dataset -> its share of the tokens; shares are taken relative to their sum."""
    tokens: int = Field(ge=1)
    """Tokens in the training rows, rounded down to whole rows."""
    row_tokens: int = Field(ge=16)
    """Tokens in a row: the sequence length of training."""
    heldout_share: float = Field(0.01, ge=0, lt=1)
    """Share of each dataset's documents set aside for the held-out loss."""
    heldout_tokens: int = Field(65_536, ge=0)
    """Tokens in the held-out rows, at most."""


@dataclass(frozen=True)
class Encoded:
    """The first documents of a dataset in the order drawn for it, encoded: where the ids of each are."""

    name: str
    file: Path
    """Their ids, as read: see `begin` and `length`, in tokens."""
    begin: Numbers
    length: Numbers
    row: Numbers
    """Where each stands in its dataset, shards end to end."""
    heldout: Numbers
    """Those set aside, and below those that training takes: places in the order drawn."""
    taken: Numbers
    budget: int
    """Training tokens wanted."""

    @property
    def tokens(self) -> int:
        """Distinct training tokens."""
        return int(self.length[self.taken].sum())

    def uses(self, seed: int) -> tuple[Numbers, Numbers]:
        """(epoch, document) that reach the budget: whole epochs, each in an order of its own, and a rest."""
        lengths = self.length[self.taken]
        epochs, found = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
        left = self.budget
        while left > 0:
            key = [seed, xxhash.xxh32_intdigest(self.name.encode()), len(epochs) - 1]
            order = np.random.default_rng(key).permutation(len(lengths))
            ends = np.cumsum(lengths[order])
            used = order[ends - lengths[order] < left]
            found.append(self.taken[used])
            epochs.append(np.full(len(used), len(epochs) - 1))
            left -= int(ends[-1])
        return np.concatenate(epochs), np.concatenate(found)


def run(config: PackConfig, inputs: Mapping[str, Path], out: Path, tools: Tools) -> Counts:
    """Write rows.npy and heldout.npy [rows, row_tokens], documents.parquet and parts.json.

    Documents stand in an order drawn by the seed, each followed by end-of-text. A dataset that runs short is
    repeated in whole epochs, and parts.json says how many. StageError if a dataset is empty.
    """
    from hornbook.model.sequences import HELDOUT_FILE, id_type
    from hornbook.model.tokenizer import load_tokenizer

    dtype = id_type(load_tokenizer(inputs["tokenizer"]).vocabulary)
    out.mkdir(exist_ok=True)
    shutil.rmtree(out / WORK, ignore_errors=True)
    parts = []
    with tools.progress.bar("encode", config.tokens, "tokens") as bar:
        for name in sorted(config.parts):
            parts.append(_encode(name, config, inputs, out / WORK, tools))
            bar.advance(parts[-1].budget)
    aside = [part.heldout for part in parts]
    uses = np.repeat(np.arange(len(parts)), [len(places) for places in aside]), np.concatenate(aside)
    heldout_rows = _write_rows(out / HELDOUT_FILE, parts, uses, (MANY, config.row_tokens), dtype)
    rows = _write_training(parts, config, inputs, out, (tools.seed, dtype))
    shutil.rmtree(out / WORK)
    return {"rows": rows, "tokens": rows * config.row_tokens, "heldout_rows": heldout_rows}


def _encode(name: str, config: PackConfig, inputs: Mapping[str, Path], work: Path, tools: Tools) -> Encoded:
    """Encode a dataset's documents, in the order drawn, until its share of the tokens is reached."""
    whole = sum(config.parts.values())
    budget = round(config.tokens * config.parts[name] / whole)
    aside = round(config.heldout_tokens * config.parts[name] / whole)
    paths = shards(inputs[f"part.{name}"])
    sizes = np.array([pq.read_metadata(path).num_rows for path in paths], np.int64)
    order = np.random.default_rng([tools.seed, int(sizes.sum())]).permutation(int(sizes.sum()))
    work.mkdir(parents=True, exist_ok=True)
    file = work / f"{name.replace('/', '.')}.ids"
    spans = np.zeros((0, 2), np.int64)
    while True:
        begin, length = spans.T
        heldout, taken = _split(length, config.heldout_share, (budget, aside))
        tokens = int(length[taken].sum())
        if len(length) == len(order) or (len(length) and tokens >= budget):
            break
        more = int(1.1 * len(length) * budget / max(tokens, 1))
        places = order[len(length) : max(len(length) + FIRST_DOCUMENTS, more)]
        found = _encode_rows((paths, sizes, places), inputs["tokenizer"], file, tools)
        spans = np.concatenate([spans, found])
    if budget and not len(taken):
        raise StageError(f"dataset {name} holds no document to train on; see what was dropped and why")
    return Encoded(name, file, begin, length, order[: len(spans)], heldout, taken, budget)


def _split(lengths: Numbers, heldout_share: float, budgets: tuple[int, int]) -> tuple[Numbers, Numbers]:
    """Places set aside, a share of them up to a budget, and places taken until theirs is reached."""
    number = np.arange(len(lengths) + 1)
    steps = np.floor(number * heldout_share)
    chosen = steps[1:] > steps[:-1]
    before = np.cumsum(lengths * chosen) - lengths * chosen
    held = chosen & (before < budgets[1])
    reached = np.flatnonzero(np.cumsum(lengths * ~held) >= budgets[0])
    last = int(reached[0]) + 1 if len(reached) else len(lengths)
    return np.flatnonzero(held[:last]), np.flatnonzero(~held[:last])


def _encode_rows(
    rows: tuple[Sequence[Path], Numbers, Numbers], tokenizer: Path, file: Path, tools: Tools
) -> Numbers:
    """Append the ids of some documents to a file, a shard at a time on the workers; (begin, length) of each."""
    paths, sizes, places = rows
    ends = np.cumsum(sizes)
    shard = np.searchsorted(ends, places, side="right")
    row = places - (ends - sizes)[shard]
    used = np.unique(shard).tolist()
    jobs = ((paths[s], np.sort(row[shard == s]), tokenizer, file.with_name(f"{file.stem}-{s}")) for s in used)
    spans = np.zeros((len(places), 2), np.int64)
    with file.open("ab") as line:
        for s, (found, lengths, item_bytes) in zip(used, tools.workers.map(_encode_shard, jobs), strict=True):
            here = np.flatnonzero(shard == s)
            here = here[np.argsort(row[here])]
            spans[here, 0] = line.tell() // item_bytes + np.cumsum(lengths) - lengths
            spans[here, 1] = lengths
            with found.open("rb") as ids:
                shutil.copyfileobj(ids, line)
            found.unlink()
    return spans


@lru_cache(maxsize=4)
def _tokenizer(folder: Path, mtime_ns: int) -> Tokenizer:
    from hornbook.model.tokenizer import load_tokenizer

    return load_tokenizer(folder)


def _encode_shard(job: tuple[Path, Numbers, Path, Path]) -> tuple[Path, Numbers, int]:
    """Write the ids of some rows of a shard, each followed by end-of-text; how many each has, and their bytes."""
    from hornbook.model.sequences import id_type

    path, rows, folder, file = job
    tokenizer = _tokenizer(folder, folder.stat().st_mtime_ns)
    batch = documents(read_table(path, SCHEMA.names).take(pa.array(rows)))
    texts = []
    for document in batch:
        cut = prompt_characters(document)
        texts += [document.text[:cut], document.text[cut:]] if cut else [document.text]
    encoded = tokenizer.encode_arrays(texts)
    end = np.array([tokenizer.end_of_text], np.uint32)
    ids = []
    for document in batch:
        parts = [next(encoded) for _ in range(2 if prompt_characters(document) else 1)]
        ids.append(np.concatenate([*parts, end]))
    line = np.concatenate(ids).astype(id_type(tokenizer.vocabulary))
    file.write_bytes(line.tobytes())
    return file, np.array([len(part) for part in ids], np.int64), line.itemsize


def prompt_characters(document: Document) -> int:
    """Where an exercise's prompt ends: it is encoded apart from the solution, as when a model is asked."""
    return int(document.meta["prompt_chars"]) if document.kind == "exercise" else 0


Uses = tuple[Numbers, Numbers]
"""The part and the place in it of documents, in the order in which they are laid end to end."""


def _write_rows(path: Path, parts: Sequence[Encoded], uses: Uses, shape: tuple[int, int], dtype: type) -> int:
    """Write documents' ids as an array [rows, row_tokens] that np.load can map; no more rows than `shape` says.

    What does not fill a row is left out.
    """
    most, row_tokens = shape
    tokens = sum(int(part.length[uses[1][uses[0] == number]].sum()) for number, part in enumerate(parts))
    rows, size = min(tokens // row_tokens, most), np.dtype(dtype).itemsize
    left = rows * row_tokens * size
    partial = path.with_name(f".{path.name}.partial")
    with ExitStack() as stack:
        files = [stack.enter_context(part.file.open("rb", buffering=0)) for part in parts]
        out = stack.enter_context(partial.open("wb"))
        header = {"descr": np.dtype(dtype).str, "fortran_order": False, "shape": (rows, row_tokens)}
        np.lib.format.write_array_header_1_0(out, header)
        for number, place in zip(uses[0].tolist(), uses[1].tolist(), strict=True):
            begin, length = parts[number].begin[place], parts[number].length[place]
            data = os.pread(files[number].fileno(), min(int(length) * size, left), int(begin) * size)
            left -= out.write(data)
    partial.rename(path)
    return rows


def _write_training(
    parts: Sequence[Encoded], config: PackConfig, inputs: Mapping[str, Path], out: Path, how: tuple[int, type]
) -> int:
    """Lay the parts' documents end to end in one drawn order, cut them to rows, and write what was done."""
    from hornbook.model.sequences import DOCUMENTS_FILE, ROWS_FILE

    seed, dtype = how
    found = [part.uses(seed) for part in parts]
    number = np.repeat(np.arange(len(parts)), [len(places) for _, places in found])
    order = np.random.default_rng([seed, len(number)]).permutation(len(number))
    number = number[order]
    epoch, place = (np.concatenate([use[side] for use in found])[order] for side in (0, 1))
    length = np.zeros(len(number), np.int64)
    for n, part in enumerate(parts):
        length[number == n] = part.length[place[number == n]]
    start = np.cumsum(length) - length
    used = start < config.tokens // config.row_tokens * config.row_tokens
    write_json(
        out / "parts.json",
        {part.name: _facts(part, length[number == n], config) for n, part in enumerate(parts)},
    )
    shape = (config.tokens // config.row_tokens, config.row_tokens)
    rows = _write_rows(out / ROWS_FILE, parts, (number[used], place[used]), shape, dtype)
    used = start < rows * config.row_tokens
    record = {"start": start[used], "number": number[used], "place": place[used], "epoch": epoch[used]}
    _write_documents(out / DOCUMENTS_FILE, parts, inputs, record)
    return rows


def _facts(part: Encoded, lengths: Numbers, config: PackConfig) -> dict[str, float]:
    return {
        "share": part.budget / config.tokens,
        "tokens": int(lengths.sum()),
        "distinct_tokens": part.tokens,
        "documents": len(part.taken),
        "epochs": int(lengths.sum()) / max(1, part.tokens),
    }


def _write_documents(
    path: Path, parts: Sequence[Encoded], inputs: Mapping[str, Path], record: Mapping[str, Numbers]
) -> None:
    """Write a row for each use, with the document's id and source, a chunk of uses in memory at a time."""
    partial = path.with_name(f".{path.name}.partial")
    names = [Names.of(inputs[f"part.{part.name}"], part.file.with_suffix(".arrow")) for part in parts]
    with pq.ParquetWriter(partial, DOCUMENTS_SCHEMA, compression="zstd") as writer:
        for begin in range(0, max(len(record["start"]), 1), USES_A_CHUNK):
            chunk = {name: values[begin : begin + USES_A_CHUNK] for name, values in record.items()}
            ids, sources = np.empty((2, len(chunk["start"])), object)
            for n, part in enumerate(parts):
                here = np.flatnonzero(chunk["number"] == n)
                ids[here], sources[here] = names[n].at(part.row[chunk["place"][here]])
            label = np.array([part.name for part in parts], object)[chunk["number"]]
            columns = [chunk["start"], ids, sources, label, chunk["epoch"]]
            writer.write_table(pa.table([pa.array(c) for c in columns], schema=DOCUMENTS_SCHEMA))
    partial.rename(path)


@dataclass(frozen=True)
class Names:
    """Id and source of every document of a dataset, in a file that is mapped, not read."""

    file: Any
    ends: Numbers

    @classmethod
    def of(cls, dataset: Path, path: Path) -> Names:
        sizes = []
        schema = pa.schema([SCHEMA.field("id"), SCHEMA.field("source")])
        with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as file:
            for shard in shards(dataset):
                table = read_table(shard, schema.names).cast(schema).combine_chunks()
                file.write_batch(
                    pa.RecordBatch.from_arrays([column.combine_chunks() for column in table], schema=schema)
                )
                sizes.append(table.num_rows)
        return cls(pa.ipc.open_file(pa.memory_map(str(path))), np.cumsum(sizes))

    def at(self, rows: Numbers) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
        """Ids and sources of rows, shards end to end."""
        ids, sources = np.empty((2, len(rows)), object)
        shard = np.searchsorted(self.ends, rows, side="right")
        for s in np.unique(shard).tolist():
            here = np.flatnonzero(shard == s)
            batch = self.file.get_batch(s)
            local = pa.array(rows[here] - (self.ends[s - 1] if s else 0))
            ids[here], sources[here] = (
                batch.column(c).take(local).to_numpy(zero_copy_only=False) for c in (0, 1)
            )
        return ids, sources
