"""Parsed features of a document: what the statements of its syntax tree say, each visited once.

Expressions are not visited: a walk of every node takes 0.75 of ast.parse's own time, one of the statements 0.1.
"""

from __future__ import annotations

import ast
import math
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from hornbook.stages.filter.lexical import Text, share
from hornbook.text.code import parse

Function = ast.FunctionDef | ast.AsyncFunctionDef
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
_LITERALS = frozenset({ast.List, ast.Dict, ast.Tuple, ast.Set, ast.Constant})
STATEMENTS: dict[str, tuple[type[ast.stmt], ...]] = {
    "loop": (ast.For, ast.While, ast.AsyncFor),
    "branch": (ast.If,),
    "assignment": (ast.Assign, ast.AnnAssign),
    "augmented": (ast.AugAssign,),
    "return": (ast.Return,),
    "expression": (ast.Expr,),
    "exception": (ast.Try, ast.Raise),
    "assert": (ast.Assert,),
    "with": (ast.With, ast.AsyncWith),
    "import": (ast.Import, ast.ImportFrom),
    "pass": (ast.Pass,),
    "class": (ast.ClassDef,),
    "function": _FUNCTIONS,
}
_TOP = {ast.FunctionDef: "function", ast.AsyncFunctionDef: "function", ast.ClassDef: "class"} | {
    ast.Import: "import",
    ast.ImportFrom: "import",
}
PARSED: dict[str, str] = {
    "parses": "1 if the text parses; if not, every other parsed feature is 0",
    "statements": "logarithm of the number of statements",
    "statement_kinds": "different kinds of statements",
    "nesting_mean": "mean depth of a statement",
    "nesting_max": "deepest statement",
    **{f"{name}_statements": f"share of statements that are of the kind {name}" for name in STATEMENTS},
    "call_statements": "share of statements that are a call",
    "print_statements": "share of statements that print",
    "literal_line_share": "share of lines in assignments of literals, as tables have",
    "module_docstring_words": "words of the module's docstring",
    "documented_function_share": "share of functions with a docstring",
    "documented_public_share": "the same of functions without a leading underscore",
    "function_docstring_words": "mean number of words in a function's docstring",
    "doctested_function_share": "share of functions with an interactive example",
    "function_lines_mean": "mean length of a function in lines",
    "function_lines_max": "length of the longest function",
    "function_lines_median": "median length of a function",
    "stub_share": "share of functions that do nothing: pass, an ellipsis, or one raise",
    "one_statement_share": "share of functions of one statement",
    "arguments_mean": "mean number of arguments",
    "annotated_share": "share of arguments with a type",
    "decorated_share": "share of functions with a decorator",
    "functions_per_class": "functions per class",
    "used_function_share": "share of functions whose name occurs again in the text",
    "function_line_share": "share of lines in functions of the module",
    "class_line_share": "share of lines in classes of the module",
    "import_line_share": "share of lines in imports of the module",
    "script_line_share": "share of lines in other statements of the module",
    "foreign_names": "names imported from outside the standard library",
    "project_names": "names imported from the package itself",
    "foreign_use_share": "share of the code's words that are such names: how far it leans on other code",
    "foreign_base_share": "share of base classes that are such names",
}
"""Name of each parsed feature -> what it is."""


@dataclass
class _Seen:
    """What one walk over the statements of a module collects."""

    kinds: Counter[type[ast.stmt]] = field(default_factory=Counter)
    depths: Counter[int] = field(default_factory=Counter)
    functions: list[Function] = field(default_factory=list)
    classes: list[ast.ClassDef] = field(default_factory=list)
    foreign: set[str] = field(default_factory=set)
    project: set[str] = field(default_factory=set)
    calls: int = 0
    prints: int = 0
    literal_lines: int = 0

    @property
    def outside(self) -> set[str]:
        """Names that come from neither this text nor the standard library."""
        return self.foreign | self.project


def parsed_features(text: Text) -> dict[str, float]:
    """The features that PARSED lists, in its order, all finite; all 0 if the text does not parse."""
    tree = parse(text.text)
    if tree is None:
        return dict.fromkeys(PARSED, 0.0)
    seen, lines = _walk(tree), text.text.count("\n") + 1
    return {
        "parses": 1.0,
        **_statements(seen, lines),
        "module_docstring_words": float(len(_docstring(tree).split())),
        **_functions(seen, text.words),
        **_top_level(tree.body, lines),
        **_ties(seen, text.words),
    }


def _walk(tree: ast.Module) -> _Seen:
    seen = _Seen()
    stack: list[tuple[list[ast.stmt], int]] = [(tree.body, 0)]
    while stack:
        body, depth = stack.pop()
        seen.depths[depth] += len(body)
        seen.kinds.update([node.__class__ for node in body])
        for node in body:
            parts = node.__dict__
            if "body" in parts:
                stack += _inner(node, depth)
            if node.__class__ in _READ:
                _READ[node.__class__](node, seen)
    return seen


def _inner(node: ast.stmt, depth: int) -> list[tuple[list[ast.stmt], int]]:
    """The blocks of a compound statement; elif is as deep as its if."""
    parts = node.__dict__
    found = [(parts["body"], depth + 1)]
    if parts.get("orelse"):
        found.append((parts["orelse"], depth if node.__class__ is ast.If else depth + 1))
    found += [(handler.body, depth + 1) for handler in parts.get("handlers", ())]
    if parts.get("finalbody"):
        found.append((parts["finalbody"], depth + 1))
    return found


def _read_expression(node: ast.Expr, seen: _Seen) -> None:
    if isinstance(node.value, ast.Call):
        seen.calls += 1
        called = node.value.func
        seen.prints += isinstance(called, ast.Name) and called.id == "print"


def _read_assignment(node: ast.Assign, seen: _Seen) -> None:
    if node.value.__class__ in _LITERALS:
        seen.literal_lines += _lines(node)


def _read_import(node: ast.Import, seen: _Seen) -> None:
    for alias in node.names:
        if alias.name.partition(".")[0] not in sys.stdlib_module_names:
            seen.foreign.add((alias.asname or alias.name).partition(".")[0])


def _read_import_from(node: ast.ImportFrom, seen: _Seen) -> None:
    names = [alias.asname or alias.name for alias in node.names]
    if node.level:
        seen.project.update(names)
    elif (node.module or "").partition(".")[0] not in sys.stdlib_module_names:
        seen.foreign.update(names)


_READ: dict[type[ast.stmt], Callable[[Any, _Seen], None]] = {
    ast.Expr: _read_expression,
    ast.Assign: _read_assignment,
    ast.Import: _read_import,
    ast.ImportFrom: _read_import_from,
    ast.FunctionDef: lambda node, seen: seen.functions.append(node),
    ast.AsyncFunctionDef: lambda node, seen: seen.functions.append(node),
    ast.ClassDef: lambda node, seen: seen.classes.append(node),
}


def _lines(node: ast.stmt) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _docstring(node: ast.Module | Function) -> str:
    first = node.body[0] if node.body else None
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
        return first.value.value if isinstance(first.value.value, str) else ""
    return ""


def _statements(seen: _Seen, lines: int) -> dict[str, float]:
    count = seen.depths.total()
    return {
        "statements": math.log1p(count),
        "statement_kinds": float(len(seen.kinds)),
        "nesting_mean": share(sum(depth * number for depth, number in seen.depths.items()), count),
        "nesting_max": float(max(seen.depths)),
        **{
            f"{name}_statements": share(sum(seen.kinds[kind] for kind in kinds), count)
            for name, kinds in STATEMENTS.items()
        },
        "call_statements": share(seen.calls, count),
        "print_statements": share(seen.prints, count),
        "literal_line_share": seen.literal_lines / lines,
    }


def _functions(seen: _Seen, words: Counter[str]) -> dict[str, float]:
    functions, count = seen.functions, len(seen.functions)
    docstrings = [_docstring(node) for node in functions]
    said = [len(text.split()) for text in docstrings if text]
    public = [
        bool(text) for node, text in zip(functions, docstrings, strict=True) if not node.name.startswith("_")
    ]
    spans = sorted(map(_lines, functions))
    arguments = [argument for node in functions for argument in node.args.args]
    bodies = [node.body[bool(text) :] for node, text in zip(functions, docstrings, strict=True)]
    stubs = sum(_is_stub(body) for body in bodies)
    return {
        "documented_function_share": share(len(said), count),
        "documented_public_share": share(sum(public), len(public)),
        "function_docstring_words": share(sum(said), len(said)),
        "doctested_function_share": share(sum(">>>" in text for text in docstrings), count),
        "function_lines_mean": share(sum(spans), count),
        "function_lines_max": float(spans[-1] if spans else 0),
        "function_lines_median": float(spans[count // 2] if spans else 0),
        "stub_share": share(stubs, count),
        "one_statement_share": share(sum(len(body) <= 1 for body in bodies) - stubs, count),
        "arguments_mean": share(len(arguments), count),
        "annotated_share": share(sum(a.annotation is not None for a in arguments), len(arguments)),
        "decorated_share": share(sum(bool(node.decorator_list) for node in functions), count),
        "functions_per_class": count / max(len(seen.classes), 1),
        "used_function_share": share(sum(words[node.name] > 1 for node in functions), count),
    }


def _is_stub(body: Sequence[ast.stmt]) -> bool:
    """Whether what follows a function's docstring does nothing."""
    if len(body) != 1:
        return not body
    only = body[0]
    return isinstance(only, ast.Pass | ast.Raise) or (
        isinstance(only, ast.Expr) and isinstance(only.value, ast.Constant)
    )


def _top_level(body: Sequence[ast.stmt], lines: int) -> dict[str, float]:
    held: Counter[str] = Counter()
    for node in body:
        held[_TOP.get(node.__class__, "script")] += _lines(node)
    return {f"{name}_line_share": held[name] / lines for name in ("function", "class", "import", "script")}


def _ties(seen: _Seen, words: Counter[str]) -> dict[str, float]:
    outside = seen.outside
    bases = [base for node in seen.classes for base in node.bases]
    return {
        "foreign_names": float(len(outside)),
        "project_names": float(len(seen.project)),
        "foreign_use_share": share(sum(words[name] for name in outside), words.total()),
        "foreign_base_share": share(sum(_root(base) in outside for base in bases), len(bases)),
    }


def _root(base: ast.expr) -> str:
    """The first name of a dotted base class."""
    while isinstance(base, ast.Attribute):
        base = base.value
    return base.id if isinstance(base, ast.Name) else ""
