"""Exercises that no model is trained on: some choose among checkpoints, the others measure the one that was chosen."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

from hornbook.benchmarks.problem import Problem
from hornbook.core.errors import StageError
from hornbook.core.records import Document
from hornbook.core.shards import read_documents

HELDOUT = "heldout"
CHOOSING_SHARE = 0.25
"""Of the held-out exercises, by a hash of their ids: a score is not taken where it was chosen by."""


def heldout_problems(
    folder: Path, count: int, seed: int, purpose: Literal["choose", "evaluate"]
) -> list[Problem]:
    """`count` held-out exercises of a folder that the stage exercises made, those with the lowest seeded hash.

    No exercise serves both purposes. StageError where there are not as many to evaluate, or none to choose by.
    """
    found = [
        d
        for d in read_documents(folder, HELDOUT)
        if (_hash("choose", d) < CHOOSING_SHARE) == (purpose == "choose")
    ]
    if len(found) < (count if purpose == "evaluate" else 1):
        raise StageError(
            f"{count} held-out exercises are wanted to {purpose}, but {folder} has {len(found)} for it; "
            "raise heldout_count of the exercises, or lower evaluate.heldout_problems"
        )
    return [_problem(document) for document in sorted(found, key=lambda d: _hash(str(seed), d))[:count]]


def _hash(salt: str, document: Document) -> float:
    """A number from 0 to 1 that belongs to a salt and a document."""
    digest = hashlib.blake2b(f"{salt}:{document.id}".encode(), digest_size=8).digest()
    return int.from_bytes(digest) / 2**64


def _problem(exercise: Document) -> Problem:
    meta = exercise.meta
    return Problem(
        id=f"{HELDOUT}/{exercise.id[:12]}",
        prompt=exercise.text[: meta["prompt_chars"]],
        solution=exercise.text[meta["prompt_chars"] :],
        tests=meta["tests"],
        entry_point=meta["entry_point"],
        benchmark=HELDOUT,
        concepts=tuple(meta.get("concepts", ())),
    )
