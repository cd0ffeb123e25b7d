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
from hornbook.stages.evaluate.evaluator import Evaluator, Judgement, gold_pairs
from hornbook.stages.evaluate.scores import summary
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
    read = tomllib.loads((files("hornbook.stages.evaluate") / "probes.toml").read_text(encoding="utf-8"))
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
    by_reading = {probe.problem.id: probe for probe in absent if not probe.executed}

    def read(id_: str, text: str) -> dict[str, float]:
        probe = by_reading[id_]
        return judge(probe.problem.prompt + text, probe.library, names[probe.library])

    def reading(problem: Problem, text: str) -> Judgement | None:
        return _told(read(problem.id, text), problem.concepts[0]) if problem.id in by_reading else None

    attempts = evaluator.attempts(EMERGENCE, problems, reading)
    seen = [read(row["id"], row["judged"]) for row in attempts if row["id"] in by_reading]
    told["reading"] = {name: fmean(said[name] for said in seen) for name in seen[0]} if seen else {}
    gold = evaluator.gold(EMERGENCE, gold_pairs(problems))
    return {**summary(problems, attempts, gold, ks, evaluator.drawing.seed), "boundaries": {}}, told


def _told(said: Mapping[str, float], library: str) -> Judgement:
    """What was read as an attempt's judgement: it passed where nothing is wrong."""
    wrong = {
        "syntax": "it does not parse",
        "unused": f"it does not use {library}",
        "invented": f"{said['invented']:.0%} of the names that it uses are {library}'s",
    }
    failure = next((name for name in wrong if said[name] < 1), "")
    found = wrong[failure] if failure else f"it parses, uses {library}, and only names that {library} has"
    return {
        "outcome": "failed" if failure else "passed",
        "reason": f"not executed but read: {found}",
        "failure": failure,
    }


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
        if isinstance(node, ast.Attribute | ast.Name) and id(node) not in inner:
            root, _, rest = _dotted(node).partition(".")
            module, _, name = ".".join(filter(None, (aliases.get(root, ""), rest))).partition(".")
            found += [name] if module == library and name else []
    return found


def _dotted(node: ast.expr) -> str:
    match node:
        case ast.Attribute(value=value, attr=name):
            return f"{before}.{name}" if (before := _dotted(value)) else ""
        case ast.Name(id=name):
            return name
    return ""
