import ast

import pytest

from hornbook.benchmarks.exercise import Exercise, complexity, difficulty
from hornbook.sandbox import Limits, Sandbox
from hornbook.stages.exercises.proof import Mutation, mutation, own_mutation, refuted, stub_passes


def made(name: str, solution: str, check: str) -> Exercise:
    tests = f"def check(candidate):\n{check}"
    return Exercise(name, f'def {name}(n=0):\n    """It."""\n', solution, tests, "grammar", "passed")


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(mode="fast", limits=Limits(cpu_seconds=0.5)) as opened:
        yield opened


def test_wrong_solutions_are_found_in_their_batch(sandbox) -> None:
    good = [made(f"f{n}", f"    return {n}\n", f"    assert candidate() == {n}\n") for n in range(70)]
    wrong = made("g", "    return 0\n", "    assert candidate() == 1\n")
    endless = made("h", "    while True:\n        pass\n", "    assert candidate() == 1\n")
    found = refuted([*good, wrong, endless], sandbox)
    assert set(found) == {70, 71}
    assert found[71].startswith("timeout")


STRONG = made(
    "f",
    "    total = 0\n    while n > 0:\n        total += n\n        n -= 1\n    return total\n",
    "    assert candidate(3) == 6\n    assert candidate(0) == 0\n    assert candidate(1) == 1\n",
)
WEAK = made("g", "    return n + 1 if n > 10 else 0\n", "    assert candidate(0) == 0\n")


def test_tests_are_worth_what_they_refute_endless_versions_too(sandbox) -> None:
    strong, weak = mutation([STRONG, WEAK], 1, 30, sandbox)
    assert strong.made > 5
    assert strong.score > 0.8
    assert weak.score < 0.5
    assert own_mutation([STRONG, WEAK], 1, 30, sandbox) == strong + weak
    assert Mutation().score == 0


def test_a_stub_is_told_from_a_solution_whatever_it_is_indented_with(sandbox) -> None:
    tabs = Exercise(
        "f",
        'def f(n):\n\t"""It."""\n',
        "\tprint(n)\n",
        "def check(f):\n    assert f(1) is None\n",
        "corpus",
        "unproved",
    )
    assert stub_passes([tabs, STRONG], sandbox) == [True, False]


def test_a_document_holds_the_exercise_and_gives_it_back() -> None:
    document = STRONG.document("somewhere")
    assert Exercise.of(document) == STRONG
    assert document.meta["signature"] == "def f(n=0):"
    assert document.meta["docstring"] == "It."
    assert document.meta["solution"] == STRONG.solution
    assert (document.meta["complexity"], document.meta["difficulty"]) == (2, "easy")


@pytest.mark.parametrize(
    ("source", "ways", "level"),
    [
        ("x = 1", 1, "easy"),
        ("[x for x in y if x if not x]", 4, "medium"),
        (
            "for x in y:\n    if x and y or z:\n        pass\n    else:\n        a if b else c\nwhile 1: 1",
            7,
            "hard",
        ),
    ],
)
def test_complexity_counts_the_ways_to_branch(source: str, ways: int, level: str) -> None:
    assert complexity(ast.parse(source)) == ways
    assert difficulty(ways) == level
