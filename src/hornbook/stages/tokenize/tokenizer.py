"""Datasets -> the tokenizer of all models of a recipe: trained on them, or one that exists."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from pydantic import Field

from hornbook.core.context import Tools
from hornbook.core.errors import StageError
from hornbook.core.fs import commit_of, moving
from hornbook.core.settings import Config
from hornbook.core.shards import Counts, read_table, shards, write_json

PART = "part."
"""What the names of the datasets among the inputs begin with."""


class TokenizerConfig(Config):
    """Train a byte-level BPE, or take a tokenizer that exists."""

    source: str = ""
    """A tokenizer.json, a folder that holds one, or a Hugging Face Hub id; empty: train one on the datasets."""
    revision: str = "main"
    """Branch, tag or commit of a Hub id."""
    vocabulary: int = Field(32_768, ge=257)
    """Ids of a trained tokenizer, at most; 256 bytes and end-of-text are always among them."""
    sample_bytes: int = Field(200_000_000, ge=1)
    """Text to train on, the same amount from each dataset."""


def identity(config: TokenizerConfig, _cache: Path) -> Mapping[str, str]:
    """The content of a local tokenizer; the commit that the branch of another stands for."""
    path = Path(config.source)
    if not config.source or not path.exists():
        return revisions(config)
    files = sorted(path.glob("tokenizer*.json")) if path.is_dir() else [path]
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def revisions(config: TokenizerConfig) -> Mapping[str, str]:
    """The branch that a tokenizer is taken at, and its commit."""
    on_hub = bool(config.source) and not Path(config.source).exists()
    return moving(config.source, config.revision) if on_hub else {}


def run(config: TokenizerConfig, inputs: Mapping[str, Path], out: Path, tools: Tools) -> Counts:
    """Write tokenizer.json (with tokenizer_config.json), and in sample.json what it was trained on."""
    from hornbook.model.tokenizer import load_tokenizer, train_tokenizer

    if config.source:
        here = Path(config.source).exists()
        commit = config.revision if here else commit_of(config.source, config.revision)
        tokenizer = load_tokenizer(config.source, commit)
        tokenizer.save(out)
        return {"vocabulary": tokenizer.vocabulary}
    parts = {
        name.removeprefix(PART): folder for name, folder in sorted(inputs.items()) if name.startswith(PART)
    }
    taken: dict[str, int] = {}
    with tools.progress.bar("train tokenizer", config.sample_bytes, "bytes") as bar:

        def texts() -> Iterator[str]:
            for name, folder in parts.items():
                for text in sample(folder, config.sample_bytes // len(parts), tools.seed):
                    size = len(text.encode())
                    taken[name] = taken.get(name, 0) + size
                    bar.advance(size)
                    yield text

        tokenizer = train_tokenizer(texts(), config.vocabulary)
    if not taken:
        raise StageError("no dataset holds any text to train a tokenizer on; see what was dropped and why")
    tokenizer.save(out)
    write_json(out / "sample.json", {"bytes": taken, "vocabulary": tokenizer.vocabulary})
    return {"vocabulary": tokenizer.vocabulary, "sampled_bytes": sum(taken.values())}


def sample(folder: Path, budget_bytes: int, seed: int) -> Iterator[str]:
    """Texts of a dataset, drawn by `seed` until they hold `budget_bytes`; one shard in memory at a time."""
    import pyarrow.compute as pc

    paths = shards(folder)
    counted = [pc.binary_length(read_table(path, ["text"])["text"]).to_numpy() for path in paths]
    lengths = np.concatenate([*counted, np.empty(0, np.int64)])
    order = np.random.default_rng([seed, len(lengths)]).permutation(len(lengths))
    before = np.cumsum(lengths[order]) - lengths[order]
    chosen = np.sort(order[before < budget_bytes])
    first = 0
    for path, here in zip(paths, counted, strict=True):
        wanted = chosen[(chosen >= first) & (chosen < first + len(here))] - first
        first += len(here)
        yield from read_table(path, ["text"])["text"].take(wanted).to_pylist()
