"""Small wrong versions of a program: one edit each, everything else kept to the letter."""

from __future__ import annotations

import ast
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise

from hornbook.text.code import is_deep, parse

OPERATORS: dict[type[ast.AST], tuple[str, tuple[str, ...]]] = {
    ast.Add: ("+", ("-",)),
    ast.Sub: ("-", ("+",)),
    ast.Mult: ("*", ("+",)),
    ast.Div: ("/", ("*",)),
    ast.FloorDiv: ("//", ("%", "*")),
    ast.Mod: ("%", ("//",)),
    ast.Pow: ("**", ("*",)),
    ast.BitAnd: ("&", ("|",)),
    ast.BitOr: ("|", ("&",)),
    ast.BitXor: ("^", ("&",)),
    ast.LShift: ("<<", (">>",)),
    ast.RShift: (">>", ("<<",)),
    ast.Lt: ("<", ("<=", ">")),
    ast.LtE: ("<=", ("<", ">=")),
    ast.Gt: (">", (">=", "<")),
    ast.GtE: (">=", (">", "<=")),
    ast.Eq: ("==", ("!=",)),
    ast.NotEq: ("!=", ("==",)),
    ast.In: ("in", ("not in",)),
    ast.NotIn: ("not in", ("in",)),
    ast.Is: ("is", ("is not",)),
    ast.IsNot: ("is not", ("is",)),
    ast.And: ("and", ("or",)),
    ast.Or: ("or", ("and",)),
}
"""Operator -> how it is written, and what takes its place."""

NAMES = {
    one: other
    for pair in (
        ("min", "max"),
        ("any", "all"),
        ("upper", "lower"),
        ("isupper", "islower"),
        ("isdigit", "isalpha"),
        ("startswith", "endswith"),
        ("removeprefix", "removesuffix"),
        ("lstrip", "rstrip"),
        ("ljust", "rjust"),
        ("find", "rfind"),
        ("index", "count"),
        ("append", "extend"),
        ("popleft", "pop"),
        ("union", "intersection"),
        ("keys", "values"),
        ("ceil", "floor"),
    )
    for one, other in (pair, pair[::-1])
    if one != "pop"
}
"""A function or method -> the one it is easily confused with."""

_COMMENT = re.compile(rb"#[^\n]*")
_REPEATED_NEGATION = (ast.Eq, ast.NotEq, ast.In, ast.NotIn, ast.Is, ast.IsNot)
"""Negating one of these is what the operator's own swap does."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """A program that differs from its source by one mistake: its text, the kind of mistake, and the change in words."""

    source: str
    kind: str
    change: str


@dataclass(frozen=True, slots=True)
class _Edit:
    """Bytes `start` to `end` of the source give way to `new`."""

    start: int
    end: int
    new: bytes


@dataclass(frozen=True, slots=True)
class _Text:
    """The source in bytes (what `ast` counts columns in) with the place where each line starts."""

    data: bytes
    lines: tuple[int, ...]

    @classmethod
    def of(cls, source: str) -> _Text:
        data = source.encode()
        return cls(data, (0, *(found.end() for found in re.finditer(rb"\n", data))))

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        last, column = node.end_lineno or node.lineno, node.end_col_offset or 0
        return self.lines[node.lineno - 1] + node.col_offset, self.lines[last - 1] + column

    def between(self, left: ast.expr, right: ast.expr, symbol: str, new: str) -> _Edit | None:
        """The edit of the operator `symbol` between two expressions; brackets and comments may stand there too."""
        start, end = self.span(left)[1], self.span(right)[0]
        gap = _COMMENT.sub(lambda found: b" " * len(found[0]), self.data[start:end])
        found = re.search(re.escape(symbol.encode()).replace(rb"\ ", rb"\s+"), gap)
        return _Edit(start + found.start(), start + found.end(), new.encode()) if found else None

    def replace(self, node: ast.expr | ast.stmt, new: str) -> _Edit:
        return _Edit(*self.span(node), new.encode())

    def source(self, node: ast.expr | ast.stmt) -> str:
        start, end = self.span(node)
        return self.data[start:end].decode()

    def apply(self, edits: tuple[_Edit, ...]) -> str:
        data = self.data
        for edit in sorted(edits, key=lambda edit: -edit.start):
            data = data[: edit.start] + edit.new + data[edit.end :]
        return data.decode()

    def words(self, edits: tuple[_Edit, ...]) -> str:
        first = edits[0]
        line = self.data.count(b"\n", 0, first.start) + 1
        old, new = self.data[first.start : first.end].decode(), first.new.decode()
        also = " and the other way round" if len(edits) > 1 and edits[1].new.decode() == old else ""
        return f"line {line}: `{_one_line(old)}` becomes `{_one_line(new)}`" + also


_Edits = Iterator[tuple[_Edit | None, ...]]


def mutants(source: str, seed: int, limit: int, start: int = 0) -> list[Mutant]:
    """At most `limit` different mutants in the order of their place, every kind of mistake drawn in turn.

    Only bodies at or after character `start` are changed (no signature, docstring or f-string), so with
    `start=len(prompt)` every mutant still begins with the prompt. The draw depends on source, seed and start alone,
    and a smaller limit draws a subset. Not every mutant need behave differently. Empty where the source does not parse,
    or nests hundreds of levels deep.
    """
    by_kind: dict[str, list[tuple[int, Mutant]]] = {}
    for place, mutant in enumerate(_all_mutants(source, len(source[:start].encode()))):
        by_kind.setdefault(mutant.kind, []).append((place, mutant))
    chance = random.Random(f"{seed}:{start}:{source}")
    for found in by_kind.values():
        chance.shuffle(found)
    kinds = sorted(by_kind)
    chance.shuffle(kinds)
    drawn: list[tuple[int, Mutant]] = []
    while len(drawn) < limit and any(by_kind.values()):
        drawn += [by_kind[kind].pop() for kind in kinds if by_kind[kind]]
    return [mutant for _, mutant in sorted(drawn[: max(0, limit)], key=lambda pair: pair[0])]


def _all_mutants(source: str, start: int) -> Iterator[Mutant]:
    """Every mutant that parses and is another program, once each, in the order of the tree."""
    tree, text = parse(source), _Text.of(source)
    if tree is None or is_deep(tree):
        return
    seen = {ast.dump(tree)}
    for node in _nodes(tree):
        for kind, rule in RULES.items():
            for tried in rule(node, text):
                edits = tuple(edit for edit in tried if edit)
                if not edits or min(edit.start for edit in edits) < start:
                    continue
                changed = text.apply(edits)
                dump = _dump(changed)
                if dump and dump not in seen:
                    seen.add(dump)
                    yield Mutant(changed, kind, text.words(edits))


def _dump(source: str) -> str:
    """The program without its layout; empty where it would not compile."""
    tree = parse(source)
    if tree is None:
        return ""
    try:
        compile(tree, "mutant", "exec")
    except (SyntaxError, ValueError):
        return ""
    return ast.dump(tree)


def _nodes(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that may be changed, outermost first: no signatures, annotations, docstrings, imports, f-strings."""
    yield node
    for child in _children(node):
        yield from _nodes(child)


def _children(node: ast.AST) -> Iterator[ast.AST]:
    match node:
        case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
            yield from node.body
        case ast.AnnAssign():
            yield from (part for part in (node.value,) if part)
        case ast.JoinedStr() | ast.Import() | ast.ImportFrom() | ast.Expr(value=ast.Constant()):
            return
        case _:
            yield from ast.iter_child_nodes(node)


def _operator(node: ast.AST, text: _Text) -> _Edits:
    """`a + b` -> `a - b`, `x += 1` -> `x -= 1`."""
    match node:
        case ast.BinOp():
            symbol, others = OPERATORS.get(type(node.op), ("", ()))
            yield from ((text.between(node.left, node.right, symbol, new),) for new in others)
        case ast.AugAssign():
            symbol, others = OPERATORS.get(type(node.op), ("", ()))
            yield from ((text.between(node.target, node.value, symbol, new),) for new in others)
        case ast.UnaryOp(op=ast.USub() | ast.Invert()):
            yield (_Edit(text.span(node)[0], text.span(node)[0] + 1, b""),)


def _comparison(node: ast.AST, text: _Text) -> _Edits:
    """`a < b` -> `a <= b`, `a > b`."""
    if isinstance(node, ast.Compare):
        for op, (left, right) in zip(node.ops, pairwise([node.left, *node.comparators]), strict=True):
            symbol, others = OPERATORS[type(op)]
            yield from ((text.between(left, right, symbol, new),) for new in others)


def _condition(node: ast.AST, text: _Text) -> _Edits:
    """`if a` -> `if not (a)`, `not a` -> `a`, `a and b` -> `a or b`."""
    match node:
        case ast.BoolOp():
            symbol, (new,) = OPERATORS[type(node.op)]
            yield tuple(text.between(left, right, symbol, new) for left, right in pairwise(node.values))
        case ast.UnaryOp(op=ast.Not()):
            begin = text.span(node)[0]
            found = re.match(rb"not\s*", text.data[begin:])
            yield (_Edit(begin, begin + found.end(), b"") if found else None,)
        case ast.If() | ast.While() | ast.IfExp():
            yield (_negated(node.test, text),)
        case ast.comprehension():
            yield from ((_negated(test, text),) for test in node.ifs)


def _negated(test: ast.expr, text: _Text) -> _Edit | None:
    match test:
        case ast.UnaryOp(op=ast.Not()) | ast.Constant():
            return None
        case ast.Compare(ops=[op]) if isinstance(op, _REPEATED_NEGATION):
            return None
    return text.replace(test, f"not ({text.source(test)})")


def _constant(node: ast.AST, text: _Text) -> _Edits:
    """`3` -> `4`, `2`; `True` -> `False`; `"a"` -> `""`."""
    match node:
        case ast.Constant(value=bool() as value):
            yield (text.replace(node, repr(not value)),)
        case ast.Constant(value=int() | float() as number):
            yield from ((text.replace(node, repr(number + step)),) for step in (1, -1))
        case ast.Constant(value=str() as string):
            yield (text.replace(node, repr("" if string else "x")),)


def _removed(node: ast.AST, text: _Text) -> _Edits:
    """A statement without which the function still runs gives way to `pass`."""
    match node:
        case (
            ast.AugAssign()
            | ast.Break()
            | ast.Continue()
            | ast.Raise()
            | ast.Delete()
            | ast.Expr(value=ast.Call())
            | ast.Assign(targets=[ast.Subscript() | ast.Attribute(), *_])
            | ast.If(orelse=[])
        ):
            yield (text.replace(node, "pass"),)


def _loop_end(node: ast.AST, text: _Text) -> _Edits:
    """`break` -> `continue` and back."""
    match node:
        case ast.Break():
            yield (text.replace(node, "continue"),)
        case ast.Continue():
            yield (text.replace(node, "break"),)


def _name(node: ast.AST, text: _Text) -> _Edits:
    """`min(a)` -> `max(a)`, `a.find(b)` -> `a.rfind(b)`."""
    match node:
        case ast.Name(id=name) if name in NAMES:
            yield (text.replace(node, NAMES[name]),)
        case ast.Attribute(attr=name) if name in NAMES:
            end = text.span(node)[1]
            yield (_Edit(end - len(name.encode()), end, NAMES[name].encode()),)


def _swapped(node: ast.AST, text: _Text) -> _Edits:
    """`f(a, b)` -> `f(b, a)`, `a - b` -> `b - a`, `a if c else b` -> `b if c else a`."""
    match node:
        case ast.Call(args=[_, _, *_]):
            yield from (_exchange(left, right, text) for left, right in pairwise(node.args))
        case ast.BinOp(op=ast.Sub() | ast.Div() | ast.FloorDiv() | ast.Mod() | ast.Pow()):
            yield _exchange(node.left, node.right, text)
        case ast.IfExp():
            yield _exchange(node.body, node.orelse, text)
        case ast.Return(value=ast.Tuple(elts=[_, _, *_] as parts)):
            yield from (_exchange(left, right, text) for left, right in pairwise(parts))


def _returns(node: ast.AST, text: _Text) -> _Edits:
    """Two neighbouring returns of a function exchange what they return."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        values = [part.value for part in _own_nodes(node) if isinstance(part, ast.Return) and part.value]
        yield from (_exchange(left, right, text) for left, right in pairwise(values))


def _own_nodes(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.AST]:
    """The nodes of its body, without those of functions inside it."""
    waiting: list[ast.AST] = [*function.body[::-1]]
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            waiting += [*ast.iter_child_nodes(node)][::-1]


def _exchange(left: ast.expr, right: ast.expr, text: _Text) -> tuple[_Edit, ...]:
    return text.replace(left, text.source(right)), text.replace(right, text.source(left))


def _one_line(code: str) -> str:
    """The code as it is shown in a sentence: one line, at most 60 characters."""
    line = " ".join(code.split())
    return line if len(line) <= 60 else line[:57] + "..."


RULES: dict[str, Callable[[ast.AST, _Text], _Edits]] = {
    "operator": _operator,
    "comparison": _comparison,
    "condition": _condition,
    "constant": _constant,
    "removed": _removed,
    "loop_end": _loop_end,
    "name": _name,
    "swapped": _swapped,
    "returns": _returns,
}
"""Kind of mistake -> what it makes of one node."""
