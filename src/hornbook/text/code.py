"""Python source as data: its functions, what they need, and whether they stand on their own."""

from __future__ import annotations

import ast
import builtins
import doctest
import symtable
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain

DEEPEST = 200
"""Levels of a syntax tree: ast.dump and ast.unparse call themselves three or four times for each."""
BUILTIN_NAMES = frozenset(name for name in dir(builtins) if not name.startswith("_")) | {"__import__"}


@dataclass(frozen=True, slots=True)
class Example:
    """One doctest example: the statement or expression, and the output it promises."""

    source: str
    want: str


@dataclass(frozen=True, slots=True)
class Function:
    """One top-level function as text: `head` ends after the docstring (or signature), `body` is the rest."""

    name: str
    signature: str
    docstring: str
    head: str
    body: str
    free_names: frozenset[str]
    """Names it reads from outside itself: builtins, imports, and other things of its module."""
    imports: tuple[str, ...] = ()
    """Import statements that bring its free names in; filled by `self_contained_functions`."""

    @property
    def prompt(self) -> str:
        """Imports, signature and docstring: what a completion starts from; ends in a newline."""
        return "\n".join(self.imports) + "\n\n\n" * bool(self.imports) + self.head

    @property
    def solution(self) -> str:
        """The body: `prompt + solution` is a whole module."""
        return self.body

    @property
    def examples(self) -> tuple[Example, ...]:
        """The doctest examples in the docstring; none where doctest cannot read it."""
        try:
            found = doctest.DocTestParser().get_examples(self.docstring)
        except ValueError:
            return ()
        return tuple(Example(example.source, example.want) for example in found)


def parse(source: str) -> ast.Module | None:
    """The syntax tree, or None where this is not Python that this interpreter reads; warnings stay silent."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return ast.parse(source)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            return None


def is_deep(tree: ast.AST) -> bool:
    """Whether a tree has more levels than the recursive functions of `ast` take wherever they are called."""
    level: list[ast.AST] = [tree]
    for _ in range(DEEPEST):
        level = [child for node in level for child in ast.iter_child_nodes(node)]
    return bool(level)


def top_level_functions(source: str) -> Iterator[Function]:
    """Every undecorated `def` at the top level of a module, in order; none if it does not parse."""
    module = _Module.read(source)
    return module.functions() if module else iter(())


def self_contained_functions(source: str) -> Iterator[Function]:
    """The documented top-level functions that need builtins and standard-library imports alone.

    Each carries those imports, so that `prompt + solution` runs by itself. Decorated, undocumented and
    empty functions, and any that read other names of their module, are left out.
    """
    module = _Module.read(source)
    if module is None or module.has_star_import:
        return
    available = module.standard_imports()
    for function in module.functions():
        needed = function.free_names - BUILTIN_NAMES | function.free_names & module.bound_names
        needed -= {function.name}
        if function.docstring.strip() and not _is_empty(function.body) and needed <= available.keys():
            statements = {statement for name in needed for statement in available[name]}
            yield replace(function, imports=tuple(sorted(statements)))


@dataclass(frozen=True, slots=True)
class _Module:
    lines: list[str]
    tree: ast.Module
    table: symtable.SymbolTable

    @classmethod
    def read(cls, source: str) -> _Module | None:
        if "def " not in source:
            return None
        source = source.replace("\r\n", "\n").replace("\r", "\n")
        tree = parse(source)
        if tree is None or not any(isinstance(node, ast.FunctionDef) for node in tree.body):
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                table = symtable.symtable(source, "<document>", "exec")
            except (SyntaxError, ValueError, RecursionError):
                return None
        # Not splitlines(): only "\n" counts as a line end for the parser, form feeds and the like do not.
        return cls([line + "\n" for line in source.split("\n")], tree, table)

    @property
    def has_star_import(self) -> bool:
        return any(
            alias.name == "*"
            for node in ast.walk(self.tree)
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
        )

    @property
    def bound_names(self) -> frozenset[str]:
        """Names that the module itself binds; these hide builtins."""
        return frozenset(
            symbol.get_name()
            for symbol in self.table.get_symbols()
            if symbol.is_assigned() or symbol.is_imported() or symbol.is_namespace()
        )

    def functions(self) -> Iterator[Function]:
        tables = {
            (t.get_name(), t.get_lineno()): t for t in self.table.get_children() if t.get_type() == "function"
        }
        for node in self.tree.body:
            if isinstance(node, ast.FunctionDef) and not node.decorator_list and node.col_offset == 0:
                yield self._function(node, tables[node.name, node.lineno])

    def _function(self, node: ast.FunctionDef, table: symtable.SymbolTable) -> Function:
        first, *rest = node.body
        end = node.end_lineno or node.lineno
        docstring = ast.get_docstring(node) or ""
        cut = (first.end_lineno or end) if docstring else first.lineno - 1
        if cut < node.lineno or (docstring and rest and rest[0].lineno <= cut):
            cut = end  # body on the line of the signature or docstring: no clean cut, so no body
        body = self.lines[cut:end]
        while body and not body[0].strip():
            body = body[1:]
        return Function(
            name=node.name,
            signature=_signature(node),
            docstring=docstring,
            head="".join(self.lines[node.lineno - 1 : cut]),
            body="".join(body),
            free_names=_free_names(table) | _names_at_definition(node),
        )

    def standard_imports(self) -> dict[str, set[str]]:
        """Name -> the top-level statements that import it, for names that only the standard library binds."""
        found: dict[str, set[str]] = {}
        rebound = _rebound_names(self.tree)
        nodes = (node for node in self.tree.body if isinstance(node, ast.Import | ast.ImportFrom))
        for name, module, statement in chain.from_iterable(map(_imports, nodes)):
            standard = module in sys.stdlib_module_names and not module.startswith("_")
            if standard and name not in rebound:
                found.setdefault(name, set()).add(statement)
        return found


def _signature(node: ast.FunctionDef) -> str:
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"def {node.name}({ast.unparse(node.args)}){returns}:"


def _free_names(table: symtable.SymbolTable) -> frozenset[str]:
    """Names that a scope or a scope inside it takes from the module."""
    names = {symbol.get_name() for symbol in table.get_symbols() if symbol.is_global()}
    return frozenset(names).union(*(_free_names(child) for child in table.get_children()))


def _names_at_definition(node: ast.FunctionDef) -> frozenset[str]:
    """Names that defaults and annotations read when the function is defined."""
    parts: list[ast.AST] = [node.args, *([node.returns] if node.returns else [])]
    return frozenset(n.id for part in parts for n in ast.walk(part) if isinstance(n, ast.Name))


def _imports(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str, str]]:
    """(bound name, top-level module, statement) for each name of an absolute import."""
    if isinstance(node, ast.ImportFrom) and (node.level or not node.module):
        return
    origin = f"from {node.module} " if isinstance(node, ast.ImportFrom) else ""
    for alias in node.names:
        renamed = f" as {alias.asname}" if alias.asname else ""
        module = (node.module or "") if isinstance(node, ast.ImportFrom) else alias.name
        bound = alias.asname or (alias.name if origin else alias.name.partition(".")[0])
        yield bound, module.partition(".")[0], f"{origin}import {alias.name}{renamed}"


def _rebound_names(tree: ast.Module) -> frozenset[str]:
    """Names that anything else than a top-level standard-library import may bind in this module."""
    names: set[str] = set()
    plain = {id(node) for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            foreign = (
                [a.asname or a.name for a in node.names]
                if isinstance(node, ast.ImportFrom) and node.level
                else []
            )
            names.update(foreign)
            if id(node) in plain:
                names.update(n for n, module, _ in _imports(node) if module not in sys.stdlib_module_names)
        elif isinstance(node, ast.Global):
            names.update(node.names)
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif not isinstance(node, ast.Import | ast.ImportFrom):
            names.update(
                n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)
            )
    return frozenset(names)


def _is_empty(body: str) -> bool:
    """Whether a body does nothing: pass, ..., or a bare raise of NotImplementedError."""
    lines = [line.strip() for line in body.splitlines() if line.strip() and not line.strip().startswith("#")]
    return not lines or (
        len(lines) == 1 and lines[0].startswith(("pass", "...", "raise NotImplementedError"))
    )
