"""A recipe that makes a corpus and no model, from files to the report, with a store that two machines share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import fsspec
import orjson
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from hornbook.core.errors import ConfigError
from hornbook.core.machine import Machine
from hornbook.core.progress import Silent
from hornbook.core.settings import parse
from hornbook.core.shards import read_json
from hornbook.experiment.execute import execute
from hornbook.experiment.plan import plan
from hornbook.experiment.recipe import Recipe
from hornbook.report import inspect as inspection

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


class Said(Silent):
    """Progress that remembers what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


class HalfGone(MemoryFileSystem):  # type: ignore[misc]
    """A store of files one of which cannot be read."""

    protocol = "halfgone"

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.replace("halfgone://", "memory://")))

    def find(self, path: str, **settings: Any) -> Any:
        return {name: {**info, "ETag": name} for name, info in super().find(path, **settings).items()}

    def _open(self, path: str, *arguments: Any, **settings: Any) -> Any:
        if "bad" in path:
            raise ConnectionResetError("reset by peer")
        return super()._open(path, *arguments, **settings)


def test_a_file_that_stays_out_of_reach_is_set_aside_and_the_run_says_so_at_its_end(tmp_path: Path) -> None:
    fsspec.register_implementation("halfgone", HalfGone, clobber=True)
    memory = fsspec.filesystem("memory")
    row = orjson.dumps({"text": "def add(one, other):\n    return one + other\n"})
    memory.pipe({f"/halves/{name}.jsonl": row for name in ("a", "bad", "c")})
    source = {"kind": "jsonl", "path": "halfgone://halves"}
    made = recipe(tmp_path, read={"sources": [source]})
    said = Said()
    machine = Machine(root=str(tmp_path / "root"), workers=1)
    try:
        run = execute(made, machine, plan(made, machine), said)
    finally:
        memory.store.clear()
    assert "read: shards that failed and are missing: 1;" in said.lines[-1]
    found = read_json(run / "results.json")
    assert found["curation"]["read"]["kept"] == 2
    (error,) = found["set_aside"]["read"]["errors"]
    assert "halves/bad.jsonl cannot be read: reset by peer" in error["error"]
    assert "their documents are missing" in (run / "report.html").read_text()


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
