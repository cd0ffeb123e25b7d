"""ReCode's suites (arXiv 2212.10264): another benchmark's problems with perturbed prompts, from a file."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from hornbook.benchmarks.files import Row, read_rows
from hornbook.benchmarks.problem import Problem, from_row
from hornbook.benchmarks.to_completion import tree
from hornbook.core.errors import ConfigError

FIELDS = ("task_id", "prompt", "entry_point", "canonical_solution", "test")


def load_recode(path: str) -> list[Problem]:
    """The problems of one perturbed file, in its order; ConfigError where no file is named."""
    if not path:
        raise ConfigError("recode needs a file: recode:FILE, one of ReCode's perturbed JSONL files")
    return [from_row(row, "recode", _tests(row)) for row in read_rows(Path(path), FIELDS)]


def _tests(row: Row) -> str:
    """The tests, where a renamed function is called by its new name: one of ReCode's files forgot a call."""
    nodes = list(ast.walk(tree(row["test"])))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    bound = {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)}
    bound |= {node.arg for node in nodes if isinstance(node, ast.arg)}
    wanted = _letters(row["entry_point"])
    for name in sorted(names - bound - {row["entry_point"]}):
        if _letters(name) == wanted:
            return re.sub(rf"\b{name}\b", row["entry_point"], row["test"])
    return str(row["test"])


def _letters(name: str) -> str:
    return name.replace("_", "").lower()
