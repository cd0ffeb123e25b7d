"""HumanEval+ and MBPP+ in the Hub's layout, from a mirror on loopback: the same problems as in EvalPlus' own files."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub import COMMIT, mirror

from hornbook.benchmarks import Problem, load
from hornbook.benchmarks.evalplus import Asked, asked
from hornbook.benchmarks.postprocess import program
from hornbook.core.errors import InputError
from hornbook.sandbox import Limits, Sandbox

Row = dict[str, Any]
Find = Callable[[str], Path]
HEAD = (
    "import numpy as np\n\n\ndef assertion(out, exp, atol):\n    assert np.allclose(out, exp, atol=atol)\n\n"
)
"""What stands before the inputs; there the asserts have no number at their end."""
NEVER_WORKED = {
    "HumanEval/32": "assert _poly(*candidate(*inp), inp) <= {atol}",
    "HumanEval/130": "assertion(candidate(*inp), ref_func(*inp), {atol})",
}
"""Checks that fail every program: one unpacks a number, one names results that are not there."""
SETS = ["Mbpp/2", "Mbpp/140", "Mbpp/579"]
SIGNED_ZEROS = {"Mbpp/124", "Mbpp/252"}
"""Complex inputs whose zero has a sign, which Python writes down but does not read."""


def check(inputs: str, tolerance: float, id_: str, name: str) -> str:
    """Tests as the Hub has them, whose results are another machine's."""
    asserts = NEVER_WORKED.get(id_, f"assertion({name}(*inp), exp, {{atol}})").format(atol=tolerance)
    results = "" if id_ == "HumanEval/130" else f"results = {['elsewhere'] * inputs.count('[')}\n"
    loop = f"for i, (inp, exp) in enumerate(zip(inputs, results)):\n    {asserts}\n"
    return f"inputs = {inputs}\n{results}{loop}"


def humaneval(rows: list[Row], _: list[Problem]) -> list[Row]:
    kept = ("task_id", "prompt", "canonical_solution", "entry_point")
    made = []
    for row in rows:
        inputs = str([*row["base_input"], *row["plus_input"]])
        body = check(inputs, row["atol"], row["task_id"], "candidate").splitlines()
        test = HEAD + "def check(candidate):\n" + "".join(f"    {line}\n" for line in body)
        made.append({**{name: row[name] for name in kept}, "test": test})
    return made


def mbpp(rows: list[Row], problems: list[Problem]) -> list[Row]:
    made = []
    for row, problem in zip(rows, problems, strict=True):
        (inputs,) = re.findall("^INPUTS = (.*)$", problem.tests, re.MULTILINE)
        made.append(
            {
                "task_id": int(row["task_id"].split("/")[1]),
                "code": row["canonical_solution"],
                "prompt": row["prompt"],
                "source_file": "Benchmark Questions Verification V2.ipynb",
                "test_imports": ["import math"],
                "test_list": row["assertion"].strip().splitlines(),
                "test": HEAD + check(inputs, row["atol"], row["task_id"], row["entry_point"]),
            }
        )
    return made


LAYOUTS: dict[str, tuple[str, Callable[[list[Row], list[Problem]], list[Row]], str]] = {
    "humaneval_plus": ("HumanEvalPlus.jsonl.gz", humaneval, "evalplus/humanevalplus"),
    "mbpp_plus": ("MbppPlus.jsonl.gz", mbpp, "evalplus/mbppplus"),
}


def both(benchmark: str, every: int, tmp_path: Path, shared_file: Find) -> tuple[list[Problem], list[Row]]:
    """Problems of EvalPlus' own file, and their rows in the Hub's layout."""
    file, convert, _ = LAYOUTS[benchmark]
    lines = gzip.decompress(shared_file(file).read_bytes()).splitlines()
    rows = [json.loads(line) for line in lines]
    rows = [row for n, row in enumerate(rows) if n % every == 0 or row["task_id"] in (*NEVER_WORKED, *SETS)]
    (tmp_path / "own.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    problems = load(f"{benchmark}:{tmp_path}/own.jsonl")
    return problems, convert(rows, problems)


@pytest.fixture
def own_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a mirror's files go; nothing of the user's cache is seen."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "hub"


def published(hub: Path, name: str) -> Path:
    """The folder of a dataset whose main branch is the mirror's one commit."""
    folder = hub / "datasets" / name / COMMIT
    folder.mkdir(parents=True)
    (folder.parent / "main").symlink_to(folder)
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n")
    return folder


def point_at(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    template = address + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)


@pytest.mark.parametrize("benchmark", LAYOUTS)
def test_the_hubs_parquet_is_the_same_benchmark(
    benchmark: str, own_hub: Path, tmp_path: Path, shared_file: Find, monkeypatch: pytest.MonkeyPatch
) -> None:
    own, rows = both(benchmark, 40, tmp_path, shared_file)
    folder = published(own_hub, LAYOUTS[benchmark][2])
    (folder / "data").mkdir()
    pq.write_table(pa.Table.from_pylist(rows), folder / "data" / "test-00000-of-00001-5973903632b8.parquet")
    (folder / "test.jsonl").write_text("an older layout\n")
    with mirror(own_hub) as (address, sent):
        point_at(address, monkeypatch)
        found = load(benchmark)
        assert [name for name, _ in sent] == ["test-00000-of-00001-5973903632b8.parquet"]
    assert load(benchmark) == found  # from the cache: the mirror is gone
    assert [(p.id, p.prompt, p.solution, p.tests) for p in found] == [
        (p.id, p.prompt, p.solution, p.tests) for p in own
    ]
    programs = [program(p, text) for p in found for text in (p.solution, "    return None\n")]
    with Sandbox(Limits(cpu_seconds=20, wall_seconds=100)) as sandbox:
        passed = [verdict.passed for verdict in sandbox.verdicts(programs)]
    assert passed == [True, False] * len(found)


@pytest.mark.slow
@pytest.mark.parametrize("benchmark", LAYOUTS)
def test_every_problem_survives_the_layout(benchmark: str, tmp_path: Path, shared_file: Find) -> None:
    own, rows = both(benchmark, 1, tmp_path, shared_file)
    (tmp_path / "hub.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    found = load(f"{benchmark}:{tmp_path}/hub.jsonl")
    assert {a.id for a, b in zip(own, found, strict=True) if a.tests != b.tests} <= SIGNED_ZEROS


@pytest.mark.parametrize(
    ("test", "found"),
    [
        (
            HEAD + check("[[(1, {2}), -inf], [[], 3j]]", 0, "", "f"),
            Asked([[(1, {2}), -float("inf")], [[], 3j]], 0),
        ),
        (check("[[1.5]]", 1e-06, "HumanEval/32", "f"), Asked([[1.5]], 1e-6)),
        (check("[[Counter()]]", 0, "", "f"), None),
        (check("[1]", 0, "", "f"), None),
        (HEAD + "inputs = [[1]]\n", None),
        ("def check(candidate):\n    assert candidate(1) == 2\n", None),
    ],
)
def test_inputs_are_read_or_the_tests_stay_as_they_are(test: str, found: Asked | None) -> None:
    assert asked(test) == found


@pytest.mark.parametrize(
    "test",
    [
        "for one in range(3):\n    assert add(one, 1) == one + 1\n",
        "import numpy as np\nassert np.isclose(candidate(1, 2), 3)\n",
        "def check(f):\n    assert f(1, 1) == 2\n",
    ],
)
def test_tests_of_another_layout_run_whole(test: str, tmp_path: Path) -> None:
    row = {
        "task_id": 3,
        "prompt": "Write a function to add.",
        "code": "def add(a, b):\n    return a + b",
        "test_list": ["assert add(1, 2) == 3"],
        "test": test,
    }
    (tmp_path / "mine.jsonl").write_text(json.dumps(row))
    (problem,) = load(f"mbpp_plus:{tmp_path}/mine.jsonl")
    with Sandbox(workers=1) as sandbox:
        passed = [
            sandbox.verdict(program(problem, text)).passed for text in (problem.solution, "    return 9\n")
        ]
    assert passed == [True, False]


def test_tests_of_another_layout_find_what_the_solution_defines(tmp_path: Path) -> None:
    row = {
        "task_id": 3,
        "prompt": "Write a function to count.",
        "code": "class Pair:\n    def __init__(self, n):\n        self.n = n\n\n\ndef f(pair):\n    return pair.n",
        "test_list": ["assert f(Pair(3)) == 3"],
        "test": "assert f(Pair(3)) == 3\nassert candidate(Pair(4)) == 4\n",
    }
    (tmp_path / "mine.jsonl").write_text(json.dumps(row))
    (problem,) = load(f"mbpp_plus:{tmp_path}/mine.jsonl")
    with Sandbox(workers=1) as sandbox:
        own, stub = (sandbox.verdict(program(problem, text)) for text in (problem.solution, "    return 9\n"))
    assert (own.passed, stub.outcome) == (True, "failed")
    assert stub.reason == "AssertionError: assert f(Pair(3)) == 3"


def test_a_hub_without_the_files_says_so(own_hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    published(own_hub, "evalplus/mbppplus")
    with mirror(own_hub) as (address, _):
        point_at(address, monkeypatch)
        with pytest.raises(InputError, match=r"evalplus/mbppplus has no data/test-\*.parquet any more"):
            load("mbpp_plus")
