"""Real functions for pages to explain, drawn from a filtered corpus."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hornbook.core.records import documents
from hornbook.core.shards import read_table, shards
from hornbook.core.workers import Serial, Workers
from hornbook.tasks.mined import body_nodes, normal_form
from hornbook.text.code import self_contained_functions


@dataclass(frozen=True, slots=True)
class Real:
    """A documented function that needs nothing but the standard library, and the file it is from."""

    name: str
    code: str
    source: str


@dataclass(frozen=True, slots=True)
class Draw:
    """`count` functions, of a length within `chars`, in an order drawn by `seed`; of those with one body, one."""

    count: int
    seed: int
    chars: tuple[int, int]


Ranked = tuple[int, str, Real]
"""The rank of a function, its normal form, and the function; the lowest ranks are drawn."""


def draw_functions(folder: Path, draw: Draw, workers: Workers | None = None) -> list[Real]:
    """The functions drawn of a dataset of code, or all where there are fewer; a shard at a time on the workers."""
    jobs = ((path, draw) for path in shards(folder))
    found = (workers or Serial()).map(_of_shard, jobs)
    return [real for _, _, real in _best((one for some in found for one in some), draw.count)]


def _of_shard(job: tuple[Path, Draw]) -> list[Ranked]:
    path, draw = job
    return _best(_ranked(path, draw), draw.count)


def _best(ranked: Iterable[Ranked], count: int) -> list[Ranked]:
    """The `count` lowest ranks in their order, each form once."""
    best: list[Ranked] = []
    forms: set[str] = set()
    for rank, form, real in ranked:
        if form in forms or (len(best) == count and -rank <= best[0][0]):
            continue
        forms.add(form)
        if len(best) < count:
            heapq.heappush(best, (-rank, form, real))
        else:
            forms.discard(heapq.heapreplace(best, (-rank, form, real))[1])
    return [(-rank, form, real) for rank, form, real in sorted(best, key=lambda item: -item[0])]


def _ranked(path: Path, draw: Draw) -> Iterator[Ranked]:
    """Every function of a shard that fits, with a rank that depends on the seed and on what it does alone."""
    least, most = draw.chars
    for document in documents(read_table(path)):
        if document.kind != "code":
            continue
        for function in self_contained_functions(document.text):
            code = function.prompt + function.solution
            if least <= len(code) <= most and body_nodes(function) >= 12:
                form = normal_form(function.body)
                digest = hashlib.blake2b(f"{draw.seed}:{form}".encode(), digest_size=8).digest()
                yield int.from_bytes(digest, "big"), form, Real(function.name, code, document.source)
