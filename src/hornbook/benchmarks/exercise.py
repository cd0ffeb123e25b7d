"""One exercise, whatever its source: what is to be completed, what completes it, and what proves it."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from hornbook.core.records import Document
from hornbook.sandbox import Program
from hornbook.text.code import parse
from hornbook.text.mutants import Mutant, mutants

Origin = Literal["grammar", "corpus", "teacher"]
Verdict = Literal["passed", "unproved", "failed"]
LEVELS = (("easy", 2), ("medium", 5))
"""Level of difficulty -> the highest cyclomatic complexity in it; what lies above is hard."""
HARD = "hard"
_BRANCHES = (ast.If, ast.IfExp, ast.For, ast.AsyncFor, ast.While, ast.ExceptHandler, ast.match_case)
_OWN = frozenset({"docstring", "signature", "solution", "complexity", "difficulty", "prompt_chars"})
"""What meta repeats or measures for its readers: made again from the text whenever it changes."""


@dataclass(frozen=True, slots=True)
class Exercise:
    """A function to complete: `prompt + solution` is a module, `tests` is HumanEval's `def check(candidate)`.

    `verdict` is "passed" where the solution passes its tests and they refute a body that does nothing, "failed" where
    it was made to fail them (dials), else "unproved".
    """

    name: str
    prompt: str
    """Imports, signature and docstring; ends in a newline."""
    solution: str
    tests: str
    source: Origin
    verdict: Verdict
    concepts: tuple[str, ...] = ()
    more: Mapping[str, Any] = field(default_factory=dict)
    """What else is known about it: further keys of a document's meta."""

    @classmethod
    def of(cls, document: Document) -> Exercise:
        """The exercise that a document holds."""
        meta = dict(document.meta)
        cut = meta["prompt_chars"]
        known = {key: meta.pop(key) for key in ("name", "tests", "source", "verdict")}
        concepts = tuple(meta.pop("concepts"))
        more = {key: value for key, value in meta.items() if key not in _OWN and key != "entry_point"}
        return cls(
            prompt=document.text[:cut], solution=document.text[cut:], concepts=concepts, more=more, **known
        )

    def document(self, place: str) -> Document:
        """A document of kind exercise; `place` says where it came from."""
        tree = parse(self.text)
        meta = {
            **self.more,
            "name": self.name,
            "entry_point": self.name,
            "signature": _signature(tree, self.name),
            "docstring": _docstring(tree, self.name),
            "solution": self.solution,
            "tests": self.tests,
            "concepts": list(self.concepts),
            "source": self.source,
            "verdict": self.verdict,
            "complexity": (found := complexity(tree)),
            "difficulty": difficulty(found),
            "prompt_chars": len(self.prompt),
        }
        return Document(self.text, place, "exercise", meta)

    @property
    def text(self) -> str:
        return self.prompt + self.solution

    @property
    def program(self) -> Program:
        """The solution with its tests; without tests the question is only whether it runs."""
        return Program(self.text, self.tests, self.name if self.tests else "")

    @property
    def stub(self) -> Program:
        """A body that does nothing, with the tests."""
        first = next((line for line in self.solution.split("\n") if line.strip()), "    ")
        indent = first[: len(first) - len(first.lstrip())] or "    "
        return Program(f"{self.prompt}{indent}return None\n", self.tests, self.name)

    def wrong(self, mutant: Mutant) -> Program:
        """A version of it with one mistake in the solution, with the tests."""
        return Program(mutant.source, self.tests, self.name)

    def mutants(self, seed: int, limit: int) -> list[Mutant]:
        """At most `limit` versions with one mistake in the solution; not every one need behave differently."""
        return mutants(self.text, seed, limit, len(self.prompt))


def complexity(tree: ast.Module | None) -> int:
    """McCabe's cyclomatic complexity of all that a program holds: 1 and one for each way to branch (McCabe, 1976)."""
    total = 1
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, _BRANCHES):
            total += 1
        elif isinstance(node, ast.BoolOp):
            total += len(node.values) - 1
        elif isinstance(node, ast.comprehension):
            total += 1 + len(node.ifs)
    return total


def difficulty(branches: int) -> str:
    """The level of difficulty that a cyclomatic complexity stands for: easy, medium or hard."""
    return next((name for name, highest in LEVELS if branches <= highest), HARD)


def _function(tree: ast.Module | None, name: str) -> ast.FunctionDef | None:
    nodes = tree.body if tree else []
    return next((n for n in nodes if isinstance(n, ast.FunctionDef) and n.name == name), None)


def _signature(tree: ast.Module | None, name: str) -> str:
    node = _function(tree, name)
    if node is None:
        return ""
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"def {name}({ast.unparse(node.args)}){returns}:"


def _docstring(tree: ast.Module | None, name: str) -> str:
    node = _function(tree, name)
    return (ast.get_docstring(node) or "") if node else ""
