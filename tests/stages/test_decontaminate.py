from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from hornbook.benchmarks import load
from hornbook.core.errors import ConfigError
from hornbook.core.records import Document
from hornbook.core.shards import read_documents, read_table, shards, write_shard
from hornbook.core.tools import Tools
from hornbook.stages.decontaminate import DecontaminateConfig, identity, run


def decontaminate(texts: dict[str, str], folder: Path, **settings: object) -> dict[str, dict[str, str]]:
    """Source -> the dropped row."""
    write_shard(
        folder / "in", "shard-00000.parquet", [Document(t, name, "code") for name, t in texts.items()]
    )
    out = folder / "out"
    out.mkdir()
    counts = run(DecontaminateConfig.model_validate(settings), {"documents": folder / "in"}, out, Tools())
    dropped = {row["source"]: row for path in shards(out, "dropped") for row in read_table(path).to_pylist()}
    assert {document.source for document in read_documents(out)} == texts.keys() - dropped.keys()
    assert (counts["kept"], counts["dropped"]) == (len(texts) - len(dropped), len(dropped))
    return dropped


def test_every_planted_problem_is_found_and_named(tmp_path: Path) -> None:
    problems = load("humaneval")
    texts = {
        p.id: f"import os\n\n\ndef before(x):\n    return x\n\n\n{p.prompt}{p.solution}\n\nAFTER = 1\n"
        for p in problems
    }
    dropped = decontaminate(texts, tmp_path)
    assert dropped.keys() == texts.keys()
    assert all(row["reason"] == "benchmark_ngram" for row in dropped.values())
    assert all(row["detail"].startswith("HumanEval/") for row in dropped.values())
    named = sum(row["detail"].startswith(f"{name}:") for name, row in dropped.items())
    assert named >= 160  # a few problems quote each other
    facts = orjson.loads((tmp_path / "out" / "protected.json").read_bytes())
    assert (facts["problems"], facts["not_protected"]) == (164, [])


def test_reindented_and_partial_copies_are_found_and_the_words_shown(tmp_path: Path) -> None:
    problem = load("humaneval")[0]
    prompt = problem.prompt.replace("    ", "\t").upper()
    dropped = decontaminate(
        {
            "whole": prompt,
            "doc": "'''Check if in given list of numbers, are any two numbers "
            "closer to each other than given threshold.'''",
        },
        tmp_path,
    )
    assert dropped.keys() == {"whole", "doc"}
    shown = "Check if in given list of numbers, are any two numbers closer to each other than given threshold"
    assert shown in dropped["doc"]["detail"]


def test_honest_code_and_number_tables_stay(tmp_path: Path) -> None:
    texts = {
        "numbers": "ROWS = [" + ", ".join(str(n % 10) for n in range(5_000)) + "]",
        "idioms": "from typing import List\n\n\ndef total(numbers: List[int]) -> int:\n    result = []\n"
        "    for i in range(len(numbers)):\n        if numbers[i] > 0:\n            result.append(numbers[i])\n"
        "    return sum(result)\n",
        "stdlib": Path(orjson.__file__).with_name("__init__.py").read_text("utf-8"),
        "empty": "",
    }
    assert not decontaminate(texts, tmp_path)


def test_identity_is_the_benchmark_s_and_an_unknown_one_is_named(tmp_path: Path) -> None:
    assert identity(DecontaminateConfig(), tmp_path).keys() == {"benchmark.humaneval"}
    with pytest.raises(ConfigError, match="humanevil"):
        identity(DecontaminateConfig(benchmarks=("humanevil",)), tmp_path)
