"""What a dial does to one record: versions with the fault, each with the program that proves it."""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from hornbook.benchmarks.exercise import Exercise
from hornbook.core.records import Document
from hornbook.sandbox import Program, Verdict

TRIES = 8
"""Versions of one record that are tried before it counts as one that cannot have the fault."""


@dataclass(frozen=True)
class Candidate:
    """A version of a record with a fault: the change in words, and the proof that it is one.

    The fault is there where `program` fails; with `before`, where it prints something else than `before` does.
    Without a program it is there by construction.
    """

    document: Document
    change: str
    program: Program | None = None
    before: Program | None = None

    @property
    def programs(self) -> tuple[Program, ...]:
        return tuple(program for program in (self.program, self.before) if program)

    def is_proved(self, verdicts: Sequence[Verdict]) -> bool:
        """What the verdicts on `programs` say."""
        if not verdicts:
            return True
        if self.before is None:
            return verdicts[0].outcome == "failed"
        wrong, right = verdicts
        return right.passed and wrong.outcome in ("passed", "failed") and wrong.output != right.output


@dataclass(frozen=True)
class Donors:
    """The other records of a shard, which a fault may take a text from; drawn in an order of each record's own."""

    documents: Sequence[Document]
    seed: int

    def of(self, document: Document, like: Callable[[Document], bool]) -> Iterator[Document]:
        """A few others that are like what is wanted, drawn for this record."""
        fitting = [other for other in self._near(document) if other.id != document.id and like(other)]
        rng = random.Random(f"{self.seed}:{document.id}")
        yield from rng.sample(fitting, min(len(fitting), TRIES))

    def _near(self, document: Document) -> Sequence[Document]:
        """Exercises that take and give the same types; of pages, all."""
        return self._by_shape.get(shape(document), ()) if document.kind == "exercise" else self.documents

    @cached_property
    def _by_shape(self) -> dict[tuple[str, ...], list[Document]]:
        found: dict[tuple[str, ...], list[Document]] = {}
        for document in self.documents:
            found.setdefault(shape(document), []).append(document)
        return found


Dial = Callable[[Document, Donors], Iterator[Candidate]]
"""The versions of a record that have the fault, likeliest first; none where it cannot have it."""


def rank(seed: str, id_: str) -> bytes:
    """The place of a record in an order that is drawn by its own hash."""
    return hashlib.blake2b(f"{seed}:{id_}".encode(), digest_size=16).digest()


def shape(document: Document) -> tuple[str, ...]:
    """The types in an exercise's signature, or, where it names none, how many parameters there are."""
    signature = document.meta.get("signature", "")
    hints = re.findall(r":\s*([^,=:]+(?:\[[^\]]*\])?)|->\s*(.+):$", signature)
    return tuple("".join(hint).strip() for hint in hints) or (str(signature.count(",")),)


def spoiled(document: Document, dial: str, change: str, was: str) -> Document:
    """The document with the ground truth in its meta: which dial did what to which record."""
    truth = {"dial": dial, "change": change, "was": was}
    return replace(document, meta={**document.meta, "spoiled": truth})


def failing(exercise: Exercise, place: str) -> Document:
    """An exercise whose solution its tests refute, as a document."""
    return replace(exercise, verdict="failed").document(place)
