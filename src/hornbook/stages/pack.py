"""A mix of datasets -> rows of tokens, all of one length, with a record of the documents in each."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash
from pydantic import Field

from hornbook.core.config import Config
from hornbook.core.errors import StageError
from hornbook.core.records import SCHEMA, Document, documents
from hornbook.core.shards import Counts, read_table, shards, write_bytes, write_json, write_table
from hornbook.core.tools import Tools

if TYPE_CHECKING:
    from hornbook.model.tokenizer import Tokenizer

Ids = npt.NDArray[np.unsignedinteger[Any]]

BATCH_DOCUMENTS = 1024
"""Documents encoded at once."""


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


@dataclass
class Part:
    """The encoded documents of one dataset that training or the held-out rows take."""

    name: str
    budget: int
    """Tokens wanted."""
    ids: list[Ids] = field(default_factory=list)
    documents: list[tuple[str, str]] = field(default_factory=list)
    """Id and source of each."""
    tokens: int = 0

    def add(self, document: Document, ids: Ids) -> None:
        self.ids.append(ids)
        self.documents.append((document.id, document.source))
        self.tokens += len(ids)

    def uses(self, seed: int) -> list[tuple[int, int]]:
        """(epoch, document) pairs that reach the budget: whole epochs, each in an order of its own, and a rest."""
        lengths = np.array([len(ids) for ids in self.ids], np.int64)
        found: list[tuple[int, int]] = []
        left, epoch = self.budget, 0
        while left > 0:
            order = np.random.default_rng(
                [seed, xxhash.xxh32_intdigest(self.name.encode()), epoch]
            ).permutation(len(lengths))
            ends = np.cumsum(lengths[order])
            taken = order[ends - lengths[order] < left]
            found += [(epoch, int(i)) for i in taken]
            left -= int(ends[-1])
            epoch += 1
        return found


def run(config: PackConfig, inputs: Mapping[str, Path], out: Path, tools: Tools) -> Counts:
    """Write rows.npy and heldout.npy [rows, row_tokens], documents.parquet and parts.json.

    Documents stand in an order drawn by the seed, each followed by end-of-text. A dataset that runs short is
    repeated in whole epochs, and parts.json says how many. StageError if a dataset is empty.
    """
    from hornbook.model.rows import HELDOUT_FILE, id_type
    from hornbook.model.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(inputs["tokenizer"])
    whole = sum(config.parts.values())
    pairs: list[tuple[Part, Part]] = []
    with tools.progress.bar("encode", config.tokens, "tokens") as bar:
        for name, share in sorted(config.parts.items()):
            pair = (
                Part(name, round(config.tokens * share / whole)),
                Part(name, round(config.heldout_tokens * share / whole)),
            )
            _fill(*pair, _encoded(inputs[f"part.{name}"], tokenizer, tools.seed), config.heldout_share)
            bar.advance(pair[0].budget)
            pairs.append(pair)
    parts = [part for part, _ in pairs]
    dtype = id_type(tokenizer.vocabulary)
    rows = _write_rows(parts, config, out, (tools.seed, dtype))
    heldout = _cut([ids for _, aside in pairs for ids in aside.ids], config.row_tokens, dtype)
    _write_array(out / HELDOUT_FILE, heldout)
    return {"rows": rows, "tokens": rows * config.row_tokens, "heldout_rows": len(heldout)}


def _encoded(folder: Path, tokenizer: Tokenizer, seed: int) -> Iterator[tuple[Document, Ids]]:
    """Each document of a dataset with its ids and end-of-text, in an order drawn by `seed`."""
    table = pa.concat_tables(
        [SCHEMA.empty_table(), *(read_table(path, SCHEMA.names) for path in shards(folder))]
    )
    order = np.random.default_rng([seed, table.num_rows]).permutation(table.num_rows)
    for start in range(0, len(order), BATCH_DOCUMENTS):
        batch = documents(table.take(order[start : start + BATCH_DOCUMENTS]))
        cuts = [prompt_characters(document) for document in batch]
        prompts = tokenizer.encode_batch([d.text[:cut] for d, cut in zip(batch, cuts, strict=True)])
        rests = tokenizer.encode_batch([d.text[cut:] for d, cut in zip(batch, cuts, strict=True)])
        for document, before, after in zip(batch, prompts, rests, strict=True):
            yield document, np.array([*before, *after, tokenizer.end_of_text], np.uint32)


def prompt_characters(document: Document) -> int:
    """Where an exercise's prompt ends: it is encoded apart from the solution, as when a model is asked."""
    return int(document.meta["prompt_chars"]) if document.kind == "exercise" else 0


def _fill(part: Part, heldout: Part, encoded: Iterator[tuple[Document, Ids]], heldout_share: float) -> None:
    """Set aside a share of the documents, up to its budget, and take the others until theirs is reached."""
    for number, (document, ids) in enumerate(encoded):
        held = heldout.tokens < heldout.budget and int((number + 1) * heldout_share) > int(
            number * heldout_share
        )
        (heldout if held else part).add(document, ids)
        if part.tokens >= part.budget:
            return
    if part.budget and not part.ids:
        raise StageError(f"dataset {part.name} holds no document to train on; see what was dropped and why")


def _write_rows(parts: Sequence[Part], config: PackConfig, out: Path, how: tuple[int, type]) -> int:
    """Lay the parts' documents end to end in one drawn order, cut them to rows, and write what was done."""
    from hornbook.model.rows import DOCUMENTS_FILE, ROWS_FILE

    seed, dtype = how
    uses = [(part, epoch, i) for part in parts for epoch, i in part.uses(seed)]
    uses = [uses[i] for i in np.random.default_rng([seed, len(uses)]).permutation(len(uses))]
    total = config.tokens // config.row_tokens * config.row_tokens
    rows = _cut([part.ids[i] for part, _, i in uses], config.row_tokens, dtype)[: total // config.row_tokens]
    _write_array(out / ROWS_FILE, rows)
    ends = np.cumsum([len(part.ids[i]) for part, _, i in uses])
    names = [part.documents[i] for part, _, i in uses]
    record = {
        "start": np.concatenate([[0], ends[:-1]]),
        "id": [id_ for id_, _ in names],
        "source": [source for _, source in names],
        "part": [part.name for part, _, _ in uses],
        "epoch": [epoch for _, epoch, _ in uses],
    }
    table = pa.table(record)
    write_table(out / DOCUMENTS_FILE, table.filter(pc.less(table["start"], rows.size)))
    facts = {
        part.name: {
            "share": part.budget / config.tokens,
            "tokens": sum(len(part.ids[i]) for used, _, i in uses if used is part),
            "distinct_tokens": part.tokens,
            "documents": len(part.ids),
            "epochs": sum(len(part.ids[i]) for used, _, i in uses if used is part) / max(1, part.tokens),
        }
        for part in parts
    }
    write_json(out / "parts.json", facts)
    return len(rows)


def _cut(documents_ids: Sequence[Ids], row_tokens: int, dtype: type) -> Ids:
    """Ids laid end to end, cut to [rows, row_tokens]; what does not fill a row is left out."""
    line: Ids = np.concatenate([np.empty(0, np.uint32), *documents_ids]).astype(dtype)
    rows = len(line) // row_tokens
    return line[: rows * row_tokens].reshape(rows, row_tokens)


def _write_array(path: Path, array: Ids) -> None:
    """A .npy file that np.load can map into memory."""
    buffer = io.BytesIO()
    np.save(buffer, array)
    write_bytes(path, buffer.getvalue())
