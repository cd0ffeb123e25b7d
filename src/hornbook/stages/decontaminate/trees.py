"""Functions compared by the shape of their syntax trees: what stays alike when every name is changed.

The tree of a function becomes the line of its nodes' types, parents first. Names, comments, docstrings, annotations
and the values of literals leave no mark. The match rate of two functions is 1 - edit distance / length of the longer.
"Textbooks Are All You Need", section 5, removes exercises by such a rate (together with a distance of embeddings).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hornbook.text.code import parse

Function = ast.FunctionDef | ast.AsyncFunctionDef
Tree = tuple[int, ...]
"""The types of a function's nodes, parents first, as numbers."""
LITERALS = {bool: "truth", str: "text", bytes: "bytes", int: "number", float: "number", complex: "number"}
_TYPES = sorted(n for n, kind in vars(ast).items() if isinstance(kind, type) and issubclass(kind, ast.AST))
CODES = {name: number for number, name in enumerate([*_TYPES, *sorted(set(LITERALS.values()))])}
UNSEEN_FIELDS = frozenset({"annotation", "returns", "type_comment", "type_params", "ctx", "decorator_list"})
FENCED = re.compile(r"^```[^\n]*\n(.*?)^```[ \t]*$", re.MULTILINE | re.DOTALL)


class Named(NamedTuple):
    """A function's name and tree."""

    name: str
    tree: Tree


class Match(NamedTuple):
    """The protected function that a tree is most like, and how much: 1 is the same shape."""

    name: str
    rate: float


def function_trees(text: str) -> Iterator[Named]:
    """Every function of a source text, methods and inner ones too; of prose, those in its fenced code."""
    whole = parse(text)
    found = [whole] if whole else [parse(code) for code in FENCED.findall(text)]
    for module in filter(None, found):
        for node in ast.walk(module):
            if isinstance(node, Function):
                yield Named(node.name, tree_of(node))


def tree_of(node: ast.AST) -> Tree:
    """The types of a node and of all below it, without what is written for people."""
    codes: list[int] = []
    waiting: list[ast.AST] = [node]
    while waiting:
        here = waiting.pop()
        if isinstance(here, ast.Expr) and _is_text(here.value):
            continue
        codes.append(_code(here))
        waiting.extend(reversed(list(_children(here))))
    return tuple(codes)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    for name in node._fields:
        value = getattr(node, name, None)
        if name not in UNSEEN_FIELDS:
            yield from (v for v in (value if isinstance(value, list) else [value]) if isinstance(v, ast.AST))


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def _code(node: ast.AST) -> int:
    if isinstance(node, ast.Constant):
        return CODES[LITERALS.get(type(node.value), "Constant")]
    return CODES[type(node).__name__]


def edit_distance(one: Sequence[int], other: Sequence[int]) -> int:
    """Levenshtein's distance, a column of its table a step, the cells of a column as the bits of one integer.

    Hyyrö, A bit-vector algorithm for computing Levenshtein and Damerau edit distances, 2003.
    """
    if not one:
        return len(other)
    places: dict[int, int] = {}
    for place, code in enumerate(one):
        places[code] = places.get(code, 0) | 1 << place
    whole, last = (1 << len(one)) - 1, 1 << (len(one) - 1)
    rises, falls, distance = whole, 0, len(one)
    for code in other:
        equal = places.get(code, 0) | falls
        diagonal = (((equal & rises) + rises) ^ rises) | equal
        up, down = falls | ~(diagonal | rises), diagonal & rises
        distance += bool(up & last) - bool(down & last)
        up, down = up << 1 | 1, down << 1
        rises, falls = (down | ~(diagonal | up)) & whole, up & diagonal & whole
    return distance


@dataclass(frozen=True)
class ProtectedTrees:
    """The functions of protected texts, ready to be compared with."""

    names: tuple[str, ...]
    trees: tuple[Tree, ...]
    bags: NDArray[np.int64]
    """How often each type is in each tree [trees, types]: what two trees share of these bounds their rate."""
    min_nodes: int

    @classmethod
    def of(cls, texts: Mapping[str, str], min_nodes: int) -> ProtectedTrees:
        """Protect the functions of `texts` (name -> source) that have at least `min_nodes` nodes."""
        found = [
            (name, function.tree)
            for name, text in texts.items()
            for function in function_trees(text)
            if len(function.tree) >= min_nodes
        ]
        trees = tuple(tree for _, tree in found)
        bags = np.array([_bag(tree) for tree in trees], np.int64).reshape(len(trees), len(CODES))
        return cls(tuple(name for name, _ in found), trees, bags, min_nodes)

    def nearest(self, tree: Tree, least: float) -> Match | None:
        """The protected function of the highest rate, if that is `least` or more."""
        if len(tree) < self.min_nodes * least or not self.trees:
            return None
        longer = np.maximum(self.bags.sum(axis=1), len(tree))
        bounds = np.minimum(self.bags, _bag(tree)).sum(axis=1) / longer
        best: Match | None = None
        for number in np.argsort(-bounds, kind="stable").tolist():
            if bounds[number] < (best.rate if best else least):
                break
            rate = 1 - edit_distance(tree, self.trees[number]) / int(longer[number])
            if rate >= least and (best is None or rate > best.rate):
                best = Match(self.names[number], rate)
        return best


def _bag(tree: Tree) -> NDArray[np.int64]:
    return np.bincount(tree, minlength=len(CODES))
