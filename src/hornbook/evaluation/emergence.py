"""Emergence: what a model makes of libraries that its finetuning set never imports."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from statistics import fmean
from typing import Any

from hornbook.benchmarks.problem import Problem
from hornbook.core.shards import read_table, shards
from hornbook.evaluation.evaluator import Evaluator, gold_pairs
from hornbook.evaluation.suites import summary
from hornbook.text.code import parse

EMERGENCE = "emergence"
_IMPORT = re.compile(r"^[ \t]*(?:from[ \t]+([A-Za-z_]\w*)|import[ \t]+([\w., \t]+))", re.MULTILINE)


@dataclass(frozen=True)
class Probe:
    """A problem about a library; without tests it is judged by what can be read from it."""

    problem: Problem
    library: str
    executed: bool


def load_probes() -> tuple[list[Probe], dict[str, frozenset[str]]]:
    """hornbook's own probes, and the names that each library that is not executed is known to have."""
    read = tomllib.loads((files("hornbook.evaluation") / "probes.toml").read_text(encoding="utf-8"))
    names = {library: frozenset(known) for library, known in read["names"].items()}
    return [_probe(number, row) for number, row in enumerate(read["probe"])], names


def _probe(number: int, row: Mapping[str, str]) -> Probe:
    defined = [line for line in row["prompt"].splitlines() if line.startswith("def ")]
    problem = Problem(
        id=f"{EMERGENCE}/{number:02d}-{row['library']}",
        prompt=row["prompt"],
        solution=row["solution"],
        tests=row.get("tests", ""),
        entry_point=defined[0][4:].partition("(")[0],
        benchmark=EMERGENCE,
        concepts=(row["library"],),
    )
    return Probe(problem, row["library"], "tests" in row)


def count_imports(folders: Iterable[Path]) -> Counter[str]:
    """Top-level module -> how many documents of these datasets import it."""
    found: Counter[str] = Counter()
    for folder in folders:
        for path in shards(folder):
            for text in read_table(path, ["text"])["text"].to_pylist():
                found.update(imported(text))
    return found


def imported(text: str) -> set[str]:
    """The top-level modules that a text imports, code in prose included."""
    modules: set[str] = set()
    for one, many in _IMPORT.findall(text):
        modules |= {part.split()[0].partition(".")[0] for part in (one or many).split(",") if part.split()}
    return modules


def emergence(
    evaluator: Evaluator, imports: Mapping[str, int], ks: Sequence[int]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Scores on the probes whose library no document imports, in the form of a benchmark's; and what they rest on.

    A probe that is not executed passes where the attempt parses, uses its library, and uses only names that it has.
    """
    probes, names = load_probes()
    absent = [probe for probe in probes if not imports.get(probe.library)]
    problems = [probe.problem for probe in absent]
    told = {
        "libraries": {probe.library: imports.get(probe.library, 0) for probe in probes},
        "absent": sorted({probe.library for probe in absent}),
        "executed": sum(probe.executed for probe in absent),
        "read": sum(not probe.executed for probe in absent),
    }
    if not problems:
        return {}, told
    by_id = {probe.problem.id: probe for probe in absent}
    attempts, seen = [], []
    for row in evaluator.attempts(EMERGENCE, problems):
        probe, judged = by_id[row["id"]], {}
        if not probe.executed:
            said = judge(probe.problem.prompt + row["judged"], probe.library, names[probe.library])
            seen.append(said)
            good = all(value == 1 for value in said.values())
            worst = min(said, key=lambda name: said[name])
            judged = {"outcome": "passed" if good else "failed", "failure": "" if good else worst}
        attempts.append({**row, **judged})
    told["reading"] = {name: fmean(said[name] for said in seen) for name in seen[0]} if seen else {}
    gold = evaluator.gold(EMERGENCE, gold_pairs(problems))
    return {**summary(problems, attempts, gold, ks, evaluator.drawing.seed), "boundaries": {}}, told


def judge(source: str, library: str, known: frozenset[str]) -> dict[str, float]:
    """What can be read from a program: whether it parses, uses the library, and the share of its names that exist."""
    tree = parse(source)
    if tree is None:
        return {"syntax": 0.0, "unused": 0.0, "invented": 0.0}
    used = _used(tree, library)
    families = tuple(name[:-1] for name in known if name.endswith("*"))
    real = [name in known or name.startswith(families) for name in used]
    return {"syntax": 1.0, "unused": float(bool(used)), "invented": fmean(real) if real else 0.0}


def _used(tree: ast.AST, library: str) -> list[str]:
    """The names of the library that a program uses, dotted and without the library's own."""
    aliases: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for one in node.names:
                first = one.name.partition(".")[0]
                aliases[one.asname or first] = one.name if one.asname else first
        elif isinstance(node, ast.ImportFrom) and node.module:
            aliases |= {(one.asname or one.name): f"{node.module}.{one.name}" for one in node.names}
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and id(node) not in inner and (name := _dotted(node)):
            root, _, rest = name.partition(".")
            whole = f"{aliases.get(root, '')}.{rest}"
            if whole.partition(".")[0] == library:
                found.append(whole.partition(".")[2])
    return found


def _dotted(node: ast.expr) -> str:
    match node:
        case ast.Attribute(value=value, attr=name):
            return f"{before}.{name}" if (before := _dotted(value)) else ""
        case ast.Name(id=name):
            return name
    return ""
