"""Connected components of edges that wait in files: memory holds one part, whatever the number of edges.

Large-star and small-star in turn, until nothing moves (Kiveris et al., Connected Components in MapReduce and
Beyond, 2014). Every node ends as a neighbour of the smallest node of its component.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from hornbook.core.workers import Workers
from hornbook.stages.dedup.partitions import Numbers, Shuffle, by_hash, groups
from hornbook.text.hashes import mixed

EDGES_A_PART = 1 << 21
Edges = tuple[Numbers, Numbers]


def components(edges: Shuffle, count: int, work: Path, workers: Workers) -> Shuffle:
    """From rows (one, other), `count` in all, the rows (one, other) where `other` is the smallest that one reaches."""
    parts = 1 + count // EDGES_A_PART
    before, turn = -1, 0
    while True:
        for star in (large_star, small_star):
            mapped = Shuffle(work / f"{turn}-{star.__name__}-map", parts)
            reduced = Shuffle(work / f"{turn}-{star.__name__}", parts)
            _run(workers, _spread, [(edges, part, mapped, star) for part in range(edges.parts)])
            digest = _run(workers, _reduce, [(mapped, part, reduced, star) for part in range(parts)])
            edges = reduced
        if digest == before:
            return edges
        before, turn = digest, turn + 1


def large_star(one: Numbers, other: Numbers) -> Edges:
    """Each larger neighbour of a node is tied to the node's smallest neighbour, or to the node itself."""
    begins, run = groups(one)
    smallest = np.minimum(other[begins], one[begins])[run]
    larger = other > one
    return other[larger], smallest[larger]


def small_star(one: Numbers, other: Numbers) -> Edges:
    """A node and its smaller neighbours are tied to the smallest of these."""
    begins, run = groups(one)
    smallest = other[begins]
    rest = other != smallest[run]
    return np.concatenate([other[rest], one[begins]]), np.concatenate([smallest[run][rest], smallest])


Star = Callable[[Numbers, Numbers], Edges]


def _run(
    workers: Workers, job: Callable[..., int], arguments: list[tuple[Shuffle, int, Shuffle, Star]]
) -> int:
    return sum(workers.map(job, arguments)) & 0xFFFFFFFFFFFFFFFF


def _spread(job: tuple[Shuffle, int, Shuffle, Star]) -> int:
    """Send each edge to the nodes that look at it: both for a large star, the larger for a small one."""
    edges, part, out, star = job
    one, other = edges.column(part, "one", "other")
    if star is large_star:
        one, other = np.concatenate([one, other]), np.concatenate([other, one])
    else:
        one, other = np.maximum(one, other), np.minimum(one, other)
    out.put(f"{part:06d}", by_hash(one, out.parts), {"one": one, "other": other})
    return 0


def _reduce(job: tuple[Shuffle, int, Shuffle, Star]) -> int:
    """Apply a star to the nodes of a part; a digest of the edges it leaves, whatever their order."""
    mapped, part, out, star = job
    one, other = star(*distinct(*mapped.column(part, "one", "other")))
    one, other = distinct(one, other)
    out.put(f"{part:06d}", by_hash(one, out.parts), {"one": one, "other": other})
    return int(mixed(mixed(one.astype(np.uint64)) + other.astype(np.uint64)).sum(dtype=np.uint64))


def distinct(one: Numbers, other: Numbers) -> Edges:
    """Rows in order, each once."""
    order = np.lexsort((other, one))
    one, other = one[order], other[order]
    new = np.ones(len(one), bool)
    new[1:] = (one[1:] != one[:-1]) | (other[1:] != other[:-1])
    return one[new], other[new]
