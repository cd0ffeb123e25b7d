"""Exercises of the grammar are right by execution, seeded, and held out by combination."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from hornbook.core.errors import HornbookError
from hornbook.core.records import Document, documents
from hornbook.core.shards import read_documents, read_table, shard_name, shards, write_shard
from hornbook.core.tools import Tools
from hornbook.sandbox import Program, Sandbox
from hornbook.stages import exercises
from hornbook.stages.exercises import ExercisesConfig

SOURCE = '''
import math


def area(radius):
    """The area of a circle.

    >>> area(0)
    0.0
    """
    if radius < 0:
        raise ValueError("a radius is not negative")
    return math.pi * radius**2


def wrong(number):
    """Twice a number.

    >>> wrong(2)
    5
    """
    total = 0
    for _ in range(2):
        total += number
    return total


def needs_more(value):
    """Not self-contained."""
    return helper_of_this_module(value) + len(str(value)) * 2
'''


def _tools() -> Tools:
    return Tools(seed=3, sandbox=partial(Sandbox, workers=2))


def _grammar(out: Path, seed: int = 3) -> tuple[list[Document], list[Document]]:
    out.mkdir()
    config = ExercisesConfig(source="grammar", count=200, heldout_count=20)
    exercises.run(config, {}, out, Tools(seed=seed, sandbox=partial(Sandbox, workers=2)))
    held = [d for path in shards(out, "heldout") for d in documents(read_table(path))]
    return list(read_documents(out)), held


def test_grammar_exercises_pass_their_own_tests_and_an_empty_body_does_not(tmp_path: Path) -> None:
    kept, held = _grammar(tmp_path / "a")
    assert (len(kept), len(held)) == (200, 20)
    assert len({d.id for d in kept}) == 200
    some = [*kept[:30], *held]
    bodies = [d.text[: d.meta["prompt_chars"]] + "    pass\n" for d in some]
    with Sandbox(workers=2, mode="strict") as sandbox:
        right = [Program(d.text, d.meta["tests"], d.meta["entry_point"]) for d in some]
        empty = [
            Program(b, d.meta["tests"], d.meta["entry_point"]) for b, d in zip(bodies, some, strict=True)
        ]
        assert all(v.passed for v in sandbox.verdicts(right))
        assert not any(v.passed for v in sandbox.verdicts(empty))


def test_held_out_combinations_are_never_trained_on_but_their_concepts_are(tmp_path: Path) -> None:
    kept, held = _grammar(tmp_path / "a")
    trained = {tuple(sorted(d.meta["concepts"])) for d in kept}
    assert trained.isdisjoint({tuple(sorted(d.meta["concepts"])) for d in held})


def test_the_seed_alone_decides(tmp_path: Path) -> None:
    first, _ = _grammar(tmp_path / "a")
    again, _ = _grammar(tmp_path / "b")
    other, _ = _grammar(tmp_path / "c", seed=4)
    assert first == again
    assert first != other


def test_mined_functions_are_self_contained_and_proved_by_their_doctests(tmp_path: Path) -> None:
    write_shard(tmp_path / "in", shard_name(0), [Document(SOURCE, "here/shapes.py", "code")])
    (tmp_path / "out").mkdir()
    exercises.run(
        ExercisesConfig(source="corpus"), {"documents": tmp_path / "in"}, tmp_path / "out", _tools()
    )
    (kept,) = read_documents(tmp_path / "out")
    assert (kept.meta["name"], kept.meta["verdict"]) == ("area", "passed")
    assert kept.text.startswith("import math\n")
    (dropped,) = (row for path in shards(tmp_path / "out", "dropped") for row in read_table(path).to_pylist())
    assert dropped["reason"] == "doctest_failed"


def test_a_teacher_source_without_a_teacher_says_so(tmp_path: Path) -> None:
    with pytest.raises(HornbookError, match="needs a teacher"):
        exercises.run(ExercisesConfig(source="teacher"), {}, tmp_path, _tools())
