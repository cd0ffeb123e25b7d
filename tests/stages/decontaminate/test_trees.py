from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from hornbook.benchmarks import load
from hornbook.stages.decontaminate.trees import ProtectedTrees, edit_distance, function_trees

CLOSE = '''
def has_close(numbers: list[float], threshold: float) -> bool:
    """Whether any two numbers are closer than the threshold."""
    for i, one in enumerate(numbers):
        for j, other in enumerate(numbers):
            if i != j and abs(one - other) < threshold:
                return True
    return False
'''
RENAMED = """
def near(values, gap):
    # compare them all
    for a, x in enumerate(values):
        for b, y in enumerate(values):
            if a != b and distance(x - y) < gap:
                "found"
                return True
    return False
"""


def by_table(one: Sequence[int], other: Sequence[int]) -> int:
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        next_row = [i]
        for j, b in enumerate(other, 1):
            next_row.append(min(row[j] + 1, next_row[-1] + 1, row[j - 1] + (a != b)))
        row = next_row
    return row[-1]


def test_the_distance_is_levenshtein_s() -> None:
    draw = random.Random(1)
    for _ in range(300):
        one, other = ([draw.randrange(4) for _ in range(draw.randrange(90))] for _ in range(2))
        assert edit_distance(one, other) == by_table(one, other)


def tree(source: str) -> tuple[int, ...]:
    ((_, found),) = function_trees(source)
    return found


def test_names_comments_docstrings_and_annotations_leave_no_mark() -> None:
    assert tree(CLOSE) == tree(RENAMED)
    assert tree("def f(x):\n    return x + 1\n") == tree("@cache\ndef g(y):\n    return y + 7.5\n")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("return x + 1", "return x - 1"),
        ("return x + 1", "return x + '1'"),
        ("return x < 1", "return x <= 1"),
        ("return x", "yield x"),
        ("return [x]", "return (x,)"),
    ],
)
def test_what_a_function_does_leaves_its_mark(one: str, other: str) -> None:
    assert tree(f"def f(x):\n    {one}\n") != tree(f"def f(x):\n    {other}\n")


def test_methods_inner_functions_and_fenced_code_are_looked_into() -> None:
    inner = "class A:\n    def m(self):\n        def inner(): return 1\n        return inner\n"
    assert [function.name for function in function_trees(inner)] == ["m", "inner"]
    page = f"# Near numbers\n\nTry this:\n\n```python\n{RENAMED}```\n\nand ``` this.\n```\ndef broken(\n```\n"
    assert [function.name for function in function_trees(page)] == ["near"]
    assert not list(function_trees("no code at all, only prose"))


def test_the_nearest_is_the_one_that_comparing_all_would_find() -> None:
    sources = {problem.id: problem.prompt + problem.solution for problem in load("humaneval")}
    protected = ProtectedTrees.of(sources, min_nodes=20)
    draw = random.Random(1)
    found = 0
    for number, original in enumerate(protected.trees[:60]):
        edited = list(original)
        for _ in range(number % 12):
            edited[draw.randrange(len(edited))] = draw.choice(original)
        rates = [1 - edit_distance(edited, t) / max(len(edited), len(t)) for t in protected.trees]
        match = protected.nearest(tuple(edited), 0.85)
        found += match is not None
        assert (match.rate if match else None) == (max(rates) if max(rates) >= 0.85 else None)
    assert 20 < found < 60


def test_short_functions_are_not_protected() -> None:
    protected = ProtectedTrees.of({"a": "def add(x, y):\n    return x + y\n"}, min_nodes=20)
    assert protected.names == ()
    assert protected.nearest(tree(CLOSE), 0.1) is None
