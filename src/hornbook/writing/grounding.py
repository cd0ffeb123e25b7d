"""Real functions for pages to explain, drawn from a filtered corpus."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from hornbook.core.shards import read_documents
from hornbook.text.code import self_contained_functions
from hornbook.text.mining import body_nodes, normal_form


@dataclass(frozen=True, slots=True)
class Real:
    """A documented function that needs nothing but the standard library, and the file it is from."""

    name: str
    code: str
    source: str


def draw_functions(folder: Path, count: int, seed: int, chars: tuple[int, int]) -> list[Real]:
    """`count` functions of a dataset of code, or all where there are fewer, in an order drawn by `seed`.

    `chars`: the shortest and the longest that are taken; of functions with the same body one is.
    """
    best: list[tuple[int, str, Real]] = []
    forms: set[str] = set()
    for rank, form, real in _ranked(folder, seed, chars):
        if form in forms or (len(best) == count and -rank <= best[0][0]):
            continue
        forms.add(form)
        if len(best) < count:
            heapq.heappush(best, (-rank, form, real))
        else:
            forms.discard(heapq.heapreplace(best, (-rank, form, real))[1])
    return [real for _, _, real in sorted(best, key=lambda item: -item[0])]


def _ranked(folder: Path, seed: int, chars: tuple[int, int]) -> Iterator[tuple[int, str, Real]]:
    """Every function that fits, with a rank that depends on the seed and on what it does alone."""
    least, most = chars
    for document in read_documents(folder):
        if document.kind != "code":
            continue
        for function in self_contained_functions(document.text):
            code = function.prompt + function.solution
            if least <= len(code) <= most and body_nodes(function) >= 12:
                form = normal_form(function.body)
                digest = hashlib.blake2b(f"{seed}:{form}".encode(), digest_size=8).digest()
                yield int.from_bytes(digest, "big"), form, Real(function.name, code, document.source)
