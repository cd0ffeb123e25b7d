"""Many exercises as one program: starting a program costs more than running one exercise."""

from __future__ import annotations

from collections.abc import Sequence

RUNNER = """
def failures():
    failed = []
    for number, (source, tests, name) in enumerate(ITEMS):
        space = {}
        try:
            exec(source, space)
            exec(tests, space)
            space["check"](space[name])
        except Exception:
            failed.append(number)
    return failed
"""
TESTS = "def check(candidate):\n    assert candidate() == []\n"
SHOWING = "def check(candidate):\n    print(*candidate())\n"


def as_one_program(items: Sequence[tuple[str, str, str]]) -> tuple[str, str, str]:
    """(code, tests, entry point) of a program that passes when every (text, tests, entry point) in it does."""
    return f"ITEMS = {list(items)!r}\n{RUNNER}", TESTS, "failures"


def as_one_showing(items: Sequence[tuple[str, str, str]]) -> tuple[str, str, str]:
    """The same, but it passes whenever it comes to its end, and prints the numbers of those that fail."""
    return f"ITEMS = {list(items)!r}\n{RUNNER}", SHOWING, "failures"
