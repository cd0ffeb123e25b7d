"""Exercises that are already there: functions of a corpus, and their doctests as tests."""

from __future__ import annotations

import ast
import re
import textwrap

from hornbook.text.code import Example, Function, is_deep, parse

EXCEPTION = re.compile(r"^Traceback .*^(\w[\w.]*)", re.DOTALL | re.MULTILINE)


def normal_form(body: str) -> str:
    """The body of a function without its comments and layout: equal forms, equal solutions."""
    tree = parse(f"def f():\n{body}")
    return ast.unparse(tree) if tree and not is_deep(tree) else body


def body_nodes(function: Function) -> int:
    """How many syntax nodes the body has; a plain `return x` has 3."""
    tree = parse(f"def f():\n{function.body}")
    body = tree.body[0].body if tree and isinstance(tree.body[0], ast.FunctionDef) else []
    return sum(1 for statement in body for _ in ast.walk(statement))


def doctest_check(function: Function) -> str:
    """A function's doctests as `def check(candidate)`; empty where it has none that can be said with asserts."""
    lines: list[str] = []
    for example in function.examples:
        said = _said(example)
        if not said:
            return ""
        lines += said
    if not any(line.startswith(("assert", "try")) for line in lines):
        return ""
    return as_check(function.name, "\n".join(lines))


def as_check(name: str, body: str) -> str:
    """Statements about a function of that name as HumanEval's `def check(candidate)`."""
    return f"def check(candidate):\n    {name} = candidate\n" + textwrap.indent(body, "    ") + "\n"


def _said(example: Example) -> list[str]:
    """One example as statements; empty where asserts cannot say it."""
    source, want = example.source.strip(), example.want.strip()
    tree = parse(source)
    if tree is None or "..." in want.replace("Traceback (most recent call last):\n    ...", ""):
        return []
    if not want:
        return source.split("\n")
    if raised := EXCEPTION.match(want):
        kind = raised[1].rpartition(".")[2]
        return [
            "try:",
            textwrap.indent(source, "    "),
            f"except {kind}:",
            "    pass",
            "else:",
            "    assert False",
        ]
    if len(tree.body) != 1 or not isinstance(tree.body[0], ast.Expr):
        return []
    expression = ast.unparse(tree.body[0].value)
    return [
        f"assert {expression} == {want}" if _is_literal(want) else f"assert repr({expression}) == {want!r}"
    ]


def _is_literal(text: str) -> bool:
    try:
        ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False
    return True
