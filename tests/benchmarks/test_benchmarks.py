"""Benchmarks: what is registered loads whole, and its own solutions are what the tests want."""

from __future__ import annotations

import ast
import dataclasses
import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard

from hornbook.benchmarks import (
    BENCHMARKS,
    Problem,
    benchmark_hashes,
    check_names,
    label,
    load,
    problems_hash,
)
from hornbook.benchmarks.postprocess import program
from hornbook.benchmarks.to_completion import split, tree
from hornbook.core.errors import ConfigError, InputError
from hornbook.sandbox import Limits, Sandbox

FILES = {
    "humaneval": (None, 164),
    "unconventional": (None, 50),
    "humaneval_plus": ("HumanEvalPlus.jsonl.gz", 164),
    "mbpp": ("mbpp_wtest.jsonl.gz", 969),
    "mbpp_plus": ("MbppPlus.jsonl.gz", 399),
    "recode": ("recode/humaneval_FuncRenameCamelCase_s0.jsonl.gz", 164),
}
"""Benchmark -> the file that holds it here, and how many problems it has."""
Find = Callable[[str], Path]


def named(benchmark: str, shared_file: Find) -> str:
    file = FILES[benchmark][0]
    return f"{benchmark}:{shared_file(file)}" if file else benchmark


def test_every_benchmark_is_tested() -> None:
    assert FILES.keys() == BENCHMARKS.keys()


@pytest.mark.parametrize("benchmark", FILES)
def test_problems_are_whole_programs_with_unique_ids(benchmark: str, shared_file: Find) -> None:
    name = named(benchmark, shared_file)
    problems = load(name)
    assert len({problem.id for problem in problems}) == len(problems) == FILES[benchmark][1]
    for problem in problems:
        code = problem.prompt + problem.solution
        names = {node.name for node in tree(code).body if isinstance(node, ast.FunctionDef)}
        assert problem.entry_point in names, problem.id
        assert "def check(" in problem.tests
        assert problem.prompt.endswith("\n")
        assert "\n\t" not in problem.prompt or benchmark in ("humaneval", "recode", "humaneval_plus")
        assert problem.benchmark == label(name)


@pytest.mark.parametrize("benchmark", ["mbpp_plus", "recode"])
def test_a_benchmark_is_the_same_in_every_process(benchmark: str, shared_file: Find) -> None:
    """Sets have another order in each; fingerprints and kept verdicts rest on these texts."""
    code = f"from hornbook.benchmarks import *; print(problems_hash(load({named(benchmark, shared_file)!r})))"
    hashes = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(hashes) == 1


@pytest.mark.parametrize(
    ("source", "head", "rest"),
    [
        ('def f(a, b="#"):\n    # why\n    return a\n', 'def f(a, b="#"):\n', "    # why\n    return a\n"),
        (
            "def f(\n    a,\n):  # so: it\n    'Old.'\n    return a\n",
            "def f(\n    a,\n):  # so: it\n",
            "    return a\n",
        ),
        ("x = '\x0c'\ndef f(a):\n    return a\n", "x = '\x0c'\ndef f(a):\n", "    return a\n"),
        ("def f(a): return a\n", "def f(a):\n", "    return a\n"),
    ],
)
def test_a_program_is_cut_behind_its_signature(source: str, head: str, rest: str) -> None:
    assert split(source, "f", "Say a.") == (head + '    """Say a.\n    """\n', rest)


def wrong(problems: list[Problem], seconds: float) -> list[str]:
    """Problems whose own solution fails or whose empty solution passes."""
    programs = [program(p, completion) for p in problems for completion in (p.solution, "")]
    with Sandbox(Limits(cpu_seconds=seconds, wall_seconds=5 * seconds)) as sandbox:
        verdicts = list(sandbox.verdicts(programs))
    return [
        f"{p.id}: {own.outcome} {own.reason}; empty: {empty.outcome}"
        for p, own, empty in zip(problems, verdicts[::2], verdicts[1::2], strict=True)
        if not own.passed or empty.passed
    ]


@pytest.mark.parametrize(("benchmark", "every"), [("unconventional", 1), ("mbpp", 12), ("mbpp_plus", 14)])
def test_own_solutions_pass_and_empty_ones_fail(benchmark: str, every: int, shared_file: Find) -> None:
    assert wrong(load(named(benchmark, shared_file))[::every], 10) == []


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("benchmark", FILES)
def test_all_own_solutions_pass_and_all_empty_ones_fail(benchmark: str, shared_file: Find) -> None:
    assert wrong(load(named(benchmark, shared_file)), 60) == []


REPAIRED = ["MBPP/64", "MBPP/160", "MBPP/607", "MBPP/631", "MBPP/966"]


def test_what_was_published_broken_is_repaired(shared_file: Find) -> None:
    problems = [p for p in load(named("mbpp", shared_file)) if p.id in REPAIRED]
    renamed = [p for p in load(named("recode", shared_file)) if p.id == "HumanEval/33"]
    plus = [p for p in load(named("humaneval_plus", shared_file)) if p.id == "HumanEval/32"]
    assert len(problems) == len(REPAIRED)
    assert wrong([*problems, *renamed, *plus], 10) == []


def test_a_right_root_passes_and_a_wrong_one_does_not(shared_file: Find) -> None:
    """A bare tolerance on the polynomial's value fails right programs where coefficients are large."""
    problem = next(p for p in load(named("humaneval_plus", shared_file)) if p.id == "HumanEval/32")
    bisection = next(p.solution for p in load("humaneval") if p.id == "HumanEval/32")
    right, wrong_one = (
        program(problem, bisection.replace("return begin", f"return begin {shift}"))
        for shift in ("", "+ 1e-3")
    )
    with Sandbox(Limits(cpu_seconds=10, wall_seconds=60), workers=1) as sandbox:
        assert sandbox.verdict(right).passed
        assert sandbox.verdict(wrong_one).outcome == "failed"


@pytest.mark.parametrize("packed", [".jsonl", ".jsonl.gz", ".jsonl.zst"])
def test_a_file_may_be_packed(packed: str, tmp_path: Path) -> None:
    lines = b"".join(
        json.dumps(
            {
                "task_id": f"T/{n}",
                "prompt": "def f(x):\n",
                "entry_point": "f",
                "canonical_solution": "    return x\n",
                "test": "def check(candidate):\n    assert candidate(1) == 1\n",
            }
        ).encode()
        + b"\n\n"
        for n in range(3)
    )
    pack = {".jsonl.gz": gzip.compress, ".jsonl.zst": zstandard.compress}.get(packed, bytes)
    (tmp_path / f"mine{packed}").write_bytes(pack(lines))
    problems = load(f"recode:{tmp_path}/mine{packed}")
    assert [p.id for p in problems] == ["T/0", "T/1", "T/2"]
    assert {p.benchmark for p in problems} == {"mine"}


ORIGINAL = {
    "task_id": 2,
    "text": "Write a function to count what two tuples share.",
    "code": "import math\r\ndef shared(a, b):\r\n\tfound = set(a) & set(b)\r\n\treturn len(found)",
    "test_list": ["assert shared((1, 2), (2, 3)) == 1", "assert shared((), (1,)) == 0"],
    "test_setup_code": "",
}
HUB_PLUS = {
    "task_id": 3,
    "prompt": "Write a function to add.",
    "code": "def add(a, b):\n    return a + b",
    "test_list": ["assert add(1, 2) == 3"],
    "test": "for a, b in [(1, 2), (3, 4)]:\n    assert add(a, b) == a + b\n",
}


@pytest.mark.parametrize(("benchmark", "row"), [("mbpp", ORIGINAL), ("mbpp_plus", HUB_PLUS)])
def test_rows_as_the_hub_has_them(benchmark: str, row: dict[str, object], tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "test.parquet")
    (problem,) = load(f"{benchmark}:{tmp_path}/test.parquet")
    assert problem.id.lower() == f"mbpp/{row['task_id']}"
    assert f"    >>> {problem.entry_point}(" in problem.prompt
    assert wrong([problem], 3) == []


def test_prompt_says_what_the_task_is_and_shows_the_examples(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([ORIGINAL]), tmp_path / "test.parquet")
    (problem,) = load(f"mbpp:{tmp_path}/test.parquet")
    assert problem.prompt == (
        "import math\ndef shared(a, b):\n"
        '    """Write a function to count what two tuples share.\n'
        "    >>> shared((1, 2), (2, 3))\n    1\n    >>> shared((), (1,))\n    0\n"
        '    """\n'
    )
    assert problem.solution == "    found = set(a) & set(b)\n    return len(found)\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("not json\n", "line 1: not JSONL"),
        ('{"task_id": 1}\n', "row 1: no field prompt"),
        ("\n", "holds no problem"),
        (None, "No such file"),
    ],
)
def test_a_bad_file_is_named_with_its_line(text: str | None, said: str, tmp_path: Path) -> None:
    if text is not None:
        (tmp_path / "mine.jsonl").write_text(text)
    with pytest.raises(InputError, match=said):
        load(f"humaneval:{tmp_path}/mine.jsonl")


def test_a_cut_file_is_an_error_not_fewer_problems(tmp_path: Path, shared_file: Find) -> None:
    whole = shared_file("mbpp_wtest.jsonl.gz").read_bytes()
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"cut.jsonl.gz breaks off after line \d+"):
        load(f"mbpp:{tmp_path}/cut.jsonl.gz")


def test_a_benchmark_that_cannot_be_fetched_says_how_to_name_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(InputError, match="name a file after a colon, as in mbpp:FILE"):
        load("mbpp")


def test_hash_follows_every_letter() -> None:
    problems = load("humaneval")
    changed = [*problems[:-1], dataclasses.replace(problems[-1], tests=problems[-1].tests + " ")]
    assert benchmark_hashes(["humaneval"]) == {"benchmark.humaneval": problems_hash(problems)}
    assert problems_hash(changed) != problems_hash(problems)


def test_unknown_benchmark_names_the_known() -> None:
    with pytest.raises(ConfigError, match="no benchmark 'humanevil'; known: humaneval"):
        load("humanevil")
    with pytest.raises(ConfigError, match="recode needs a file"):
        load("recode")


def test_two_benchmarks_are_never_filed_alike() -> None:
    assert check_names(["humaneval", "recode:a/one.jsonl", "recode:a/two.jsonl.gz"])
    with pytest.raises(ValueError, match="would both be filed as mbpp"):
        check_names(["mbpp", "mbpp:mine.jsonl"])
