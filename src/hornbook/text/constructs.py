"""What a piece of Python is about, told by what it is made of: loops, recursion, dictionaries, ..."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping

from hornbook.text.code import parse

TEXT_METHODS = frozenset(name for name in dir(str) if not name.startswith("_")) - {"count", "index"}
"""Methods of strings; those that lists have too say nothing."""
ARITHMETIC = (ast.Sub, ast.Mult, ast.Div, ast.FloorDiv, ast.Pow, ast.MatMult)
CALLED = {"list": "lists", "dict": "dictionaries", "set": "sets", "frozenset": "sets", "tuple": "tuples"}
CALLED |= {"str": "strings", "ord": "strings", "chr": "strings", "sorted": "sorting", "map": "functional"}
CALLED |= {"int": "numbers", "float": "numbers", "sum": "numbers", "abs": "numbers", "filter": "functional"}
NODES: Mapping[type[ast.AST], str] = {
    ast.For: "loops",
    ast.While: "loops",
    ast.If: "conditions",
    ast.IfExp: "conditions",
    ast.ListComp: "comprehensions",
    ast.GeneratorExp: "comprehensions",
    ast.DictComp: "dictionaries",
    ast.SetComp: "sets",
    ast.List: "lists",
    ast.Dict: "dictionaries",
    ast.Set: "sets",
    ast.JoinedStr: "strings",
    ast.Slice: "slicing",
    ast.Lambda: "functional",
    ast.Try: "exceptions",
    ast.Raise: "exceptions",
    ast.With: "context managers",
    ast.Yield: "generators",
    ast.YieldFrom: "generators",
    ast.ClassDef: "classes",
}


def constructs(source: str) -> tuple[str, ...]:
    """The constructs that a program uses, sorted; empty where it does not parse."""
    tree = parse(source)
    found: set[str] = set()
    for node in ast.walk(tree) if tree else ():
        kind = NODES.get(type(node))
        found |= {kind} if kind else set()
        found |= {name for name, is_one in OTHERS.items() if is_one(node)}
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in CALLED:
            found.add(CALLED[node.func.id])
    return tuple(sorted(found))


def _is_recursive(node: ast.AST) -> bool:
    return isinstance(node, ast.FunctionDef) and any(
        isinstance(inner, ast.Call) and isinstance(inner.func, ast.Name) and inner.func.id == node.name
        for inner in ast.walk(node)
    )


def _is_text_method(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in TEXT_METHODS
    )


def _is_sorting(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "sort"


def _is_arithmetic(node: ast.AST) -> bool:
    return isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ARITHMETIC)


def _is_tuple(node: ast.AST) -> bool:
    return isinstance(node, ast.Tuple) and isinstance(node.ctx, ast.Load)


OTHERS: Mapping[str, Callable[[ast.AST], bool]] = {
    "recursion": _is_recursive,
    "strings": _is_text_method,
    "sorting": _is_sorting,
    "numbers": _is_arithmetic,
    "tuples": _is_tuple,
}

ALL_CONSTRUCTS = frozenset({*NODES.values(), *CALLED.values(), *OTHERS})
