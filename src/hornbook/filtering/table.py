"""Features on disk: a row a document, in the documents' own shards and order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hornbook.core.shards import read_table, shards
from hornbook.quality.features import Features, side_by_side

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
