"""Rows regrouped by key through files: each writer leaves one file, each reader takes its part of all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from hornbook.text.hashes import mixed

Numbers = NDArray[np.int64]
Columns = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Shuffle:
    """A folder of Arrow files with one record batch for each part; a whole part fits in memory, all need not."""

    folder: Path
    parts: int

    def put(self, writer: str, part: Numbers, columns: Columns) -> None:
        """The rows of one writer, row i for part number part[i]; rows of a part keep their order."""
        if not len(part):
            return
        order = np.argsort(part, kind="stable")
        table = pa.table({name: pa.array(values) for name, values in columns.items()}).take(pa.array(order))
        (rows,) = table.combine_chunks().to_batches()
        cuts = np.searchsorted(part[order], np.arange(self.parts + 1))
        self.folder.mkdir(parents=True, exist_ok=True)
        path = str(self.folder / f"{writer}.arrow")
        with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, table.schema) as file:
            for begin, end in pairwise(cuts.tolist()):
                file.write_batch(rows.slice(begin, end - begin))

    def get(self, part: int) -> pa.Table:
        """The rows of a part, writers in order of name; a table without columns where nobody wrote."""
        batches = []
        for path in sorted(self.folder.glob("*.arrow")):
            with pa.memory_map(str(path)) as source:
                batch = pa.ipc.open_file(source).get_batch(part)
                if batch.num_rows:
                    batches.append(batch)
        return pa.Table.from_batches(batches) if batches else pa.table({})

    def column(self, part: int, *names: str) -> list[NDArray[Any]]:
        """Columns of a part as arrays, empty ones where nobody wrote."""
        table = self.get(part)
        return [table[name].to_numpy() if table.num_columns else np.zeros(0, np.int64) for name in names]


def by_hash(keys: NDArray[Any], parts: int) -> Numbers:
    """A part for each key, evenly."""
    spread = mixed(keys.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))
    return (spread % np.uint64(parts)).astype(np.int64)


def groups(keys: NDArray[Any]) -> tuple[Numbers, Numbers]:
    """Of sorted keys, where each run of equal ones begins, and for each key the number of its run."""
    is_first = np.concatenate(([True], keys[1:] != keys[:-1])) if len(keys) else np.zeros(0, bool)
    return np.flatnonzero(is_first), np.cumsum(is_first) - 1
