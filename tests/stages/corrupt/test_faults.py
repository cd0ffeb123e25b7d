"""Each fault is one fault: the rest of the record is as it was, and execution finds it."""

import ast

import pytest

from hornbook.benchmarks.exercise import Exercise
from hornbook.core.records import Document
from hornbook.sandbox import Limits, Sandbox
from hornbook.stages.corrupt.corruption import Donors
from hornbook.stages.corrupt.step import DIALS

TOTAL = Exercise(
    "total_of_long",
    '''import math


def total_of_long(words: list[str]) -> int:
    """Return the total length of the words of more than three letters.

    >>> total_of_long(["abcd", "ab"])
    4
    """
''',
    "    long = [w for w in words if len(w) > 3]\n    return sum(len(w) for w in long)\n",
    "def check(candidate):\n    assert candidate(['abcd', 'ab']) == 4\n    assert candidate([]) == 0\n"
    "    assert candidate(['abc', 'abcde']) == 5\n",
    "corpus",
    "passed",
    ("strings",),
)
SHORTEST = Exercise(
    "shortest_length",
    '''def shortest_length(names: list[str]) -> int:
    """Return the length of the shortest of the names, 0 if there are none.

    >>> shortest_length(["abc", "ab"])
    2
    """
''',
    "    return min(map(len, names), default=0)\n",
    "def check(candidate):\n    assert candidate(['abc', 'ab']) == 2\n    assert candidate([]) == 0\n",
    "corpus",
    "passed",
    ("strings",),
)
OTHER = Exercise(
    "other_types",
    'def other_types(n: int) -> bool:\n    """Whether n is even."""\n',
    "    return n % 2 == 0\n",
    "def check(candidate):\n    assert candidate(2)\n    assert not candidate(3)\n",
    "corpus",
    "passed",
    ("numbers",),
)
EXERCISES = [e.document(e.name) for e in (TOTAL, SHORTEST, OTHER)]
PAGES = [
    Document(
        "Adding up is easy.\n\n```python\nvalues = [1, 2]\n```\n\nThen:\n\n```python\nprint(sum(values))\n```\nDone.\n",
        "textbooks/1",
        "textbook",
        {"topic": "sums", "area": "basics"},
    ),
    Document(
        "Words are many.\n\n```python\nprint(' '.join(['a', 'b']))\n```\nDone.\n",
        "textbooks/2",
        "textbook",
        {"topic": "words", "area": "text"},
    ),
]


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(mode="fast", limits=Limits(cpu_seconds=0.5)) as opened:
        yield opened


def proved(dial: str, documents: list[Document], sandbox, row: int = 0) -> list:
    versions = DIALS[dial][documents[row].kind](documents[row], Donors(documents, 1))
    return [c for c in versions if c.is_proved(list(sandbox.verdicts(c.programs)))]


def test_a_wrong_solution_keeps_prompt_and_tests_and_fails_them(sandbox) -> None:
    found = proved("wrong_solutions", EXERCISES, sandbox)
    assert len(found) > 3
    for candidate in found:
        wrong = Exercise.of(candidate.document)
        assert (wrong.prompt, wrong.tests, wrong.verdict) == (TOTAL.prompt, TOTAL.tests, "failed")
        assert wrong.solution != TOTAL.solution
        assert candidate.document.meta["solution"] == wrong.solution
        assert candidate.change.split(", ")[1].startswith("line ")


def test_a_version_that_means_the_same_is_not_taken_for_a_wrong_one(sandbox) -> None:
    weak = Exercise(
        **{**_fields(TOTAL), "tests": "def check(candidate):\n    assert candidate(['abcd']) == 4\n"}
    )
    versions = list(DIALS["wrong_solutions"]["exercise"](weak.document("t"), Donors([], 1)))
    good = proved("wrong_solutions", [weak.document("t")], sandbox)
    assert 0 < len(good) < len(versions)
    assert (
        proved("wrong_solutions", [Exercise(**{**_fields(TOTAL), "tests": ""}).document("t")], sandbox) == []
    )


def _fields(exercise: Exercise) -> dict:
    return {name: getattr(exercise, name) for name in Exercise.__dataclass_fields__}


def test_a_misleading_docstring_is_anothers_of_the_same_types_in_the_words_of_this_one(sandbox) -> None:
    (candidate,) = proved("misleading_docstrings", EXERCISES, sandbox)
    misled = Exercise.of(candidate.document)
    assert misled.prompt.startswith("import math\n\n\ndef total_of_long(words: list[str]) -> int:\n")
    assert "the shortest of the words" in misled.prompt
    assert '>>> total_of_long(["abc", "ab"])' in misled.prompt
    assert (misled.solution, misled.verdict) == (TOTAL.solution, "failed")
    assert "candidate(['abc', 'ab']) == 2" in misled.tests
    assert candidate.change.startswith("the docstring of shortest_length")
    assert proved("misleading_docstrings", EXERCISES, sandbox, row=2) == []


def test_missing_context_is_a_call_to_what_nothing_defines(sandbox) -> None:
    first, second = proved("missing_context", EXERCISES, sandbox)
    assert ast.parse(first.document.text)
    assert "[w for w in words if len(w) > 3]" not in first.document.text
    assert "(words)\n" in Exercise.of(first.document).solution
    assert "sum(len(w) for w in long)" not in second.document.text
    assert "which nothing defines" in first.change


def test_what_is_moved_away_is_given_no_modules() -> None:
    solution = "    root = math.isqrt(len(words)) + math.floor(2.5)\n    return root\n"
    rooted = Exercise(**{**_fields(TOTAL), "solution": solution, "tests": ""}).document("t")
    (candidate,) = DIALS["missing_context"]["exercise"](rooted, Donors([rooted], 1))
    assert "(words)\n" in candidate.document.text
    assert "(math" not in candidate.document.text


def test_without_tests_missing_context_is_there_by_construction() -> None:
    untested = Exercise(**{**_fields(TOTAL), "tests": ""}).document("t")
    candidate = next(DIALS["missing_context"]["exercise"](untested, Donors([untested], 1)))
    assert candidate.programs == ()
    assert candidate.is_proved([])


def test_a_page_with_wrong_code_prints_something_else(sandbox) -> None:
    found = proved("wrong_solutions", PAGES, sandbox)
    assert found
    assert all("Adding up is easy." in candidate.document.text for candidate in found)
    assert all(candidate.document.id != PAGES[0].id for candidate in found)


def test_a_page_with_misleading_prose_is_about_another_topic(sandbox) -> None:
    (candidate,) = proved("misleading_docstrings", PAGES, sandbox)
    assert candidate.document.text.startswith("Words are many.\n\n```python\nvalues = [1, 2]\n")
    assert "words" in candidate.change


def test_a_page_lacks_a_block_that_a_later_one_needs(sandbox) -> None:
    (candidate,) = proved("missing_context", PAGES, sandbox)
    assert "values = [1, 2]" not in candidate.document.text
    assert "print(sum(values))" in candidate.document.text
    assert proved("missing_context", PAGES, sandbox, row=1) == []
