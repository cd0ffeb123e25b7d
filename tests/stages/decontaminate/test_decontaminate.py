from __future__ import annotations

import ast
from pathlib import Path

import orjson
import pytest

from hornbook.benchmarks import load
from hornbook.core.context import Tools
from hornbook.core.records import Document
from hornbook.core.shards import read_documents, read_table, shards, write_shard
from hornbook.stages.decontaminate.step import DecontaminateConfig, identity, run
from hornbook.stages.decontaminate.trees import function_trees


def decontaminate(texts: dict[str, str], folder: Path, **settings: object) -> dict[str, dict[str, str]]:
    """Source -> the dropped row."""
    write_shard(
        folder / "in", "shard-00000.parquet", [Document(t, name, "code") for name, t in texts.items()]
    )
    out = folder / "out"
    out.mkdir(parents=True)
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


def renamed(source: str) -> str:
    """The source with every name of its own changed and its docstrings gone."""
    tree = ast.parse(source)
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.name = names.setdefault(node.name, f"f{len(names)}")
            if ast.get_docstring(node):
                node.body = node.body[1:] or [ast.Pass()]
        elif isinstance(node, ast.arg):
            node.arg = names.setdefault(node.arg, f"a{len(names)}")
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in names:
            node.id = names[node.id]
    return ast.unparse(tree)


def test_renamed_problems_are_found_by_their_trees_where_that_is_asked_for(tmp_path: Path) -> None:
    texts = {p.id: renamed(p.prompt + p.solution) for p in load("humaneval")}
    texts["honest"] = Path(orjson.__file__).with_name("__init__.py").read_text("utf-8")
    by_words = decontaminate(texts, tmp_path / "words")
    assert len(by_words) < 100
    dropped = decontaminate(texts, tmp_path / "trees", ast_match=0.95)
    assert "honest" not in dropped
    long = {name for name, text in texts.items() if any(len(tree) >= 20 for _, tree in function_trees(text))}
    assert dropped.keys() == by_words.keys() | long - {"honest"}
    assert len(dropped) > 130
    facts = orjson.loads((tmp_path / "trees" / "out" / "protected.json").read_bytes())
    assert facts["trees"] > 130
    for name, row in dropped.items():
        if row["reason"] == "benchmark_ast":
            assert row["detail"].startswith(f"{name}: function f"), "the nearest problem is named"
            assert row["detail"].endswith("match rate 1.000")
    assert {row["reason"] for row in by_words.values()} == {"benchmark_ngram"}


def test_identity_is_the_benchmark_s_and_an_unknown_one_is_named(tmp_path: Path) -> None:
    assert identity(DecontaminateConfig(), tmp_path).keys() == {"benchmark.humaneval"}
    with pytest.raises(ValueError, match="no benchmark 'humanevil'; known: humaneval"):
        DecontaminateConfig(benchmarks=("humanevil",))
