import pytest

from hornbook.stages.exercises.answers import Refusal, read_function, read_tests
from hornbook.text.code import Function

ANSWER = """Here you are:
```python
import math

def root(n: int) -> int:
    '''Return the whole square root of n.'''
    return math.isqrt(n)  # a comment

print(root(16))
```
and some prose"""


def test_a_function_is_read_to_the_letter_with_the_imports_it_needs() -> None:
    found = read_function(ANSWER, "root")
    assert isinstance(found, Function)
    assert found.prompt.startswith("import math\n\n\ndef root(n: int) -> int:\n")
    assert found.solution == "    return math.isqrt(n)  # a comment\n"


def test_a_cut_off_answer_and_one_without_fences_are_read() -> None:
    body = 'def f(n):\n    """Return n."""\n    return n\n'
    assert isinstance(read_function(f"```python\n{body}", "f"), Function)
    assert isinstance(read_function(body, "f"), Function)
    assert read_function(f"```python\n{body}", "g") == Refusal("no_function", "defines f, not g")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("No.", "no_code"),
        ("```python\ndef f(:\n```", "not_python"),
        ("```python\ndef f(n):\n    return n\n```", "no_docstring"),
        ('```python\ndef f(n):\n    """It."""\n```', "no_body"),
        (
            '```python\nimport numpy\ndef f(n):\n    """It."""\n    return numpy.abs(n)\n```',
            "not_self_contained",
        ),
    ],
)
def test_what_cannot_be_used_says_why(text: str, reason: str) -> None:
    refusal = read_function(text, "f")
    assert isinstance(refusal, Refusal)
    assert refusal.reason == reason


def passes(check: str, candidate) -> bool:
    space: dict = {}
    exec(check, space)
    try:
        space["check"](candidate)
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize(
    "answer",
    [
        "```python\nassert f(1) == 2\nassert f(2) == 4\n```",
        "assert f(1) == 2\nassert f(2) == 4",
        "```python\ndef f(n):\n    return 2 * n\n```\n```python\nassert f(1) == 2\nassert f(2) == 4\n```",
        "```python\ndef test_f():\n    assert f(1) == 2\n    assert f(2) == 4\ntest_f()\n```",
        "```python\ndef check(candidate):\n    assert candidate(1) == 2\n    assert candidate(2) == 4\n```",
        "```python\nimport math\nx = math.floor(1.5)\nassert f(x) == 2\nassert f(2) == 4\nassert x == 1\n```",
    ],
)
def test_tests_are_read_in_whatever_form_they_come(answer: str) -> None:
    check = read_tests(answer, "f", 2)
    assert isinstance(check, str)
    assert passes(check, lambda n: 2 * n)
    assert not passes(check, lambda n: n + 1)


def test_asserts_that_do_not_call_the_function_or_repeat_do_not_count() -> None:
    refusal = read_tests("```python\nassert 1 == 1\nassert f(1) == 2\nassert f(1) == 2\n```", "f", 2)
    assert refusal == Refusal("few_tests", "1 asserts call f; at least 2 must")
