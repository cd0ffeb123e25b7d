"""What a teacher's answers hold: a documented function, or tests for one."""

from __future__ import annotations

import ast
import re
import sys
from dataclasses import dataclass

from hornbook.tasks.mined import as_check
from hornbook.text.code import Function, parse, self_contained_functions, top_level_functions

FENCE = re.compile(r"```[^\n]*\n(.*?)(?:```|\Z)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why an answer is not taken: a stable reason, and the detail for a person."""

    reason: str
    detail: str = ""


def read_function(text: str, name: str) -> Function | Refusal:
    """The documented function of that name in an answer, with the standard imports it needs.

    Reasons: no_code, not_python, no_function, no_docstring, no_body, not_self_contained.
    """
    source = _source(text)
    if isinstance(source, Refusal):
        return source
    found = next((f for f in self_contained_functions(source) if f.name == name), None)
    if found:
        return found
    written = {f.name: f for f in top_level_functions(source)}
    if name not in written:
        return Refusal("no_function", f"defines {', '.join(written) or 'nothing'}, not {name}")
    if not written[name].docstring.strip():
        return Refusal("no_docstring")
    if not written[name].body.strip():
        return Refusal("no_body")
    return Refusal("not_self_contained", "it reads names that neither it nor the standard library defines")


def read_tests(text: str, name: str, least: int) -> str | Refusal:
    """The asserts on that function in an answer as `def check(candidate)`, with what they need before them.

    Asserts are taken from the top level and from functions called test... or check...; a definition of the
    function itself is ignored. Reasons: no_code, not_python, few_tests (fewer than `least` different asserts).
    """
    source = _source(text)
    if isinstance(source, Refusal):
        return source
    tree = parse(source)
    lines = list(dict.fromkeys(ast.unparse(node) for node in _said(tree) if _is_about(node, name)))
    asserts = sum(line.startswith("assert ") for line in lines)
    if asserts < least:
        return Refusal("few_tests", f"{asserts} asserts call {name}; at least {least} must")
    return as_check(name, "\n".join(lines))


def _source(text: str) -> str | Refusal:
    """The Python of an answer: its code blocks as one program, or the first of them alone."""
    blocks = FENCE.findall(text) or ([text] if "def " in text or "assert " in text else [])
    if not blocks:
        return Refusal("no_code")
    source = next((s for s in ("\n".join(blocks), blocks[0]) if parse(s) is not None), None)
    return Refusal("not_python", _first_error(blocks[0])) if source is None else source


def _said(tree: ast.Module | None) -> list[ast.stmt]:
    """The statements at the top level and in its test functions."""
    found: list[ast.stmt] = []
    for node in tree.body if tree else []:
        is_test = isinstance(node, ast.FunctionDef) and node.name.startswith(("test", "check"))
        found += node.body if isinstance(node, ast.FunctionDef) and is_test else [node]
    return found


def _is_about(node: ast.stmt, name: str) -> bool:
    """Whether a statement asserts something of the function, or prepares that."""
    match node:
        case ast.Assert():
            called = {
                n.func.id for n in ast.walk(node) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)
            }
            return bool(called & {name, "candidate"})
        case ast.Assign(targets=[ast.Name()]):
            return True
        case ast.Import(names=[ast.alias(name=module)]) | ast.ImportFrom(module=str(module)):
            return module.partition(".")[0] in sys.stdlib_module_names
    return False


def _first_error(source: str) -> str:
    try:
        ast.parse(source)
    except (SyntaxError, ValueError) as error:
        return str(error)
    return ""
