from __future__ import annotations

from pathlib import Path

import pytest

from hornbook.benchmarks.heldout import heldout_problems
from hornbook.core.errors import StageError
from hornbook.core.records import Document, documents_table
from hornbook.core.shards import shard_name, write_table


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two hundred held-out exercises."""
    exercises = [
        Document(
            f"def f(x):\n    return x + {i}\n", f"grammar:{i}", "exercise",
            {"prompt_chars": 10, "tests": f"def check(f):\n    assert f(1) == {i + 1}\n", "entry_point": "f"},
        )
        for i in range(200)
    ]  # fmt: skip
    write_table(tmp_path / "heldout" / shard_name(0), documents_table(exercises))
    return tmp_path


def test_what_chooses_is_not_what_measures(folder: Path) -> None:
    choose = heldout_problems(folder, 30, 1, "choose")
    evaluate = heldout_problems(folder, 130, 1, "evaluate")
    assert not {p.id for p in choose} & {p.id for p in evaluate}
    assert [p.id for p in choose] != [p.id for p in heldout_problems(folder, 30, 2, "choose")]
    assert choose[0].prompt == "def f(x):\n"
    assert choose[0].solution.startswith("    return x + ")


def test_too_few_say_which_setting_to_change(folder: Path) -> None:
    with pytest.raises(
        StageError, match=r"199 held-out exercises are wanted to evaluate, but .* heldout_count"
    ):
        heldout_problems(folder, 199, 1, "evaluate")
