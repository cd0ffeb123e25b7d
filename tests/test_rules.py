"""The house rules that a machine can hold: sizes, nesting, names, and imports that do nothing heavy."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "src" / "hornbook"
FILES = sorted(PACKAGE.rglob("*.py"))
MAX_FILE_LINES = 600
MAX_FUNCTION_LINES = 60
MAX_PARAMETERS = 6
MAX_NESTING = 3
P90_FUNCTION_LINES = 35
REFUSED_NAMES = ("Manager", "Handler", "Helper", "Utils", "Base", "Abstract")

EXCEPTIONS = {
    "cli/run.py:train": "a command's options are its parameters",
    "sandbox/sandbox.py:verdicts": "a lazy parallel map: pool, clean-up, feed, window",
    "sandbox/warden.py:_wanted_seconds": "a walk over proc: processes, tasks, their files",
    "sandbox/zygote.py:_tidy": "removes what a program left, whatever kind it is",
    "text/mutants.py:_all_mutants": "every node, every rule, every variant",
    "teachers/pool.py:answer_all": "an ordered stream over answers that arrive in any order",
}
"""file:function -> why it may take more parameters, or nest deeper."""

Function = ast.FunctionDef | ast.AsyncFunctionDef


def _functions() -> Iterator[tuple[str, Function]]:
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, Function):
                yield f"{path.relative_to(PACKAGE)}:{node.name}", node


def _lines(node: Function) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _nesting(node: ast.AST, depth: int = 0) -> int:
    deepest = depth
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        chained = isinstance(node, ast.If) and isinstance(child, ast.If) and child in node.orelse
        block = (
            isinstance(child, ast.If | ast.For | ast.While | ast.With | ast.Try | ast.Match) and not chained
        )
        deepest = max(deepest, _nesting(child, depth + block))
    return deepest


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_a_file_fits_in_one_sitting(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_FILE_LINES


def test_functions_are_short_flat_and_take_few_parameters() -> None:
    found = list(_functions())
    long = [name for name, node in found if _lines(node) > MAX_FUNCTION_LINES]
    deep = [name for name, node in found if _nesting(node) > MAX_NESTING and name not in EXCEPTIONS]
    wide = [
        name
        for name, node in found
        if len([a for a in node.args.args + node.args.kwonlyargs if a.arg not in ("self", "cls")])
        > MAX_PARAMETERS
        and name not in EXCEPTIONS
        and not name.startswith("cli/")  # a command's options are its parameters
    ]
    lengths = sorted(_lines(node) for _, node in found)
    assert (long, deep, wide) == ([], [], [])
    assert lengths[int(len(lengths) * 0.9)] <= P90_FUNCTION_LINES


def test_no_class_has_a_name_that_says_nothing() -> None:
    classes = [
        f"{path.name}:{node.name}"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    ]
    assert [name for name in classes if name.split(":")[1].startswith(REFUSED_NAMES[4:])] == []
    assert [name for name in classes if name.endswith(REFUSED_NAMES[:4])] == []


def test_only_the_command_line_reads_the_environment() -> None:
    readers = [
        path.name for path in FILES if re.search(r"os\.environ|getenv|import environ", path.read_text())
    ]
    assert set(readers) == {
        "main.py",
        "options.py",
        "isolation.py",
        "precision.py",
    }  # the sandbox tells programs where home is; torch's own limits belong to what is measured under them


@pytest.mark.parametrize("module", ["hornbook.cli.main", "hornbook.experiment.steps"])
def test_importing_loads_nothing_heavy(module: str) -> None:
    heavy = [
        "torch",
        "sklearn",
        "transformers",
        "xllamacpp",
        "matplotlib",
        "duckdb",
        "numba",
        "tokenizers",
        "rensa",
    ]
    code = f"import sys, {module}; print([m for m in {heavy} if m in sys.modules])"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.strip()
    assert loaded == "[]"
