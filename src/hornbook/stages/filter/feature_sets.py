"""THE TABLE of feature sets: what a score can be learnt from, from the cheapest to the dearest."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hornbook.core.errors import InputError
from hornbook.core.fs import commit_of, moving
from hornbook.core.shards import read_table, shards
from hornbook.stages.filter.embedding import (
    Reader,
    folder_identity,
    from_reader,
    open_model,
    packaged_encoder,
)
from hornbook.stages.filter.shipped import document_features
from hornbook.stages.filter.statistics import (
    Extract,
    Features,
    code_statistics,
    from_statistics,
    side_by_side,
    token_ngrams,
)
from hornbook.text.excerpt import beginning

DOCUMENT = "document"
"""The set that the shipped classifier reads; its columns are named document/NAME."""
COSTS = "costs"
"""For each shard documents and seconds of each set, in a timing.json: these differ from run to run."""
PATHS = ("/", "~", ".")
"""So begins the path of a folder, and no id on the Hub."""
ENCODER_TOKENS = 256
"""The length that small sentence encoders were trained on."""


@dataclass(frozen=True, slots=True)
class Spec:
    """A feature set as a recipe names it: `kind`, `kind:name` or `kind:name@revision`."""

    kind: str
    name: str = ""
    revision: str = ""

    @property
    def is_folder(self) -> bool:
        if self.kind == "checkpoint":
            return os.sep in self.name  # else it is the name of an arm
        return bool(self.name) and Path(self.name).expanduser().is_dir()

    @property
    def commit(self) -> str:
        """The commit of the Hub that a model is read at; empty where it lies in a folder."""
        return commit_of(self.name, self.revision) if self.revision and not self.is_folder else ""

    def __str__(self) -> str:
        """As a recipe names it; the names of its columns begin so."""
        name = f":{self.name}" if self.name else ""
        return f"{self.kind}{name}@{self.revision}" if self.revision else f"{self.kind}{name}"


@dataclass(frozen=True, slots=True)
class Means:
    """With what feature sets are opened: device and precision of models, how far they read, folders of checkpoints."""

    device: str = "cpu"
    precision: str = "fp32"
    model_tokens: int = 512
    checkpoints: tuple[tuple[str, Path], ...] = ()


@dataclass(frozen=True)
class FeatureSet:
    """How a feature set is opened, and whether it needs a model: then one process reads with all of the device."""

    open: Callable[[Spec, Means], Extract]
    reads_models: bool = False
    reads_whole: bool = False
    """Whether it reads the whole text instead of an excerpt."""
    named: str = ""
    """What the name after the colon is; empty where there is none."""


def _statistics(_spec: Spec, _means: Means) -> Extract:
    return from_statistics(code_statistics)


def _document(_spec: Spec, _means: Means) -> Extract:
    def named(text: str) -> dict[str, float]:
        return {f"{DOCUMENT}/{name}": value for name, value in document_features(text).items()}

    return from_statistics(named)


def _ngrams(_spec: Spec, _means: Means) -> Extract:
    return token_ngrams


def _hidden(spec: Spec, means: Means) -> Extract:
    name = str(Path(spec.name).expanduser()) if spec.is_folder else spec.name
    reader = open_model(name, spec.commit, means.device, means.precision, means.model_tokens)
    return from_reader(str(spec), reader)


def _sentence(spec: Spec, means: Means) -> Extract:
    name = str(Path(spec.name).expanduser()) if spec.is_folder else spec.name or packaged_encoder()
    tokens = min(means.model_tokens, ENCODER_TOKENS)
    reader = open_model(name, spec.commit, means.device, means.precision, tokens, unit_length=True)
    return from_reader(str(spec), reader)


def _checkpoint(spec: Spec, means: Means) -> Extract:
    from hornbook.model.checkpoint import load_model

    folder = dict(means.checkpoints).get(spec.name) or Path(spec.name).expanduser()
    model, tokenizer = load_model(folder, means.device)
    reader = Reader(
        encode=lambda texts: [[tokenizer.end_of_text, *ids] for ids in tokenizer.encode_batch(texts)],
        hidden=lambda ids, _mask: model.hidden(ids),  # causal: padding on the right is never looked at
        columns=model.config.width,
        device=means.device,
        most_tokens=min(means.model_tokens, model.config.context_tokens),
        precision=means.precision,
    )
    return from_reader(str(spec), reader)


FEATURES: dict[str, FeatureSet] = {
    "statistics": FeatureSet(_statistics),
    DOCUMENT: FeatureSet(_document, reads_whole=True),
    "ngrams": FeatureSet(_ngrams),
    "checkpoint": FeatureSet(_checkpoint, True, named="an arm of the recipe, or a folder"),
    "sentence": FeatureSet(
        _sentence, True, named="a folder or a Hub id with @revision; none: the packaged encoder"
    ),
    "hidden": FeatureSet(_hidden, True, named="a folder or a Hub id with @revision"),
}


def read_spec(text: str) -> Spec:
    """A feature set by its name in a recipe; ValueError says what is wrong with it."""
    kind, _, rest = text.partition(":")
    if kind not in FEATURES:
        raise ValueError(f"features has {text!r}; known: {', '.join(FEATURES)}")
    spec = Spec(kind, rest)
    if "@" in rest and not spec.is_folder:  # a folder's name may hold one
        spec = Spec(kind, *rest.split("@", 1))
    name, revision = spec.name, spec.revision
    named = FEATURES[kind].named
    if name and not named:
        raise ValueError(f"features has {text!r}; {kind} takes no name")
    if named and not name and kind != "sentence":
        raise ValueError(f"features has {text!r}; say which: {kind}:<{named}>")
    if revision and (kind == "checkpoint" or spec.is_folder):
        raise ValueError(
            f"features has {text!r}; only a Hub id has a revision, what lies here is known by its contents: "
            f"leave out @{revision}"
        )
    if kind in ("hidden", "sentence") and name.startswith(PATHS) and not spec.is_folder:
        raise ValueError(f"features has {text!r}; there is no folder {name}")
    if kind in ("hidden", "sentence") and name and not revision and not spec.is_folder:
        raise ValueError(
            f"features has {text!r}: no folder, and a Hub id needs its revision: {text}@<commit>, so that a recipe "
            "names one model for good"
        )
    return spec


def identity(features: Sequence[str]) -> dict[str, str]:
    """The content of the local models among feature sets, and the commit that a Hub id's branch stands for."""
    found: dict[str, str] = {}
    for spec in map(read_spec, features):
        name = packaged_encoder() if spec.kind == "sentence" and not spec.name else spec.name
        if FEATURES[spec.kind].reads_models and name:
            hashes = folder_identity(str(Path(name).expanduser()))
            if spec.is_folder and not hashes:
                raise InputError(f"{name} holds no model: no config.json, no weights")
            found |= {f"{spec}/{file}": hash_ for file, hash_ in hashes.items()}
    return {**found, **revisions(features)}


def revisions(features: Sequence[str]) -> dict[str, str]:
    """Model@branch -> the commit that it stands for today, of the models on the Hub."""
    found: dict[str, str] = {}
    for spec in map(read_spec, features):
        if spec.kind in ("hidden", "sentence") and spec.revision and not spec.is_folder:
            found |= moving(spec.name, spec.revision)
    return found


@lru_cache(maxsize=4)
def _opened(spec: Spec, means: Means) -> Extract:
    return FEATURES[spec.kind].open(spec, means)


def extract(
    features: Sequence[str],
    texts: Sequence[str],
    chars: int,
    means: Means,
    seconds: dict[str, float] | None = None,
) -> Features:
    """The columns of all sets: of the beginnings of texts, or of whole texts if the set reads them.

    `seconds` is filled with what each set took.
    """
    excerpts = [beginning(text, chars) for text in texts]
    parts = []
    for name in features:
        spec = read_spec(name)
        opened = _opened(spec, means)
        begun = time.perf_counter()
        parts.append(opened(texts if FEATURES[spec.kind].reads_whole else excerpts))
        if seconds is not None:
            seconds[name] = time.perf_counter() - begun
    return side_by_side(parts)


def set_of(column: str) -> str:
    """The feature set that a column belongs to, as the recipe names it."""
    if is_numbered(column):
        return column.rpartition(".")[0]
    return DOCUMENT if column.startswith(f"{DOCUMENT}/") else "statistics"


def is_numbered(column: str) -> bool:
    """Whether a column is one of many that mean nothing alone: a dimension of a model, a bucket of n-grams."""
    owner, _, number = column.rpartition(".")
    return bool(owner) and number.isdecimal()


ID = "id"


def to_table(ids: Sequence[str], features: Features) -> pa.Table:
    """A column for each feature with a name of its own, and one of lists for each set whose features are numbered."""
    columns = {ID: pa.array(ids, pa.string())}
    for name, places in groupby(range(len(features.names)), key=lambda place: _column(features.names[place])):
        cells = features.matrix[:, list(places)]
        flat = pa.array(np.ascontiguousarray(cells).ravel())
        columns[name] = (
            flat if name in features.names else pa.FixedSizeListArray.from_arrays(flat, cells.shape[1])
        )
    return pa.table(columns)


def _column(feature: str) -> str:
    """ngrams.17 stands in ngrams, nested_depth alone."""
    owner, _, number = feature.rpartition(".")
    return owner if owner and number.isdecimal() else feature


def from_table(table: pa.Table) -> Features:
    """What `to_table` was given; at least one row."""
    parts = []
    for name in table.column_names[1:]:
        column = table[name].combine_chunks()
        if pa.types.is_fixed_size_list(column.type):
            size = column.type.list_size
            cells = column.flatten().to_numpy().reshape(-1, size)
            parts.append(Features(cells, tuple(f"{name}.{number}" for number in range(size))))
        else:
            parts.append(Features(column.to_numpy()[:, None], (name,)))
    return side_by_side(parts)


def rows_of(folder: Path, ids: Sequence[str]) -> tuple[Mapping[str, int], pa.Table]:
    """The rows of some documents, and where each stands among them; one that has no features is left out.

    A shard's ids are read at a time, and the features of those that are asked for.
    """
    wanted = pa.array(ids, pa.string())
    found = []
    for path in shards(folder):
        mask = pc.is_in(read_table(path, [ID])[ID], wanted)
        if pc.any(mask).as_py():
            found.append(read_table(path).filter(mask))
    table = pa.concat_tables(found) if found else pa.table({ID: pa.array([], pa.string())})
    return {id_: row for row, id_ in enumerate(table[ID].to_pylist())}, table
