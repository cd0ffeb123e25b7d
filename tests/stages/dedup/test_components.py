from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from hornbook.core.workers import Serial
from hornbook.stages.dedup import components as room
from hornbook.stages.dedup.partitions import Shuffle, by_hash, groups


def labels(edges: list[tuple[int, int]], folder: Path, parts: int = 3) -> dict[int, int]:
    shuffle = Shuffle(folder / "edges", parts)
    one, other = (np.array([edge[side] for edge in edges], np.int64) for side in (0, 1))
    shuffle.put("all", by_hash(one, parts), {"one": one, "other": other})
    found = room.components(shuffle, len(edges), folder / "work", Serial())
    rows = [found.column(part, "one", "other") for part in range(found.parts)]
    return {int(a): int(b) for one, other in rows for a, b in zip(one, other, strict=True)}


@pytest.mark.parametrize("edges_a_part", [7, 1 << 20])
def test_every_node_finds_the_smallest_of_its_component(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, edges_a_part: int
) -> None:
    monkeypatch.setattr(room, "EDGES_A_PART", edges_a_part)
    draw = random.Random(1)
    chain = [(n, n + 1) for n in range(100, 160)]
    star = [(50, n) for n in range(60, 90)]
    mixed = [tuple(sorted(draw.sample(range(200, 400), 2))) for _ in range(110)]
    edges = [*chain, *star, *((int(a), int(b)) for a, b in mixed), (3, 9)]
    draw.shuffle(edges)
    ends = np.array(edges).T
    _, label = connected_components(coo_array((np.ones(len(edges)), ends), shape=(400, 400)), directed=False)
    smallest = [int(np.flatnonzero(label == one)[0]) for one in label]
    wanted = {node: root for node, root in enumerate(smallest) if root != node}
    assert labels(edges, tmp_path) == wanted


def test_no_edges_make_no_components(tmp_path: Path) -> None:
    assert labels([], tmp_path) == {}


def test_rows_come_back_by_part_whatever_the_writers(tmp_path: Path) -> None:
    numbers = np.arange(1_000)
    for writer, part in (("a", numbers[:300]), ("b", numbers[300:300]), ("c", numbers[300:])):
        Shuffle(tmp_path, 7).put(writer, part % 7, {"number": part, "square": part**2})
    for part in range(7):
        number, square = Shuffle(tmp_path, 7).column(part, "number", "square")
        assert number.tolist() == [n for n in range(1_000) if n % 7 == part]
        assert (square == number**2).all()


def test_groups_are_runs_of_equal_keys() -> None:
    begins, run = groups(np.array([4, 4, 7, 9, 9, 9]))
    assert (begins.tolist(), run.tolist()) == ([0, 2, 3], [0, 0, 1, 2, 2, 2])
    assert groups(np.zeros(0))[0].tolist() == []
