"""Statistics of Python source: what is cheap to count, and a baseline that any embedding must beat."""

from __future__ import annotations

import ast
import math
import re
import sys
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import xxhash

from hornbook.text.code import parse

STATISTICS_CHARS = 8_000
"""Structural statistics read this much of a long file, cut before a definition: 9 times faster on libraries."""
_BOUNDARY = re.compile(r"\n\n(?=(?: {4})?(?:def |class |@|async def ))")
_BEFORE_DOCSTRING = frozenset({"", "r", "R", "u", "U"})
_WORD = re.compile(r"[^\W\d]\w*")
_CAMEL = re.compile(r"[a-z0-9][A-Z]")
_PART = re.compile(
    r'(?P<long>"""[\s\S]*?"""|\'\'\'[\s\S]*?\'\'\')|(?P<comment>#[^\n]*)'
    r'|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\''
)
"""A string or a comment, whichever begins first, so that neither is found inside the other."""
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
_Import = ast.Import | ast.ImportFrom
_IMPORTS = (ast.Import, ast.ImportFrom)
_DEEPER = (*_SCOPES, ast.If, ast.For, ast.While, ast.Try, ast.With, ast.AsyncFor, ast.AsyncWith)


def code_statistics(source: str) -> dict[str, float]:
    """Lexical and structural features of a Python source, always the same keys, all finite.

    Where the source does not parse, `parses` and every structural feature are 0; the lexical ones hold.
    """
    return {**_lexical(source), **_structural(source)}


def comment_density(source: str) -> float:
    """The share of a text's characters in comments and docstrings, 0 to 1; a plain measure of how explained it is."""
    _, comments, docstrings = _strings_and_comments(source)
    return (comments + docstrings) / max(len(source), 1)


def _strings_and_comments(source: str) -> tuple[int, int, int]:
    """Characters in strings (docstrings too), in comments, and in strings that stand alone as docstrings do."""
    strings = comments = docstrings = 0
    for part in _PART.finditer(source):
        length = part.end() - part.start()
        if part.lastgroup == "comment":
            comments += length
            continue
        strings += length
        if part.lastgroup == "long":
            before = source[source.rfind("\n", 0, part.start()) + 1 : part.start()].strip()
            docstrings += length * (before in _BEFORE_DOCSTRING)
    return strings, comments, docstrings


def _lexical(source: str) -> dict[str, float]:
    lines = [line.strip() for line in source.split("\n")]
    filled = [line for line in lines if line]
    chars = max(len(source), 1)
    count = max(len(filled), 1)
    words = _WORD.findall(source)
    kinds = set(words)
    strings, comments, docstrings = _strings_and_comments(source)
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
        "comment_share": comments / chars,
        "docstring_share": docstrings / chars,
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
    imports: list[_Import] = []
    depths: list[int] = []
    stack: list[tuple[ast.AST, int]] = [(tree, 0)] if tree else []
    while stack:
        node, depth = stack.pop()
        counts[type(node)] += 1
        if isinstance(node, _SCOPES):
            scopes.append(node)
        elif isinstance(node, _IMPORTS):
            imports.append(node)
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
        **_imports_shape(imports),
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


def _imports_shape(imports: Sequence[_Import]) -> dict[str, float]:
    """How much is imported, and how much of it is at hand everywhere."""
    modules = {
        name.partition(".")[0]
        for node in imports
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else ["." * node.level + (node.module or "")]
        )
    }
    standard = sum(module in sys.stdlib_module_names for module in modules)
    return {"imported_modules": float(len(modules)), "standard_import_share": standard / max(len(modules), 1)}


def _parse_beginning(source: str) -> ast.Module | None:
    """The tree of the first STATISTICS_CHARS, cut before a definition; of all where the cut does not parse."""
    if len(source) > STATISTICS_CHARS:
        cuts = [match.start() for match in _BOUNDARY.finditer(source, 0, STATISTICS_CHARS + 20)]
        tree = parse(source[: cuts[-1] + 1]) if cuts else None
        if tree is not None:
            return tree
    return parse(source)


Matrix = npt.NDArray[np.float32]
NGRAM_BUCKETS = 128
_TOKEN = re.compile(r"[A-Za-z_]\w*|\d+|[^\w\s]+")


@dataclass(frozen=True)
class Features:
    """A matrix of (texts, columns), all finite, and the name of each column."""

    matrix: Matrix
    names: tuple[str, ...]


Extract = Callable[[Sequence[str]], Features]


def from_statistics(statistics: Callable[[str], Mapping[str, float]]) -> Extract:
    """Features that are one text's statistics by name; `statistics` gives the same names for every text."""

    def extract(texts: Sequence[str]) -> Features:
        names = tuple(statistics(""))
        rows = [statistics(text) for text in texts]
        values = np.array([[row[name] for name in names] for row in rows], np.float32)
        return Features(np.nan_to_num(values.reshape(len(rows), len(names))), names)

    return extract


def token_ngrams(texts: Sequence[str]) -> Features:
    """Shares of one- and two-token sequences, hashed with signs into NGRAM_BUCKETS columns of unit length."""
    matrix = np.stack([_hashed_grams(text) for text in texts]) if texts else np.zeros((0, NGRAM_BUCKETS))
    return Features(matrix.astype(np.float32), tuple(f"ngrams.{bucket}" for bucket in range(NGRAM_BUCKETS)))


def side_by_side(parts: Sequence[Features]) -> Features:
    """The columns of all parts in order, for the same texts."""
    matrix = np.concatenate([part.matrix for part in parts], axis=1)
    return Features(matrix, tuple(name for part in parts for name in part.names))


def _hashed_grams(text: str) -> Matrix:
    tokens = _TOKEN.findall(text)
    row = np.zeros(NGRAM_BUCKETS, np.float32)
    for gram, count in Counter((*tokens, *map(" ".join, pairwise(tokens)))).items():
        bits = xxhash.xxh3_64_intdigest(gram.encode("utf-8", "surrogatepass"))
        row[bits % NGRAM_BUCKETS] += count if bits >> 63 else -count
    return row / np.float32(np.linalg.norm(row) or 1.0)
