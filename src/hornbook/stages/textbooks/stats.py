"""What the pages of a textbook set cover and how different they are, beside pages of one plain prompt."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hornbook.core.records import Document, documents
from hornbook.core.shards import DROPPED, KEPT, read_table, shards
from hornbook.stages.textbooks.curriculum import Curriculum
from hornbook.text.diversity import count_tokens, cut_to, measure

MEASURED_TOKENS = 2_000_000
"""Diversity is measured on the first so many tokens: more changes little and takes long."""
DIMENSIONS: Mapping[str, tuple[int, ...]] = {
    "topics": (0,),
    "audiences": (1,),
    "styles": (2,),
    "topics x audiences": (0, 1),
    "audiences x styles": (1, 2),
    "topics x audiences x styles": (0, 1, 2),
}
"""What coverage is told of: combinations of topic, audience and style."""


def account(out: Path, plain: Path, curriculum: Curriculum, left: Sequence[str]) -> dict[str, Any]:
    """Coverage of the curriculum by asked and kept pages; diversity of what was written, beside the plain control.

    Both sets are measured as they were written, dropped pages included, and cut to the same number of tokens.
    """
    told, control = _Account(), _Account()
    for folder, part in ((out, told), (plain, control)):
        for document, is_kept in _in_order(folder):
            part.add(document, is_kept)
    sets = [part.texts for part in (told, control) if part.texts]
    tokens = min([count_tokens(texts) for texts in sets], default=0)
    return {
        "coverage": _coverage(curriculum, told),
        "areas": _areas(curriculum, told),
        "grid": _grid(curriculum, told),
        "left": list(left),
        "grounded": told.grounded,
        "books": len(told.books),
        "words": dict(told.words),
        "claims": _claims(told),
        "written": measure(cut_to(told.texts, tokens)) | told.shares(),
        "plain": measure(cut_to(control.texts, tokens)) | control.shares() if control.texts else None,
    }


class _Account:
    """Counts over the pages of a set, one at a time, and the first of their texts."""

    def __init__(self) -> None:
        self.pages: Counter[bool] = Counter()
        self.places: dict[bool, set[tuple[str, str, str]]] = {True: set(), False: set()}
        self.areas: Counter[tuple[str, bool]] = Counter()
        self.grid: Counter[tuple[str, str]] = Counter()
        self.claims: Counter[tuple[str, str]] = Counter()
        self.pages_wrong = 0
        self.pages_with_claims = 0
        self.words: Counter[str] = Counter(asked=0, used=0)
        self.books: set[str] = set()
        self.grounded = 0
        self.texts: list[str] = []
        self._tokens = 0

    def add(self, document: Document, is_kept: bool) -> None:
        meta = document.meta
        self.pages[is_kept] += 1
        self.areas[meta.get("area", ""), is_kept] += 1
        if is_kept:
            self.grid[meta.get("area", ""), meta.get("audience", "")] += 1
            self.grounded += "function" in meta
            self.books |= {meta["book"]} if "book" in meta else set()
        if "book" not in meta and "function" not in meta:
            place = (meta.get("topic", ""), meta.get("audience", ""), meta.get("style", ""))
            self.places[is_kept].add(place)
        self._add_text(document)
        claims = meta.get("claims", ())
        self.claims.update((claim["kind"], claim["verdict"]) for claim in claims)
        self.pages_with_claims += any(claim["verdict"] != "open" for claim in claims)
        self.pages_wrong += any(claim["verdict"] == "wrong" for claim in claims)

    def _add_text(self, document: Document) -> None:
        if document.text:
            lower = document.text.lower()
            words = document.meta.get("words", ())
            self.words.update(asked=len(words), used=sum(word.lower() in lower for word in words))
        if document.text and self._tokens < MEASURED_TOKENS:
            self.texts.append(document.text)
            self._tokens += count_tokens([document.text])

    def shares(self) -> dict[str, Any]:
        """How many pages there were, and how many were kept."""
        return {"asked": self.pages.total(), "kept": self.pages[True]}


def _in_order(folder: Path) -> Iterator[tuple[Document, bool]]:
    """Every page of a set in the order of writing, and whether it was kept; one shard in memory at a time."""
    names = sorted({path.name for part in (KEPT, DROPPED) for path in shards(folder, part)})
    for name in names:
        found = [
            (document, part == KEPT)
            for part in (KEPT, DROPPED)
            if (path := folder / part / name).exists()
            for document in documents(read_table(path))
        ]
        yield from sorted(found, key=lambda item: _number(item[0].source))


def _number(source: str) -> list[int]:
    """The numbers at the end of a page's source: of a page, or of a chapter and its page."""
    return [int(part) for part in source.split("/")[-2:] if part.isdigit()]


def _coverage(curriculum: Curriculum, told: _Account) -> dict[str, Any]:
    """For each dimension how many there are, how many were asked for, and how many have a kept page."""
    sizes = [len(part) for part in (curriculum.topics, curriculum.audiences, curriculum.styles)]
    found: dict[str, Any] = {}
    for name, axes in DIMENSIONS.items():
        every = 1
        for axis in axes:
            every *= sizes[axis]
        kept = {tuple(place[axis] for axis in axes) for place in told.places[True]}
        asked = kept | {tuple(place[axis] for axis in axes) for place in told.places[False]}
        found[name] = {"all": every, "asked": len(asked), "kept": len(kept)}
    return found


def _areas(curriculum: Curriculum, told: _Account) -> dict[str, Any]:
    area_of = {topic.name: topic.area for topic in curriculum.topics}
    topics = Counter(area_of.values())
    covered = Counter(area_of.get(topic, "") for topic in {place[0] for place in told.places[True]})
    return {
        area: {
            "topics": count,
            "covered": covered[area],
            "asked": told.areas[area, True] + told.areas[area, False],
            "kept": told.areas[area, True],
        }
        for area, count in topics.items()
    }


def _grid(curriculum: Curriculum, told: _Account) -> dict[str, Any]:
    """Kept pages by area and audience."""
    areas = list(dict.fromkeys(topic.area for topic in curriculum.topics))
    audiences = [audience.name for audience in curriculum.audiences]
    kept = [[told.grid[area, audience] for audience in audiences] for area in areas]
    return {"areas": areas, "audiences": audiences, "kept": kept}


def _claims(told: _Account) -> dict[str, Any]:
    """What pages say that their code prints: how many claims of each kind hold, are wrong, or are open."""
    kinds = sorted({kind for kind, _ in told.claims})
    verdicts = ("holds", "wrong", "open")
    return {
        "kinds": {kind: {v: told.claims[kind, v] for v in verdicts} for kind in kinds},
        "pages": told.pages_with_claims,
        "pages_wrong": told.pages_wrong,
    }
