"""A whole program as HumanEval's form: the function's signature with a docstring to complete, and its body."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from typing import Any

from hornbook.text.code import parse

LEADING_TABS = re.compile(r"^\t+", re.MULTILINE)


def tree(source: str) -> ast.Module:
    """The syntax tree of a program; ValueError where it is none."""
    parsed = parse(source)
    if parsed is None:
        raise ValueError(f"this is not Python: {source[:60]!r}")
    return parsed


def called_first(code: str, asserts: str) -> str:
    """The function of the code that the asserts call first; ValueError where they call none."""
    defined = {node.name for node in tree(code).body if isinstance(node, ast.FunctionDef)}
    for node in ast.walk(tree(asserts)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in defined:
            return node.func.id
    raise ValueError("its asserts call none of its functions")


def spaced(source: str) -> str:
    """Source with each leading tab written as four spaces."""
    return LEADING_TABS.sub(lambda tabs: "    " * len(tabs[0]), source.replace("\r\n", "\n"))


def split(
    source: str, entry_point: str, text: str, examples: Sequence[tuple[str, str]] = ()
) -> tuple[str, str]:
    """(prompt, solution): all up to the entry function's signature with a docstring, and the rest from its body on.

    `examples` are (call, value) pairs for the docstring. ValueError if the source defines no such function.
    """
    function = _function(source, entry_point)
    lines = [
        f"{line}\n" for line in source.removesuffix("\n").split("\n")
    ]  # splitlines() sees more than the parser
    body = function.body[1:] if ast.get_docstring(function) and len(function.body) > 1 else function.body
    first = body[0]
    if first.lineno == function.lineno:  # def f(x): return x
        line = lines[first.lineno - 1].encode()
        head, indent = [*lines[: first.lineno - 1], f"{line[: first.col_offset].decode().rstrip()}\n"], "    "
        rest = [indent + line[first.col_offset :].decode(), *lines[first.lineno :]]
    else:
        begin = _signature_end(function.body[0], lines)
        head, indent = lines[:begin], " " * first.col_offset
        begin = function.body[0].end_lineno or begin if body is not function.body else begin
        rest = lines[begin:]
    return "".join(head).lstrip("\n") + _docstring(text, examples, indent), "".join(rest)


def _signature_end(first: Any, lines: Sequence[str]) -> int:
    """How many lines the program has up to the colon before a function's first statement; comments may follow it."""
    end: int = min([first.lineno, *(one.lineno for one in getattr(first, "decorator_list", ()))]) - 1
    while not lines[end - 1].split("#")[0].strip():
        end -= 1
    return end


def _function(source: str, name: str) -> ast.FunctionDef:
    """The last definition of a function at the top of a program."""
    found = [node for node in tree(source).body if isinstance(node, ast.FunctionDef) and node.name == name]
    if not found:
        raise ValueError(f"no function {name}")
    return found[-1]


def _docstring(text: str, examples: Sequence[tuple[str, str]], indent: str) -> str:
    lines = ['"""' + text.strip().replace("\\", "\\\\").replace('"""', "'''")]
    for call, value in examples:
        lines += [f">>> {call}", value]
    return "".join(f"{indent}{line}\n" for line in [*lines, '"""'])


def examples_of(assertion: str, entry_point: str) -> list[tuple[str, str]]:
    """(call, value) of each `assert entry_point(...) == value`; other asserts show nothing that a docstring can."""
    found = []
    for node in ast.walk(tree(assertion)):
        if not isinstance(node, ast.Assert):
            continue
        test = node.test
        if (
            isinstance(test, ast.Compare)
            and isinstance(test.ops[0], ast.Eq)
            and _calls(test.left, entry_point)
        ):
            found.append((ast.unparse(test.left), ast.unparse(test.comparators[0])))
    return found


def _calls(node: ast.AST, name: str) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
