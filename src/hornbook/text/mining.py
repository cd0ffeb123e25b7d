"""Exercises that are already there: functions of a corpus with their doctests, and functions in a teacher's answer."""

from __future__ import annotations

import ast
import re
import textwrap
from dataclasses import dataclass

from hornbook.text.code import Example, Function, parse

FENCE = re.compile(r"```[^\n]*\n(.*?)(?:```|\Z)", re.DOTALL)
EXCEPTION = re.compile(r"^Traceback .*^(\w[\w.]*)", re.DOTALL | re.MULTILINE)


def normal_form(function: Function) -> str:
    """The body without comments, layout and string contents of its own docstring: equal forms, equal solutions."""
    tree = parse(f"def f():\n{function.body}")
    return ast.unparse(tree) if tree else function.body


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
    return _check(function.name, "\n".join(lines))


def _check(name: str, body: str) -> str:
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


@dataclass(frozen=True, slots=True)
class Written:
    """A function out of an answer: what to complete, what completes it, and its asserts as `def check`."""

    prompt: str
    solution: str
    tests: str


@dataclass(frozen=True, slots=True)
class Unusable:
    """Why an answer is no exercise: no_code, not_python, no_function, no_docstring, no_body or no_tests."""

    reason: str
    detail: str = ""


def read_answer(text: str, name: str) -> Written | Unusable:
    """The function of that name in an answer, with the asserts that stand beside it."""
    blocks = FENCE.findall(text) or ([text] if "def " in text else [])
    if not blocks:
        return Unusable("no_code")
    source = "\n".join(blocks)
    tree = parse(source) or parse(source := blocks[0])
    if tree is None:
        return Unusable("not_python", _first_error(source))
    found = [node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name]
    if not found:
        names = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        return Unusable("no_function", f"defines {', '.join(names) or 'nothing'}, not {name}")
    return _written(tree, found[0])


def _written(tree: ast.Module, node: ast.FunctionDef) -> Written | Unusable:
    asserts = [ast.unparse(other) for other in tree.body if isinstance(other, ast.Assert)]
    calls = [line for line in asserts if f"{node.name}(" in line]
    if not ast.get_docstring(node):
        return Unusable("no_docstring")
    if len(node.body) < 2:
        return Unusable("no_body")
    if not calls:
        return Unusable("no_tests")
    imports = [ast.unparse(other) for other in tree.body if isinstance(other, ast.Import | ast.ImportFrom)]
    whole = ast.unparse(node).split("\n")
    only = ast.unparse(ast.FunctionDef(**{**vars(node), "body": node.body[:1]})).count("\n") + 1
    head = "\n".join(imports) + "\n\n\n" * bool(imports) + "\n".join(whole[:only]) + "\n"
    return Written(head, "\n".join(whole[only:]) + "\n", _check(node.name, "\n".join(calls)))


def _first_error(source: str) -> str:
    try:
        ast.parse(source)
    except (SyntaxError, ValueError) as error:
        return str(error)
    return ""
