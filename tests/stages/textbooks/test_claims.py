"""Claims: what a page says its code prints is found and compared; nothing else is taken for a claim."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hornbook.sandbox import Sandbox
from hornbook.stages.textbooks.claims import agrees
from hornbook.stages.textbooks.writer import Page, judge


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(mode="fast", workers=1) as sandbox:
        yield sandbox


def claims(text: str, sandbox: Sandbox) -> list[tuple[str, str, str]]:
    return [(c.kind, c.text, c.verdict) for c in judge(Page("p", {}, text), sandbox).claims]


def code(source: str, after: str = "", before: str = "") -> str:
    return f"{before}\n```python\n{source}\n```\n{after}"


SUM = "total = 2 + 3\nprint(total)"


@pytest.mark.parametrize(
    ("source", "says", "verdict"),
    [
        ("print(2 + 3)  # 5", "5", "holds"),
        ("print(2 + 3)  # 6", "6", "wrong"),
        ("print(2 + 3)  # prints 5", "5", "holds"),
        ("print(2 + 3)  # Output: 6", "6", "wrong"),
        ("print(2 + 3)\n# -> 5", "5", "holds"),
        ("# Output: 6\nprint(2 + 3)", "6", "wrong"),
        ("print('x y')  # => x y", "x y", "holds"),
        ("print('a')  # 'a'", "'a'", "holds"),
        ("print([1, 2])  # [1,2]", "[1,2]", "holds"),
        ("print({'b': 1, 'a': 2})  # {'a': 2, 'b': 1}", "{'a': 2, 'b': 1}", "holds"),
        ("print(1, 2, 3)  # 1 2 3", "1 2 3", "holds"),
        ("print('a')\nprint('b')\n# Output:\n# b", "b", "holds"),
        ("for n in range(3):\n    print(n)\n# Output:\n# 0\n# 1\n# 3", "0\n1\n3", "wrong"),
        ("for n in range(3):\n    print(n)  # 0, 1, 2", "0, 1, 2", "holds"),
        ("def f():\n    print(5)  # 7\nf()", "7", "open"),
        ("print(None)  # None", "None", "holds"),
    ],
)
def test_comments_that_name_an_output_are_checked(
    source: str, says: str, verdict: str, sandbox: Sandbox
) -> None:
    assert claims(code(source), sandbox) == [("comment", says, verdict)]


@pytest.mark.parametrize(
    "source",
    [
        "print(2 + 3)  # prints the sum of both",
        "print(2 + 3)  # the total, 6 at most",
        "# Output: the sum of both\nprint(2 + 3)",
        "x = 5  # 6",
        "# prints each number\nfor n in range(3):\n    print(n)",
        "print('# prints 7')",
    ],
)
def test_comments_that_describe_claim_nothing(source: str, sandbox: Sandbox) -> None:
    assert claims(code(source), sandbox) == []


@pytest.mark.parametrize(
    ("sentence", "says", "verdict"),
    [
        ("It prints `5`.", "5", "holds"),
        ("This prints 6, because two and three make five.", "6", "wrong"),
        ("The output is 5.", "5", "holds"),
        ("The output of this code will be: `6`", "6", "wrong"),
        ('Running it displays "5" on the screen.', "5", "holds"),
        ("Output: `15`", "15", "wrong"),
        ("The result is printed: 6.", "6", "wrong"),
    ],
)
def test_sentences_that_name_an_output_are_checked(
    sentence: str, says: str, verdict: str, sandbox: Sandbox
) -> None:
    assert claims(code(SUM, sentence), sandbox) == [("prose", says, verdict)]
    assert claims(code(SUM, before=sentence), sandbox) == [("prose", says, verdict)]


@pytest.mark.parametrize(
    "sentence",
    [
        "It prints `total`.",
        "It prints 6 lines.",
        "If you swap them, it prints 6.",
        "It does not print 6.",
        "You might expect that it prints 6.",
        "With a bug it would print 6.",
        "It prints the total. Then 6 people cheer.",
        "It calls `print(6)`.",
        "It prints 6 to 7 numbers.",
    ],
)
def test_sentences_that_name_none_claim_nothing(sentence: str, sandbox: Sandbox) -> None:
    assert claims(code(SUM, sentence), sandbox) == []


@pytest.mark.parametrize(
    ("between", "shown", "verdict"),
    [
        ("```output", "5", "holds"),
        ("```output", "6", "wrong"),
        ("Output:\n\n```", "5", "holds"),
        ("```text", "6", "wrong"),
    ],
)
def test_a_shown_output_is_checked(between: str, shown: str, verdict: str, sandbox: Sandbox) -> None:
    assert claims(code(SUM, f"{between}\n{shown}\n```\n"), sandbox) == [("output", shown, verdict)]


def test_an_output_of_a_call_that_is_not_shown_is_open(sandbox: Sandbox) -> None:
    text = code("def f():\n    print(5)", "```output\n6\n```\n")
    assert claims(text, sandbox) == [("output", "6", "open")]


def test_a_session_that_shows_no_output_claims_none(sandbox: Sandbox) -> None:
    assert claims(code(">>> x = 2\n>>> x + 1"), sandbox) == []


def test_a_session_may_write_a_value_in_another_way(sandbox: Sandbox) -> None:
    text = code('>>> {"b": b"x", "a": 1}\n{"a": 1, "b": b"x"}\n>>> [1,\n... 2]\n[1,\n 2]')
    assert {verdict for _, _, verdict in claims(text, sandbox)} == {"holds"}


def test_each_example_of_a_session_is_checked(sandbox: Sandbox) -> None:
    text = code(
        ">>> 2 + 3\n6\n>>> 'a' * 2\n'aa'\n>>> int('x')\nTraceback (most recent call last):\nValueError: no"
    )
    found = claims(text, sandbox)
    assert [(kind, verdict) for kind, _, verdict in found] == [
        ("session", "wrong"),
        ("session", "holds"),
        ("session", "wrong"),
    ]


def test_what_did_not_run_or_prints_something_else_each_time_is_open(sandbox: Sandbox) -> None:
    assert claims(code("print(1)\nprint(missing)  # 5"), sandbox) == [("comment", "5", "open")]
    assert claims(code("import time\nprint(time.perf_counter_ns())  # 5"), sandbox) == [
        ("comment", "5", "open")
    ]


def test_a_wrong_claim_is_recorded_beside_what_was_printed(sandbox: Sandbox) -> None:
    [claim] = judge(Page("p", {}, code("print(2 + 3)  # 6")), sandbox).document().meta["claims"]
    assert claim == {"kind": "comment", "says": "6", "block": 0, "prints": "5\n", "verdict": "wrong"}


@pytest.mark.parametrize(
    ("says", "printed", "same"),
    [
        ("5", "5\n", True),
        ("a  \nb", "a\nb\n", True),
        ("1, 2, 3", "1\n2\n3\n", True),
        ('"x"', "x\n", True),
        ("{1: 'a'}", '{1: "a"}', True),
        ("[0, 1, ..., 9]", "[0, 1, 2, 3, 9]\n", True),
        ("5", "55\n", False),
        ("", "5\n", False),
        ("True", "1\n", False),
        ("1.0", "1\n", False),
        ("A", "a", False),
    ],
)
def test_two_texts_agree_up_to_blanks_quotes_and_commas(says: str, printed: str, same: bool) -> None:
    assert agrees(says, printed) is same
