from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from hornbook.core.errors import StageError
from hornbook.core.shards import read_json, write_table
from hornbook.model.guard import REMEMBERED, Watch
from hornbook.model.sequences import Rows, open_rows


@pytest.fixture
def rows(tmp_path: Path) -> Rows:
    """Twenty rows of ten tokens, a document in each."""
    np.save(tmp_path / "rows.npy", np.zeros((20, 10), np.uint16))
    np.save(tmp_path / "heldout.npy", np.zeros((0, 10), np.uint16))
    names = [f"file{i}.py" for i in range(20)]
    write_table(tmp_path / "documents.parquet", pa.table({"start": np.arange(20) * 10, "source": names}))
    return open_rows(tmp_path)


def test_a_spike_stops_and_names_every_document(rows: Rows, tmp_path: Path) -> None:
    watch = Watch(100, 3.0, rows, tmp_path)
    for step in range(REMEMBERED):
        watch.see(step, 2.0, 1.0, np.array([0]))
    watch.see(32, 4.9, 1.0, np.array([0]))
    with pytest.raises(
        StageError, match=r"jumped from about 2\.\d+ to 5\.50 at step 34 of 100, on documents file3\.py"
    ):
        watch.see(33, 5.5, 1.0, np.arange(3, 15))
    stopped = read_json(tmp_path / "stopped.json")
    assert stopped["documents"] == [f"file{i}.py" for i in range(3, 15)]
    assert (stopped["step"], stopped["loss"]) == (34, "5.5")


def test_neither_the_first_steps_nor_a_lifted_limit_make_a_spike(rows: Rows, tmp_path: Path) -> None:
    watch = Watch(100, 3.0, rows, tmp_path)
    for step, loss in enumerate([9.0, 1.0, 8.0]):
        watch.see(step, loss, 1.0, np.array([0]))
    lifted = Watch(100, 0.0, rows, tmp_path)
    lifted.remember([1.0] * REMEMBERED)
    lifted.see(40, 90.0, 1.0, np.array([0]))


def test_gradients_that_are_no_numbers_stop_but_in_fp16(rows: Rows, tmp_path: Path) -> None:
    with pytest.raises(StageError, match="gradients' norm inf"):
        Watch(9, 3.0, rows, tmp_path).see(0, 1.0, float("inf"), np.array([0]))
    scaled = Watch(99, 3.0, rows, tmp_path, skips=True)
    for step in range(40):
        scaled.see(step, 1.0, float("inf"), np.array([0]))
    with pytest.raises(StageError, match="gradients' norm nan"):
        scaled.see(40, 1.0, float("nan"), np.array([0]))
    with pytest.raises(StageError, match="became nan"):
        scaled.see(41, float("nan"), 1.0, np.array([0]))
