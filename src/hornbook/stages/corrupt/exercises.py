"""The faults in an exercise: a solution that is wrong, a docstring that misleads, a name that nothing defines."""

from __future__ import annotations

import ast
import builtins
import re
from collections.abc import Iterator, Set
from dataclasses import replace
from itertools import islice

from hornbook.benchmarks.exercise import Exercise
from hornbook.core.records import Document
from hornbook.stages.corrupt.corruption import TRIES, Candidate, Donors, failing, rank
from hornbook.text.code import parse

UNSEEN = ("convert", "select", "combine", "prepare", "resolve", "lookup", "measure", "arrange")
"""Names of functions that lie somewhere else."""
BUILTINS = frozenset(dir(builtins))
LEAST_NODES = 4
"""What is moved away holds at least so much; a lone name says nothing that anybody would miss."""


def wrong_solution(document: Document, donors: Donors) -> Iterator[Candidate]:
    """The solution with one small mistake that its tests refute; nothing where it has no tests."""
    exercise = Exercise.of(document)
    if not exercise.tests:
        return
    found = exercise.mutants(donors.seed, TRIES)
    for mutant in sorted(found, key=lambda m: rank(str(donors.seed), m.source)):
        wrong = replace(exercise, solution=mutant.source[len(exercise.prompt) :])
        yield Candidate(failing(wrong, document.source), f"{mutant.kind}, {mutant.change}", wrong.program)


def misleading_docstring(document: Document, donors: Donors) -> Iterator[Candidate]:
    """The docstring, and with it the tests, of another exercise of the same types, which this solution fails."""
    exercise = Exercise.of(document)
    for donor in donors.of(document, lambda other: bool(other.meta["tests"])):
        other = Exercise.of(donor)
        docstring = _docstring(other.prompt, other.name)
        own = _docstring(exercise.prompt, exercise.name)
        if not docstring or not own:
            continue
        words = _renamed(docstring, _names(other), _names(exercise))
        prompt = exercise.prompt.replace(own, words, 1)
        tests = _renamed(other.tests, (other.name,), (exercise.name,))
        misled = replace(exercise, prompt=prompt, tests=tests)
        change = f"the docstring of {other.name} ({donor.id})"
        yield Candidate(failing(misled, document.source), change, misled.program)


def missing_context(document: Document, donors: Donors) -> Iterator[Candidate]:
    """A part of the solution as a call to a function that lies somewhere else."""
    exercise = Exercise.of(document)
    for number, (old, start, end, names) in enumerate(islice(_parts(exercise), TRIES)):
        free = [name for name in UNSEEN if name not in exercise.text]
        if not free:
            return
        called = free[(len(exercise.text) + number) % len(free)]
        body = exercise.text.encode()
        text = (body[:start] + f"{called}({', '.join(names)})".encode() + body[end:]).decode()
        unseen = replace(exercise, solution=text[len(exercise.prompt) :])
        change = f"`{old}` is now {called}(...), which nothing defines"
        yield Candidate(failing(unseen, document.source), change, unseen.program if exercise.tests else None)


def _docstring(prompt: str, name: str) -> str:
    """The source of the docstring, quotes included; empty where there is none."""
    tree = parse(prompt)
    for node in tree.body if tree else ():
        if isinstance(node, ast.FunctionDef) and node.name == name and ast.get_docstring(node):
            return ast.get_source_segment(prompt, node.body[0]) or ""
    return ""


def _names(exercise: Exercise) -> tuple[str, ...]:
    """The function's name and those of its parameters, in order."""
    tree = parse(exercise.prompt)
    for node in tree.body if tree else ():
        if isinstance(node, ast.FunctionDef) and node.name == exercise.name:
            return (node.name, *(a.arg for a in (*node.args.posonlyargs, *node.args.args)))
    return (exercise.name,)


def _renamed(text: str, old: tuple[str, ...], new: tuple[str, ...]) -> str:
    """The text with the old names replaced by the new ones at the same place, all at once."""
    pairs = dict(zip(old, new, strict=False))
    pattern = "|".join(map(re.escape, sorted(pairs, key=len, reverse=True)))
    return re.sub(rf"\b({pattern})\b", lambda found: pairs[found[0]], text)


def _parts(exercise: Exercise) -> Iterator[tuple[str, int, int, tuple[str, ...]]]:
    """Expressions of the solution, the largest first: source, bytes from and to, the local names they read."""
    tree = parse(exercise.text) or ast.Module([], [])
    first_line = exercise.prompt.count("\n") + 1
    everywhere = BUILTINS | {name for node in ast.walk(tree) for name in _imported(node)}
    lines = [0]
    for line in exercise.text.encode().split(b"\n"):
        lines.append(lines[-1] + len(line) + 1)
    found = []
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Return | ast.Assign | ast.AugAssign)
            and node.value
            and node.lineno >= first_line
        ):
            size = sum(1 for _ in ast.walk(node.value))
            if size >= LEAST_NODES:
                found.append((size, node.value))
    for _, value in sorted(found, key=lambda pair: (-pair[0], pair[1].lineno)):
        end_line, end_column = value.end_lineno or value.lineno, value.end_col_offset or 0
        source = " ".join((ast.get_source_segment(exercise.text, value) or "").split())
        start, end = lines[value.lineno - 1] + value.col_offset, lines[end_line - 1] + end_column
        yield source, start, end, _read(value, everywhere)


def _imported(node: ast.AST) -> list[str]:
    names = node.names if isinstance(node, ast.Import | ast.ImportFrom) else []
    return [alias.asname or alias.name.partition(".")[0] for alias in names]


def _read(value: ast.expr, everywhere: Set[str]) -> tuple[str, ...]:
    """The names that an expression reads from around it and that are not known everywhere, in order."""
    bound = {n.id for n in ast.walk(value) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    bound |= {n.arg for n in ast.walk(value) if isinstance(n, ast.arg)}
    read = [n for n in ast.walk(value) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)]
    read.sort(key=lambda n: (n.lineno, n.col_offset))
    return tuple(dict.fromkeys(n.id for n in read if n.id not in bound | everywhere))
