"""Token rows on disk: what pack writes and training reads, with the documents each row came from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hornbook.core.errors import InputError
from hornbook.core.shards import read_table

ROWS_FILE = "rows.npy"
HELDOUT_FILE = "heldout.npy"
DOCUMENTS_FILE = "documents.parquet"
"""Columns start (token at which the document begins, rows laid end to end), id, source, part, epoch."""
Ids = npt.NDArray[np.uint16] | npt.NDArray[np.uint32]


def id_type(vocabulary: int) -> type[np.uint16] | type[np.uint32]:
    """The smallest type that holds ids below `vocabulary`."""
    return np.uint16 if vocabulary <= 1 << 16 else np.uint32


@dataclass(frozen=True)
class Rows:
    """Memory-mapped training rows [rows, tokens] and the held-out rows, which no training document is in."""

    folder: Path
    train: Ids
    heldout: Ids

    @property
    def tokens(self) -> int:
        """Tokens in a row."""
        return int(self.train.shape[1])

    def sources(self, rows: Sequence[int]) -> list[str]:
        """Where the documents in these training rows came from, without repeats."""
        table = read_table(self.folder / DOCUMENTS_FILE, ["start", "source"])
        starts = table["start"].to_numpy()
        names: list[str] = table["source"].to_pylist()
        found: dict[str, None] = {}
        for row in rows:
            first = int(np.searchsorted(starts, row * self.tokens, "right")) - 1
            last = int(np.searchsorted(starts, (row + 1) * self.tokens, "left"))
            found.update(dict.fromkeys(names[max(first, 0) : last]))
        return list(found)


def open_rows(folder: Path) -> Rows:
    """The rows of a folder that pack wrote; InputError if they are not there."""
    try:
        train, heldout = (np.load(folder / name, mmap_mode="r") for name in (ROWS_FILE, HELDOUT_FILE))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{folder} holds no token rows ({error}); they are made by the stage pack"
        ) from error
    return Rows(folder, train, heldout)


def batches(rows: int, batch: int, seed: int, first_step: int = 0) -> Iterator[npt.NDArray[np.int64]]:
    """Row numbers of one step after another, from `first_step` on, without end.

    Each epoch holds every row once in an order of its own; a batch may span two epochs.
    """
    epoch, order = -1, np.empty(0, np.int64)
    position = first_step * batch
    while True:
        taken: list[npt.NDArray[np.int64]] = []
        end = position + batch
        while position < end:
            if position // rows != epoch:
                epoch = position // rows
                order = np.random.default_rng([seed, epoch]).permutation(rows)
            offset = position % rows
            piece = order[offset : offset + end - position]
            taken.append(piece)
            position += len(piece)
        yield np.concatenate(taken)
