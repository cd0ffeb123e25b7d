"""A recipe that makes a corpus and no model, from files to the report, with a store that two machines share."""

from __future__ import annotations

from pathlib import Path

import pytest

from hornbook import inspection
from hornbook.core.config import Machine, parse
from hornbook.core.errors import ConfigError
from hornbook.core.progress import Silent
from hornbook.core.shards import read_json
from hornbook.pipeline import Recipe
from hornbook.runner import execute, plan

LEAK = """
def closest(values, gap):
    for a, x in enumerate(values):
        for b, y in enumerate(values):
            if a != b:
                distance = abs(x - y)
                if distance < gap:
                    return True

    return False
"""


def recipe(folder: Path, **sections: object) -> Recipe:
    source = {"kind": "folder", "path": str(folder)}
    made = {"name": "corpus", "read": {"sources": [source]}, "dedup": {}, "decontaminate": {"ast_match": 0.9}}
    return parse(Recipe, {**made, **sections}, "corpus.toml")


def test_a_corpus_is_made_without_a_model_and_found_by_another_machine(tmp_path: Path) -> None:
    code = tmp_path / "code"
    code.mkdir()
    for number in range(6):
        body = "".join(f"def f{number}_{n}(x):\n    return x + {number * n}\n" for n in range(20))
        (code / f"m{number}.py").write_text(body)
        (code / f"copy{number}.py").write_text(
            body.replace("\n", "\n\n") if number < 2 else f"y = {number}\n"
        )
    (code / "leak.py").write_text(LEAK)
    here, there = (
        Machine(root=str(tmp_path / name), workers=1, store=f"file://{tmp_path}/shared")
        for name in ("here", "there")
    )
    made = recipe(code)
    planned = plan(made, here)
    assert [p.step.key for p in planned] == ["read", "dedup", "decontaminate/dedup", "report"]
    run = execute(made, here, planned, Silent())
    found = read_json(run / "results.json")
    assert found["curation"]["dedup"]["reasons"] == {"exact_copy": 2}
    assert found["curation"]["decontaminate/dedup"]["reasons"] == {"benchmark_ast": 1}
    assert found["copies"]["clusters"] == 2
    assert found["set_aside"] == {}

    again = plan(made, there)
    assert {p.state for p in again} == {"reuse"}
    execute(made, there, again, Silent())
    (row,) = inspection.records(there, "corpus", "decontaminate/dedup", "dropped", "", 5)
    assert row["source"] == "code/leak.py"
    assert row["detail"].startswith("HumanEval/0: function closest")


def test_a_mix_or_an_arm_names_what_it_cannot_do_without(tmp_path: Path) -> None:
    mix = {"tokens": 1000, "parts": {"dedup": 1.0}}
    for sections, missing in (
        ({"mixes": {"all": mix}}, r"\[mixes\] needs \[tokenizer\]"),
        ({"mixes": {"all": mix}, "tokenizer": {}}, r"\[mixes\] needs row_tokens = \.\.\."),
        (
            {"mixes": {"all": mix}, "tokenizer": {}, "row_tokens": 64, "arms": {"a": {"mix": "all"}}},
            r"\[arms\] needs \[pretrain\]",
        ),
    ):
        with pytest.raises(ConfigError, match=missing):
            recipe(tmp_path, **sections)
