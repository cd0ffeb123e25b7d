"""Features on disk come back as they were, and a document's row is found by its id."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hornbook.core.shards import shard_name, write_shard
from hornbook.stages.filter.feature_sets import Means, extract, from_table, rows_of, to_table

TEXTS = [
    "def add(a, b):\n    return a + b\n",
    "x = 1\n",
    "for n in range(10):\n    print(n)\n",
    "import os\n",
]
SETS = ["ngrams", "statistics"]


def test_a_table_holds_the_features_with_their_names() -> None:
    features = extract(SETS, TEXTS, 500, Means())
    table = to_table(list("abcd"), features)
    assert table.column_names[:2] == ["id", "ngrams"]
    assert "comment_share" in table.column_names
    again = from_table(table)
    assert again.names == features.names
    assert (again.matrix == features.matrix).all()
    assert (from_table(table.slice(2, 1)).matrix == features.matrix[2:3]).all()


def test_rows_are_found_in_whatever_shard_they_are(tmp_path: Path) -> None:
    features = extract(SETS, TEXTS, 500, Means())
    table = to_table(list("abcd"), features)
    for number, part in enumerate((table.slice(0, 1), table.slice(1, 2), table.slice(3, 1))):
        write_shard(tmp_path, shard_name(number), part)
    place, rows = rows_of(tmp_path, ["d", "b", "nobody"])
    assert set(place) == {"b", "d"}
    found = from_table(rows.take([place["d"], place["b"]]))
    np.testing.assert_array_equal(found.matrix, features.matrix[[3, 1]])
    assert len(rows_of(tmp_path, ["nobody"])[1]) == 0
