"""Tests in EvalPlus' form (arXiv 2305.01210): many inputs, each answer compared with the reference solution's own.

The reference runs where the answers are compared, so nothing computed on another machine is trusted.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Rule = Literal["same", "any order", "truth", "root", "sum of divisors", "unjudged"]
"""How an answer is compared: equal to the reference's; equal as a set; equally true where that is no number; a root of
the polynomial given; equal, or 0 for 1, whose proper divisors nobody agrees on; not at all, where the reference itself
is disputed."""
COMPARE = """
import copy as _copy
import math as _math

nan, inf = float("nan"), float("inf")


def _near(answer, expected, tolerance):
    if type(expected) is bool or not isinstance(answer, (int, float)):
        return answer == expected
    if answer == expected or (answer != answer and expected != expected):
        return True
    slack = tolerance or (1e-6 if type(expected) is float else 0)
    return slack > 0 and abs(answer - expected) <= slack + 1e-7 * abs(expected)


def _same(answer, expected, tolerance=0):
    if answer == expected:
        return True
    if isinstance(expected, (list, tuple)):
        return (
            type(answer) is type(expected)
            and len(answer) == len(expected)
            and all(_same(a, e, tolerance) for a, e in zip(answer, expected))
        )
    if isinstance(expected, dict):
        return (
            isinstance(answer, dict)
            and answer.keys() == expected.keys()
            and all(_same(answer[key], expected[key], tolerance) for key in expected)
        )
    if isinstance(expected, complex):
        return isinstance(answer, (int, float, complex)) and abs(answer - expected) <= (tolerance or 1e-6)
    return isinstance(expected, (int, float)) and _near(answer, expected, tolerance)


def _any_order(answer, expected):
    return set(answer) == set(expected)


def _truth(answer, expected, tolerance):
    if isinstance(expected, (bool, int, float)):
        return _same(answer, expected, tolerance)
    return bool(answer) == bool(expected)


def _root(answer, coefficients, tolerance):
    def value(x):
        return sum(c * x**power for power, c in enumerate(coefficients))

    if abs(value(answer)) <= tolerance:
        return True
    step = 1e-9 * max(1.0, abs(answer))
    return value(answer - step) * value(answer + step) <= 0


def _shown(inputs, expected, answer):
    arguments = ", ".join(map(repr, inputs))
    return f"{ENTRY_POINT}({arguments[:150]}) is {expected!r:.80}, not {answer!r:.80}"


def _reference():
    names = {"__name__": "reference"}
    exec(REFERENCE, names)
    return names[ENTRY_POINT]
"""
"""What every check begins with; names of its own start with an underscore, which no program's name replaces."""
CHECKS: dict[Rule, str] = {
    "same": "_same(answer, expected, TOLERANCE)",
    "any order": "_any_order(answer, expected)",
    "truth": "_truth(answer, expected, TOLERANCE)",
    "root": "_same(answer, expected) or _root(answer, inputs[0], TOLERANCE)",
    "sum of divisors": "_same(answer, expected) or (inputs == [1] and answer == 0)",
    "unjudged": "number >= JUDGED or _same(answer, expected)",
}
CHECK = """

def check(candidate):
    reference = _reference()
    for number, inputs in enumerate(INPUTS):
        expected = reference(*_copy.deepcopy(inputs))
        answer = candidate(*_copy.deepcopy(inputs))
        assert {compared}, _shown(inputs, expected, answer)
"""


def plus_tests(
    entry_point: str,
    reference: str,
    base: Sequence[Sequence[Any]],
    extra: Sequence[Sequence[Any]],
    tolerance: float,
    rule: Rule = "same",
) -> str:
    """Source of `check(candidate)` for a reference program and inputs; every input is a list of arguments."""
    values = {
        "ENTRY_POINT": entry_point,
        "REFERENCE": reference,
        "TOLERANCE": tolerance,
        "JUDGED": len(base),
        "INPUTS": [list(inputs) for inputs in (*base, *extra)],
    }
    head = "".join(f"{name} = {literal(value)}\n" for name, value in values.items())
    return COMPARE + head + CHECK.format(compared=CHECKS[rule])


def literal(value: Any) -> str:
    """A value as Python source that is the same in every process: repr() writes sets in the order of their hashes."""
    match value:
        case set() | frozenset():
            shown = "{" + ", ".join(sorted(map(literal, value))) + "}" if value else ""
            return shown if value and type(value) is set else f"{type(value).__name__}({shown})"
        case list():
            return f"[{', '.join(map(literal, value))}]"
        case tuple():
            return f"({', '.join(map(literal, value))}{',' * (len(value) == 1)})"
        case dict():
            return "{" + ", ".join(f"{literal(key)}: {literal(item)}" for key, item in value.items()) + "}"
    return repr(value)


@dataclass(frozen=True, slots=True)
class Asked:
    """What published tests ask: every input as a list of arguments, and how near an answer has to be."""

    inputs: list[list[Any]]
    tolerance: float


_INPUTS = re.compile(r"^[ \t]*inputs = (\[.*\])[ \t]*$", re.MULTILINE)
_TOLERANCE = re.compile(r"^[ \t]*assert.*(?:,|<=) *([\d.e+-]+)\)?[ \t]*$", re.MULTILINE)


def asked(test: str) -> Asked | None:
    """What tests in the Hub's layout ask; None where they are written otherwise.

    Their results came from another machine, where sets had another order, and a few of their checks never worked: only
    the inputs are taken, and the reference answers them here.
    """
    inputs, tolerance = _INPUTS.search(test), _TOLERANCE.findall(test)
    if not inputs or not tolerance:
        return None
    try:
        values = ast.literal_eval(_WithFloats().visit(ast.parse(inputs[1], mode="eval")))
        return Asked([list(value) for value in values], ast.literal_eval(tolerance[-1]))
    except (ValueError, TypeError, SyntaxError):
        return None


class _WithFloats(ast.NodeTransformer):
    """A literal in which the names inf and nan are the floats they stand for."""

    def visit_Name(self, node: ast.Name) -> ast.expr:
        return ast.copy_location(ast.Constant(float(node.id)), node) if node.id in ("inf", "nan") else node


def as_published(test: str, entry_point: str) -> str:
    """Tests of any layout as they are, the function known by its own name and as `candidate`; `check` is their own."""
    return f"candidate = {entry_point}\n\n\ndef check(candidate):\n    pass\n\n\n{test}\n"
