"""The code of a page: what counts as code, how it is run, and which statement printed what."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hornbook.sandbox import Limits, Sandbox
from hornbook.stages.textbooks.blocks import Ran, page_program, read_block, read_run
from hornbook.text.markdown import fences


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(mode="fast", workers=1, limits=Limits(cpu_seconds=1)) as sandbox:
        yield sandbox


def ran(page: str, sandbox: Sandbox) -> list[Ran]:
    blocks = [read_block(fence) for fence in fences(page) if fence.kind in ("code", "session")]
    program = page_program(blocks)
    return read_run(blocks, sandbox.verdict(program) if program else None)


def page(*blocks: str) -> str:
    return "Prose.\n\n".join(f"```python\n{block}\n```\n" for block in blocks)


def test_python_is_what_says_so_or_what_is_statements_and_output_is_what_follows_it() -> None:
    bodies = ("python\na = 1", "json\n{}", "\nprint(2)", "\n2", " py\nb", "\nno code", "py\n>>> 1\n1")
    text = "Some words.\n".join(f"```{body}\n```\n" for body in bodies)
    kinds = [(fence.kind, fence.text) for fence in fences(text)]
    assert kinds == [
        ("code", "a = 1\n"),
        ("other", "{}\n"),
        ("code", "print(2)\n"),
        ("other", "2\n"),
        ("code", "b\n"),
        ("other", "no code\n"),
        ("session", ">>> 1\n1\n"),
    ]


@pytest.mark.parametrize(
    ("between", "kind"),
    [("", "output"), ("Output:\n", "output"), ("It prints:\n", "output"), ("Now install it:\n", "other")],
)
def test_a_block_that_says_nothing_is_output_where_the_words_before_it_say_so(
    between: str, kind: str
) -> None:
    assert fences(f"```python\nx = 1\n```\n{between}```\nx is [1\n```\n")[1].kind == kind


def test_a_shell_command_after_code_is_no_output() -> None:
    assert fences("```python\nx = 1\n```\n```console\n$ python x.py\n```\n")[1].kind == "other"


def test_blocks_run_in_order_as_one_program_and_each_tells_what_it_printed(sandbox: Sandbox) -> None:
    found = ran(page("x = 1\nprint(x); print('b')\n\nif x:\n    print('c')", "print(x + 1)"), sandbox)
    assert [block.outcome for block in found] == ["passed", "passed"]
    assert found[0].printed == ("", "1\nb\n", "c\n")
    assert found[1].output == "2\n"


def test_the_first_block_that_fails_is_named_with_what_it_had_printed(sandbox: Sandbox) -> None:
    found = ran(page("print(1)", "print(2)\nprint(3, missing)\nprint(4)", "print(5)"), sandbox)
    assert [block.outcome for block in found] == ["passed", "failed", "not_run"]
    assert "missing" in found[1].reason
    assert found[1].output == "2\n"


def test_a_block_that_python_cannot_read_fails_and_those_before_it_have_run(sandbox: Sandbox) -> None:
    found = ran(page("print(1)", "print(2", "print(3)"), sandbox)
    assert [block.outcome for block in found] == ["passed", "failed", "not_run"]
    assert found[0].output == "1\n"
    assert found[1].reason.startswith("SyntaxError: '(' was never closed (line 1)")
    assert [block.outcome for block in ran(page("return 1"), sandbox)] == ["failed"]


def test_an_endless_block_is_a_timeout_of_its_own(sandbox: Sandbox) -> None:
    found = ran(page("print(1)", "while True:\n    pass"), sandbox)
    assert [block.outcome for block in found] == ["passed", "timeout"]
    assert found[0].output == "1\n"


def test_a_program_that_dies_after_its_last_line_has_not_passed(sandbox: Sandbox) -> None:
    code = "import os, threading\nthreading.Timer(0.1, os._exit, (3,)).start()\nprint(1)\nprint(2)"
    assert ran(page(code, "import time\ntime.sleep(0.5)"), sandbox)[-1].outcome != "passed"


@pytest.mark.parametrize(
    "code",
    [
        "from __future__ import annotations\ndef f(x: Later) -> None:\n    print(x)\nf(3)",
        "if __name__ == '__main__':\n    print(3)",
        "import io, contextlib\nwith contextlib.redirect_stdout(io.StringIO()):\n    print(2)\nprint(3)",
        "print = print\nfor n in [3]:\n    print(n)",
        "text = '''\nx = 1\n'''\nprint(3)",
        "import sys\nsys.stdout.write('3\\n')",
    ],
)
def test_programs_that_readers_meet_run_as_they_stand(code: str, sandbox: Sandbox) -> None:
    [block] = ran(page(code), sandbox)
    assert (block.outcome, block.output) == ("passed", "3\n")


def test_a_session_runs_example_by_example_with_what_came_before(sandbox: Sandbox) -> None:
    text = page(
        "def f(x):\n    return x + 1",
        ">>> f(1)\n2\n>>> for n in range(2):\n...     print(n)\n0\n1\n>>> f('a')",
    )
    found = ran(text, sandbox)
    assert found[1].printed[:2] == ("2\n", "0\n1\n")
    assert (found[1].outcome, "concatenate" in found[1].reason) == ("failed", True)


def test_an_exception_that_a_session_shows_is_no_failure(sandbox: Sandbox) -> None:
    text = page(">>> 1 / 0\nTraceback (most recent call last):\n  ...\nZeroDivisionError: division by zero")
    [block] = ran(text, sandbox)
    assert block.outcome == "passed"
    assert block.output.endswith("ZeroDivisionError: division by zero\n")
