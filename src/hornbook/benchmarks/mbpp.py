"""MBPP (arXiv 2108.07732): 974 problems as function completion, from the Hub or a file in its own or ReCode's form."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from pathlib import Path
from typing import Any

from hornbook.benchmarks.evalplus import Rule, as_published, asked, plus_tests
from hornbook.benchmarks.files import Row, hub_rows, read_rows
from hornbook.benchmarks.problem import Problem
from hornbook.benchmarks.to_completion import called_first, examples_of, spaced, split, tree
from hornbook.core.errors import InputError

HUB = ("google-research-datasets/mbpp", "full/*.parquet")
RECODE_FIELDS = ("prompt", "canonical_solution", "entry_point", "test")
REPAIRS: dict[str, tuple[str, str, str]] = {
    "MBPP/64": ("prompt", r"(?m)^(?!def|$)", " "),
    "MBPP/160": ("tests", "No candidate", "No solution"),
    "MBPP/607": ("solution", r"(?m)^ +(?:pattern = 'fox'|text = 'The quick.*)\n", ""),
    "MBPP/631": ("solution", r"(?m)^ +text = 'Python Exercises'\n", ""),
    "MBPP/966": ("solution", r"(?m)^   ", " "),
}
"""Problems whose own solution fails as published: the part, what is wrong in it, and what stands there instead."""
LEFT_OUT = {
    "MBPP/367": "its tests use a tree that ReCode's file lost",
    "MBPP/596": "its answer is a size in memory that differs between versions of Python",
    "MBPP/601": "its tests use a class that ReCode's file hid in the function",
    "MBPP/642": "its answer is an order of sets that differs between versions of Python",
    "MBPP/927": "its tests use a tree that ReCode's file lost",
}
"""Problems that no program can be proved right on, as ReCode published them, and why."""


def load_mbpp(path: str) -> list[Problem]:
    """The problems by their number, signature and docstring first, tabs as four spaces; InputError for another form.

    What cannot be proved is in LEFT_OUT.
    """
    rows = read_rows(Path(path), ("task_id",)) if path else hub_rows(*HUB, ("task_id",))
    rows.sort(key=lambda row: int(str(row["task_id"]).split("/")[-1]))
    return [_repaired(problem) for problem in map(_problem, rows) if problem.id not in LEFT_OUT]


def _repaired(problem: Problem) -> Problem:
    if problem.id not in REPAIRS:
        return problem
    part, wrong, right = REPAIRS[problem.id]
    changed: dict[str, Any] = {part: re.sub(wrong, right, getattr(problem, part))}
    return replace(problem, **changed)


def _problem(row: Row) -> Problem:
    if all(name in row for name in RECODE_FIELDS):
        return Problem(
            id=row["task_id"],
            prompt=spaced(row["prompt"]),
            solution=spaced(row["canonical_solution"]),
            tests=row["test"],
            entry_point=row["entry_point"],
            benchmark="mbpp",
            published_prompt=row["prompt"],
        )
    try:
        return _original(row)
    except (KeyError, ValueError) as error:
        raise InputError(
            f"MBPP problem {row['task_id']} is neither in MBPP's form nor in ReCode's: {error}"
        ) from error


def _original(row: Row) -> Problem:
    """A row as MBPP was published: text, code and a list of asserts."""
    code, asserts = spaced(row["code"]), [line.strip() for line in row["test_list"]]
    name = called_first(code, asserts[0])
    prompt, solution = split(
        code, name, row.get("text") or row["prompt"], examples_of("\n".join(asserts), name)
    )
    before = [row.get("test_setup_code") or "", *(row.get("test_imports") or [])]
    body = re.sub(rf"(?<![\w.]){name}(?=\s*\()", "candidate", "\n".join(f"    {line}" for line in asserts))
    return Problem(
        id=f"MBPP/{row['task_id']}",
        prompt=prompt,
        solution=solution,
        tests="\n".join([*filter(None, before), "def check(candidate):", body, ""]),
        entry_point=name,
        benchmark="mbpp",
    )


PLUS_HUB = ("evalplus/mbppplus", "data/test-*.parquet")
DISPUTED: dict[str, Rule] = {"Mbpp/164": "unjudged", "Mbpp/295": "sum of divisors"}
"""Problems whose reference is right by MBPP's own asserts only."""
ANY_ORDER = {"Mbpp/2", "Mbpp/140", "Mbpp/579", "Mbpp/769"}
"""Problems whose answer is a sequence made of a set, though their asserts compare sequences."""
LONGEST = {"Mbpp/255": 20}
"""Largest second argument; above it answers have up to 1.7 million tuples, which take more than a gigabyte."""


def load_mbpp_plus(path: str) -> list[Problem]:
    """The problems as function completion; a file may be EvalPlus' own JSONL or as the Hub has it (whole tests)."""
    rows = (
        read_rows(Path(path), ("task_id", "prompt"))
        if path
        else hub_rows(*PLUS_HUB, ("task_id", "prompt", "code"))
    )
    try:
        return [_plus_problem(row) for row in rows]
    except (KeyError, ValueError) as error:
        raise InputError(f"{path or PLUS_HUB[0]} is not MBPP+: {type(error).__name__} {error}") from error


def _plus_problem(row: Row) -> Problem:
    code = spaced(row["canonical_solution"] if "canonical_solution" in row else row["code"])
    asserts = row["assertion"] if "assertion" in row else "\n".join(row["test_list"])
    name = row.get("entry_point") or called_first(code, asserts)
    prompt, solution = split(code, name, _text(row["prompt"]), examples_of(asserts, name))
    return Problem(
        id=_id(row),
        prompt=prompt,
        solution=solution,
        tests=_tests(row, name, code, asserts),
        entry_point=name,
        benchmark="mbpp_plus",
        published_prompt=row["prompt"] + "\n" if "canonical_solution" in row else "",
    )


def _text(prompt: str) -> str:
    """What the docstring says, without quotes and asserts around it."""
    text = prompt.strip().strip("\"'").strip()
    return "\n".join(line for line in text.splitlines() if not line.startswith("assert "))


def _tests(row: Row, name: str, code: str, asserts: str) -> str:
    """A check of every input against the own solution; published tests as they are where they show no inputs."""
    if "plus_input" in row:
        base, extra = typed(row["base_input"], row["plus_input"] or [], asserts, name)
        tolerance = row["atol"]
    elif found := asked(row["test"]):
        first = sum(isinstance(node, ast.Assert) for node in tree(asserts).body)
        base, extra, tolerance = found.inputs[:first], found.inputs[first:], found.tolerance
    else:
        return as_published(row["test"], name)
    longest = LONGEST.get(_id(row), inf)
    kept = [inputs for inputs in extra if longest == inf or inputs[1] <= longest]
    return plus_tests(name, code, base, kept, tolerance, _rule(_id(row), name, asserts))


def _id(row: Row) -> str:
    """Mbpp/2, also where the row has the number alone."""
    return f"Mbpp/{str(row['task_id']).removeprefix('Mbpp/')}"


def _rule(id_: str, name: str, asserts: str) -> Rule:
    """How MBPP's own asserts compare: as sets, as truths (`assert f(x)`), or for equality."""
    if id_ in DISPUTED:
        return DISPUTED[id_]
    if id_ in ANY_ORDER or re.search(rf"\bset\(\s*{name}\(", asserts):
        return "any order"
    tests = [node.test for node in ast.walk(tree(asserts)) if isinstance(node, ast.Assert)]
    return "truth" if any(isinstance(test, ast.Call | ast.UnaryOp) for test in tests) else "same"


SEQUENCES: dict[str, Callable[[Any], Any]] = {
    "list": list,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
}


@dataclass
class Shape:
    """What stands at one depth of one argument: its kind when empty, when not, and the shape of what is inside."""

    empty: str = ""
    full: str = ""
    inner: Shape | None = None
    fields: list[Shape] = field(default_factory=list)
    """The shapes of the elements by position."""
    scalars: set[str] = field(default_factory=set)
    """The kinds of the plain values that stood here."""
    numbers_as_text: bool = False
    """Whether a string here is a number that JSON cannot write."""

    def learn(self, plain: Any, real: Any) -> None:
        """Take one example in: a value as JSON has it beside the value that the assert has."""
        kind = type(real).__name__
        if not isinstance(plain, list | dict):
            self.scalars.add(kind)
        elif isinstance(plain, list):
            if plain:
                self.full = self.full or kind
            else:
                self.empty = self.empty or kind
        if isinstance(plain, list) and isinstance(real, list | tuple):
            self._learn_inner(list(zip(plain, real, strict=True)))
        elif isinstance(plain, dict) and isinstance(real, dict):
            self._learn_inner(list(zip(plain.values(), real.values(), strict=True)), by_position=False)

    def _learn_inner(self, pairs: list[tuple[Any, Any]], by_position: bool = True) -> None:
        self.inner = self.inner or Shape()
        while by_position and len(self.fields) < len(pairs):
            self.fields.append(Shape())
        for at, (plain, real) in enumerate(pairs):
            self.inner.learn(plain, real)
            if by_position:
                self.fields[at].learn(plain, real)

    def apply(self, plain: Any, nested: bool = False) -> Any:
        """A value of JSON as what it stands for; `nested` where this depth repeats the one above.

        Below the depth that was seen, what nested goes on nesting and anything else stays as JSON has it.
        """
        if isinstance(plain, str):
            return self._from_text(plain)
        if isinstance(plain, dict):
            inner = self.inner or Shape()
            return {key: inner.apply(value) for key, value in plain.items()}
        if not isinstance(plain, list):
            return plain
        kind = (self.full or self.empty) if plain else (self.empty or self.full)
        if kind == "dict" and not plain:
            return {}
        return SEQUENCES.get(kind, list)([self._element(at, value, nested) for at, value in enumerate(plain)])

    def _element(self, at: int, value: Any, nested: bool) -> Any:
        inner = self.fields[at] if at < len(self.fields) and self.fields[at].known() else self.inner
        if inner is None or not inner.known():
            inner = self if nested and isinstance(value, list) else Shape()
        return inner.apply(value, nested=bool(inner.full) and inner.full == self.full)

    def _from_text(self, text: str) -> Any:
        if not self.numbers_as_text:
            return text
        return complex(text) if "complex" in self.scalars or "j" in text else float(text)

    def known(self) -> bool:
        return bool(self.empty or self.full)


def typed(
    base: Sequence[Sequence[Any]], extra: Sequence[Sequence[Any]], asserts: str, name: str
) -> tuple[list[list[Any]], list[list[Any]]]:
    """Both lists of inputs with the types that the asserts' calls of `name` show, argument by argument."""
    shapes: list[Shape] = []
    for plain, real in zip(base, calls(asserts, name), strict=False):
        if real is None or len(real) != len(plain):
            continue
        while len(shapes) < len(plain):
            shapes.append(Shape())
        for shape, one, other in zip(shapes, plain, real, strict=False):
            if _fits(one, other):
                shape.learn(one, other)

    for at, shape in enumerate(shapes):
        texts = [inputs[at] for inputs in (*base, *extra) if isinstance(inputs[at], str)]
        shape.numbers_as_text = "str" not in shape.scalars and all(map(_is_number, texts))

    def convert(inputs: Sequence[Any]) -> list[Any]:
        return [shapes[at].apply(value) if at < len(shapes) else value for at, value in enumerate(inputs)]

    return [convert(inputs) for inputs in base], [convert(inputs) for inputs in extra]


def calls(asserts: str, name: str) -> Iterator[list[Any] | None]:
    """The arguments of each call of `name`, in order; None where they are not literals."""
    for node in ast.walk(tree(asserts)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
            try:
                yield [ast.literal_eval(argument) for argument in node.args]
            except ValueError:
                yield None


def _is_number(text: str) -> bool:
    try:
        complex(text)
    except ValueError:
        return False
    return True


def _fits(plain: Any, real: Any) -> bool:
    """Whether a value of JSON and one of an assert are the same but for their types."""
    if isinstance(plain, list) and isinstance(real, list | tuple):
        return len(plain) == len(real) and all(map(_fits, plain, real))
    if isinstance(plain, list):
        return isinstance(real, set | frozenset | dict) and len(plain) == len(real)
    if isinstance(plain, dict) and isinstance(real, dict):
        return len(plain) == len(real) and all(map(_fits, plain.values(), real.values()))
    return plain == real or (isinstance(plain, str) and isinstance(real, int | float | complex))
