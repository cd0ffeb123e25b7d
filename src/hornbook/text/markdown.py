"""The code of a page as one program, and what each statement of it printed.

All blocks of a page run in one process, one after another, as a reader would run them. A mark goes out after each
top-level statement, so the output tells how far the program came and which statement printed what.
"""

from __future__ import annotations

import ast
import re
import textwrap
from dataclasses import dataclass

from hornbook.text.code import parse

FENCE = re.compile(r"^[ \t]*```[ \t]*([\w+-]*)[^\n]*\n(.*?)^[ \t]*```[ \t]*$", re.MULTILINE | re.DOTALL)
PYTHON = frozenset({"python", "python3", "py", "pycon"})
OUTPUT = frozenset({"output", "out", "result", "stdout"})
NEUTRAL = frozenset({"", "text", "txt", "plaintext", "plain", "console"})
SAYS_OUTPUT = re.compile(r"\b(?:outputs?|prints?|printed|displays?|displayed|results?|shows?|see)\b", re.I)


@dataclass(frozen=True, slots=True)
class Fence:
    """A fenced block of a page: what it is, its text, and where it stands in the page."""

    kind: str
    """code, session (a transcript with >>>), output, or other."""
    text: str
    start: int
    end: int


def fences(page: str) -> list[Fence]:
    """The fenced blocks of a page in order.

    Python is what says so, and what says nothing but parses as statements; output is what says so, and what
    says nothing and follows code with nothing between or words like "prints" or "output".
    """
    found: list[Fence] = []
    for match in FENCE.finditer(page):
        text = textwrap.dedent(match[2])
        follows = bool(found) and found[-1].kind in ("code", "session")
        gap = page[found[-1].end : match.start()].strip() if follows else ""
        is_told = follows and (not gap or (len(gap) < 300 and bool(SAYS_OUTPUT.search(gap))))
        found.append(Fence(_kind(match[1].lower(), text, is_told), text, match.start(), match.end()))
    return found


def _kind(language: str, text: str, is_told: bool) -> str:
    if (language in PYTHON or language in NEUTRAL) and text.lstrip().startswith(">>>"):
        return "session"
    if language in PYTHON:
        return "code"
    if language in OUTPUT:
        return "output"
    if language in NEUTRAL and is_told and not text.lstrip().startswith("$"):
        return "output"
    return "code" if not language and _is_program(text) else "other"


def _is_program(code: str) -> bool:
    tree = parse(code)
    return tree is not None and any(
        not isinstance(s, ast.Expr) or isinstance(s.value, ast.Call) for s in tree.body
    )
