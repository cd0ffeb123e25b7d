"""Python source as data: its functions, what they need, and whether they stand on their own."""

from __future__ import annotations

import ast
import builtins
import doctest
import math
import re
import symtable
import sys
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

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


def imported_modules(source: str) -> frozenset[str]:
    """Top-level names of all modules that a source imports anywhere ("numpy.linalg" counts as "numpy")."""
    tree = parse(source)
    names: set[str] = set()
    for node in ast.walk(tree) if tree else ():
        if isinstance(node, ast.Import):
            names.update(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return frozenset(names)


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


STATISTICS_CHARS = 8_000
"""Structural statistics read this much of a long file, cut before a definition: 9 times faster on libraries."""

_BOUNDARY = re.compile(r"\n\n(?=(?: {4})?(?:def |class |@|async def ))")
_WORD = re.compile(r"[^\W\d]\w*")
_CAMEL = re.compile(r"[a-z0-9][A-Z]")
_STRING = re.compile(r'"""(?:.|\n)*?"""|\'\'\'(?:.|\n)*?\'\'\'|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'')

NODE_GROUPS: dict[str, tuple[type[ast.AST], ...]] = {
    "function": (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda),
    "class": (ast.ClassDef,),
    "import": (ast.Import, ast.ImportFrom),
    "branch": (ast.If, ast.IfExp, ast.Match),
    "loop": (ast.For, ast.While, ast.AsyncFor),
    "comprehension": (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp),
    "call": (ast.Call,),
    "attribute": (ast.Attribute,),
    "subscript": (ast.Subscript,),
    "arithmetic": (ast.BinOp, ast.UnaryOp, ast.AugAssign),
    "comparison": (ast.Compare, ast.BoolOp),
    "assignment": (ast.Assign, ast.AnnAssign, ast.NamedExpr),
    "return": (ast.Return, ast.Yield, ast.YieldFrom),
    "exception": (ast.Try, ast.Raise, ast.Assert, ast.With),
    "literal": (ast.Constant, ast.List, ast.Tuple, ast.Dict, ast.Set),
}
_GROUP_OF = {kind: group for group, kinds in NODE_GROUPS.items() for kind in kinds}
_Scope = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
_SCOPES = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_DEEPER = (*_SCOPES, ast.If, ast.For, ast.While, ast.Try, ast.With, ast.AsyncFor, ast.AsyncWith)


def code_statistics(source: str) -> dict[str, float]:
    """Lexical and structural features of a Python source, always the same keys, all finite.

    Where the source does not parse, `parses` and every structural feature are 0; the lexical ones hold.
    """
    return {**_lexical(source), **_structural(source)}


def _lexical(source: str) -> dict[str, float]:
    lines = [line.strip() for line in source.split("\n")]
    filled = [line for line in lines if line]
    chars = max(len(source), 1)
    count = max(len(filled), 1)
    words = _WORD.findall(source)
    kinds = set(words)
    strings = sum(map(len, _STRING.findall(source)))
    kind_count = max(len(kinds), 1)
    return {
        "log_chars": math.log1p(len(source)),
        "log_lines": math.log1p(len(filled)),
        "blank_line_share": 1 - len(filled) / max(len(lines), 1),
        "comment_line_share": sum(line.startswith("#") for line in filled) / count,
        "duplicate_line_share": 1 - len(set(filled)) / count if filled else 0.0,
        "line_chars_mean": sum(map(len, filled)) / count,
        "line_chars_max": float(max(map(len, filled), default=0)),
        "long_line_share": sum(len(line) > 100 for line in filled) / count,
        "string_share": strings / chars,
        "digit_share": sum(map(source.count, "0123456789")) / chars,
        "bracket_share": sum(map(source.count, "()[]{}")) / chars,
        "not_ascii_share": 0.0 if source.isascii() else sum(c > "\x7f" for c in source) / chars,
        "word_share": sum(map(len, words)) / chars,
        "word_kinds_share": len(kinds) / max(len(words), 1),
        "word_chars_mean": sum(map(len, kinds)) / kind_count,
        "snake_word_share": sum("_" in word.strip("_") for word in kinds) / kind_count,
        "camel_word_share": sum(bool(_CAMEL.search(word)) for word in kinds) / kind_count,
        "upper_word_share": sum(word.isupper() and len(word) > 1 for word in kinds) / kind_count,
        "letter_word_share": sum(len(word) == 1 for word in kinds) / kind_count,
    }


def _structural(source: str) -> dict[str, float]:
    tree = _parse_beginning(source)
    counts: Counter[type[ast.AST]] = Counter()
    scopes: list[_Scope] = []
    depths: list[int] = []
    stack: list[tuple[ast.AST, int]] = [(tree, 0)] if tree else []
    while stack:
        node, depth = stack.pop()
        counts[type(node)] += 1
        if isinstance(node, _SCOPES):
            scopes.append(node)
        if isinstance(node, _DEEPER):
            depth += 1
            depths.append(depth)
        for value in node.__dict__.values():
            if isinstance(value, list):
                stack.extend((child, depth) for child in value if isinstance(child, ast.AST))
            elif isinstance(value, ast.AST):
                stack.append((value, depth))
    groups: Counter[str] = Counter()
    for kind, number in counts.items():
        groups[_GROUP_OF.get(kind, "other")] += number
    nodes = max(sum(counts.values()), 1)
    return {
        "parses": float(tree is not None),
        "nesting_mean": sum(depths) / max(len(depths), 1),
        "nesting_max": float(max(depths, default=0)),
        "node_kinds": float(len(counts)),
        **{f"node_{group}_share": groups[group] / nodes for group in NODE_GROUPS},
        **_functions_shape(scopes, tree),
    }


def _functions_shape(scopes: Sequence[_Scope], tree: ast.Module | None) -> dict[str, float]:
    functions = [node for node in scopes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    count = max(len(functions), 1)
    documented = [node for node in scopes if ast.get_docstring(node, clean=False)]
    arguments = [argument for node in functions for argument in node.args.args]
    docstrings = sum(len(ast.get_docstring(node, clean=False) or "") for node in documented)
    return {
        "documented_share": len(documented) / max(len(scopes), 1),
        "docstring_chars_mean": docstrings / max(len(documented), 1),
        "module_documented": float(bool(tree and ast.get_docstring(tree, clean=False))),
        "function_lines_mean": sum((node.end_lineno or 0) - node.lineno + 1 for node in functions) / count,
        "arguments_mean": len(arguments) / count,
        "annotated_share": sum(a.annotation is not None for a in arguments) / max(len(arguments), 1),
        "decorated_share": sum(bool(node.decorator_list) for node in functions) / count,
        "method_share": sum(bool({"self", "cls"} & {a.arg for a in n.args.args[:1]}) for n in functions)
        / count,
        "private_share": sum(node.name.startswith("_") for node in functions) / count,
    }


def _parse_beginning(source: str) -> ast.Module | None:
    """The tree of the first STATISTICS_CHARS, cut before a definition; of all where the cut does not parse."""
    if len(source) > STATISTICS_CHARS:
        cuts = [match.start() for match in _BOUNDARY.finditer(source, 0, STATISTICS_CHARS + 20)]
        tree = parse(source[: cuts[-1] + 1]) if cuts else None
        if tree is not None:
            return tree
    return parse(source)
