from __future__ import annotations

from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from hornbook.core.errors import InputError
from hornbook.model.sequences import batches, open_rows


def test_each_epoch_holds_every_row_once_in_an_order_of_its_own() -> None:
    line = np.concatenate(list(islice(batches(10, 4, seed=1), 5)))
    first, second = line[:10].tolist(), line[10:].tolist()
    assert sorted(first) == sorted(second) == list(range(10))
    assert first != second


def test_from_any_step_on_the_rows_are_the_same() -> None:
    whole = [chosen.tolist() for chosen in islice(batches(7, 3, seed=5), 20)]
    for step in (0, 1, 6, 7, 13):
        assert [c.tolist() for c in islice(batches(7, 3, 5, step), 20 - step)] == whole[step:]
    assert whole != [c.tolist() for c in islice(batches(7, 3, seed=6), 20)]


def test_a_batch_may_be_larger_than_an_epoch() -> None:
    chosen = next(batches(3, 8, seed=0))
    assert np.bincount(chosen).tolist() in ([3, 3, 2], [3, 2, 3], [2, 3, 3])


def test_a_folder_without_rows_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no token rows"):
        open_rows(tmp_path)
