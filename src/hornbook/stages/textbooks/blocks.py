"""The code of a page as one program, and what each statement of it printed.

All blocks of a page run in one process, one after another, as a reader would run them. A mark goes out after each
top-level statement, so the output tells how far the program came and which statement printed what.
"""

from __future__ import annotations

import ast
import doctest
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from hornbook.sandbox import Program, Verdict
from hornbook.text.markdown import Fence

ADDRESS = re.compile(r"0x[0-9a-f]{6,}")
HEAD = (
    '__name__ = "__main__"\n'
    'setattr(__import__("builtins"), "__told", lambda place, out=__import__("sys").stdout: '
    '(out.write(f"\\x1e{place}\\x1e"), out.flush()))\n'
)
MARK = re.compile("\x1e(\\d+)\\.(\\d+)\x1e")
RAISED = "Traceback (most recent call last):"


@dataclass(frozen=True, slots=True)
class Statement:
    """Top-level statements that end a line together, as they run, in lines `first` to `last` of their block."""

    text: str
    first: int
    last: int
    is_definition: bool = False
    want: str = ""
    """Of a session: the output that it shows, if any."""


@dataclass(frozen=True, slots=True)
class Block:
    """A block of code with its statements; `error` where Python cannot read it."""

    text: str
    statements: tuple[Statement, ...]
    future: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of a block: passed, failed, ..., or not_run; `printed` has a text for each statement that ended."""

    outcome: str
    reason: str
    printed: tuple[str, ...]

    @property
    def output(self) -> str:
        return "".join(self.printed)


def read_block(fence: Fence) -> Block:
    """A code fence or session cut into its statements."""
    return _read_session(fence.text) if fence.kind == "session" else _read_code(fence.text)


def _read_code(text: str) -> Block:
    tree, error = _compiled(text)
    if tree is None:
        return Block(text, (), error=error)
    lines = text.split("\n")
    future = [n for n in tree.body if isinstance(n, ast.ImportFrom) and n.module == "__future__"]
    for line in future:
        end = line.end_lineno or line.lineno
        lines[line.lineno - 1 : end] = ["pass", *[""] * (end - line.lineno)]
    statements: list[Statement] = []
    begin = 0
    for node, after in zip(tree.body, [*tree.body[1:], None], strict=False):
        end = node.end_lineno or node.lineno
        if after is None or after.lineno > end:  # several may share a line
            is_definition = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
            statements.append(Statement("\n".join(lines[begin:end]), node.lineno, end, is_definition))
            begin = end
    return Block(text, tuple(statements), tuple(ast.unparse(node) for node in future))


def _compiled(text: str, mode: str = "exec") -> tuple[ast.Module | None, str]:
    """The tree of a source that also compiles, or the error as the reader would see it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(text, "<page>", mode, dont_inherit=True)
            return ast.parse(text), ""
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            return None, f"{type(error).__name__}: {error}".replace("<page>, ", "")


def _read_session(text: str) -> Block:
    try:
        examples = doctest.DocTestParser().get_examples(text)
    except ValueError as problem:
        return Block(text, (), error=f"SyntaxError: {problem}")
    statements: list[Statement] = []
    for example in examples:
        _, error = _compiled(example.source, "single")
        if error:
            return Block(text, tuple(statements), error=error)
        run = f'exec(compile({example.source!r}, "<page>", "single"), globals())'
        if example.exc_msg is not None:
            run = _caught(run)
        first = example.lineno + 1
        statements.append(Statement(run, first, first, want=_want(example)))
    return Block(text, tuple(statements))


def _want(example: doctest.Example) -> str:
    return f"{RAISED}\n{example.exc_msg}" if example.exc_msg is not None else example.want


def _caught(run: str) -> str:
    """An example that shows an exception prints it as doctest compares it: without the frames."""
    said = f'print("{RAISED}\\n" + type(__error).__name__ + (": " + str(__error) if str(__error) else ""))'
    return f"try:\n    {run}\nexcept Exception as __error:\n    {said}"


def page_program(blocks: Sequence[Block]) -> Program | None:
    """All blocks up to the first that cannot be read, as one program; None where nothing is left to run."""
    parts: list[str] = []
    for number, block in enumerate(blocks):
        for place, statement in enumerate(block.statements):
            parts.append(f"{statement.text}\n__told('{number}.{place}')\n")
        if block.error:
            break
    if not parts:
        return None
    future = dict.fromkeys(line for block in blocks for line in block.future)
    return Program("".join(f"{line}\n" for line in future) + HEAD + "".join(parts))


def read_run(blocks: Sequence[Block], verdict: Verdict | None) -> list[Ran]:
    """What became of each block, from the verdict on their program; after the first that failed nothing was run."""
    printed, rest = _printed(verdict.output if verdict else "")
    texts = [
        tuple(printed[number, n] for n in range(len(block.statements)) if (number, n) in printed)
        for number, block in enumerate(blocks)
    ]
    failed, ran = _failed_block(blocks, texts, verdict), []
    for number, block in enumerate(blocks):
        if number < failed:
            ran.append(Ran("passed", "", texts[number]))
        elif number > failed:
            ran.append(Ran("not_run", "a block before it failed", ()))
        elif verdict and not verdict.passed:
            ran.append(Ran(verdict.outcome, stable(verdict.reason), (*texts[number], rest)))
        else:
            ran.append(Ran("failed", stable(block.error), texts[number]))
    return ran


def _failed_block(blocks: Sequence[Block], texts: Sequence[tuple[str, ...]], verdict: Verdict | None) -> int:
    """The number of the first block that did not run to its end; the number of blocks where all did."""
    unreadable = next((n for n, block in enumerate(blocks) if block.error), len(blocks))
    if verdict is None or verdict.passed:
        return unreadable
    short = (n for n, block in enumerate(blocks) if len(texts[n]) < len(block.statements))
    return next(short, min(unreadable, len(blocks) - 1))


def _printed(output: str) -> tuple[dict[tuple[int, int], str], str]:
    """What stands before each mark, and what stands after the last."""
    printed: dict[tuple[int, int], str] = {}
    begin = 0
    for mark in MARK.finditer(output):
        printed[int(mark[1]), int(mark[2])] = output[begin : mark.start()]
        begin = mark.end()
    return printed, output[begin:]


def stable(reason: str, chars: int = 200) -> str:
    """The same text in every run: without addresses, and short."""
    return ADDRESS.sub("0x...", reason)[:chars]
