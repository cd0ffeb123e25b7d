"""hornbook's own problems in HumanEval's form: small invented worlds with exact rules, unlikely to exist anywhere else.

Each is one text file in the folder of its difficulty: a line of concepts, the function, two blank lines, its check.
"""

from __future__ import annotations

import ast
from importlib.resources import files
from pathlib import Path

from hornbook.benchmarks.problem import Problem
from hornbook.benchmarks.to_completion import tree
from hornbook.core.errors import InputError

DIFFICULTIES = ("easy", "medium", "hard")
CONCEPTS = "# concepts: "
CHECK = "\n\n\ndef check(candidate):\n"


def load_unconventional(path: str) -> list[Problem]:
    """The problems by difficulty and name; `path` may be a folder of one's own in the same form."""
    folder = Path(path) if path else Path(str(files(__package__)))
    found = [file for difficulty in DIFFICULTIES for file in sorted((folder / difficulty).glob("*.txt"))]
    if not found:
        raise InputError(f"{folder} holds no problem: *.txt in folders {', '.join(DIFFICULTIES)}")
    return [_problem(file) for file in found]


def _problem(file: Path) -> Problem:
    try:
        first, source = file.read_text(encoding="utf-8").split("\n", 1)
        program, check = source.split(CHECK)
        function = next(node for node in reversed(tree(program).body) if isinstance(node, ast.FunctionDef))
        docstring = function.body[0]
        if not first.startswith(CONCEPTS) or not ast.get_docstring(function) or not docstring.end_lineno:
            raise ValueError("it lacks its concepts or its docstring")
    except (OSError, ValueError, StopIteration) as error:
        raise InputError(f"{file} is not a problem: {str(error) or 'it has no function'}") from error
    lines = program.splitlines(keepends=True)
    return Problem(
        id=f"unconventional/{file.stem}",
        prompt="".join(lines[: docstring.end_lineno]),
        solution="".join(lines[docstring.end_lineno :]) + "\n",
        tests=CHECK.lstrip() + check,
        entry_point=function.name,
        benchmark="unconventional",
        concepts=tuple(first.removeprefix(CONCEPTS).split(", ")),
        difficulty=file.parent.name,
    )
