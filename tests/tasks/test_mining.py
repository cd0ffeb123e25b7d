import pytest

from hornbook.tasks.mined import body_nodes, doctest_check, normal_form
from hornbook.text.code import self_contained_functions


def function(doc: str, body: str = "    return a + a\n"):
    indented = doc.replace("\n", "\n    ")
    (found,) = self_contained_functions(f'def f(a):\n    """{indented}\n    """\n{body}')
    return found


def passes(check: str, candidate) -> bool:
    space: dict = {}
    exec(check, space)
    try:
        space["check"](candidate)
    except AssertionError:
        return False
    return True


@pytest.mark.parametrize(
    ("example", "right", "wrong"),
    [
        (">>> f(2)\n4", lambda a: a + a, lambda a: a),
        (">>> f('ab')  # text\n'abab'", lambda a: a + a, lambda a: a),
        (">>> x = 3\n>>> f(x)\n6", lambda a: a + a, lambda a: a),
        (
            ">>> f({1: 2})\nTraceback (most recent call last):\n    ...\nTypeError: no",
            lambda a: a + a,
            lambda a: a,
        ),
        (">>> f(b'x')[0]\n120", lambda a: a + a, lambda a: b"y"),
        (">>> range(f(2))\nrange(0, 4)", lambda a: a + a, lambda a: a),
    ],
)
def test_doctests_become_asserts_that_tell_right_from_wrong(example: str, right, wrong) -> None:
    check = doctest_check(function(f"Twice.\n\n{example}"))
    assert passes(check, right)
    assert not passes(check, wrong)


@pytest.mark.parametrize(
    "doc",
    [
        "Twice.",
        "Twice.\n\n>>> for i in [1]:\n...     print(f(i))\n2",
        "Twice.\n\n>>> f('a')\n'a...'",
        "Twice.\n\n>>> x = 1",
    ],
)
def test_what_asserts_cannot_say_is_no_test(doc: str) -> None:
    assert doctest_check(function(doc)) == ""


def test_layout_and_comments_do_not_make_a_new_solution() -> None:
    plain = function("Twice.", "    b = a\n    return b + a\n")
    same = function("Two times.", "    # why\n    b = (a)\n\n    return (b +\n        a)\n")
    assert normal_form(plain.body) == normal_form(same.body)
    assert normal_form(plain.body) != normal_form("    return a + a\n")
    assert body_nodes(function("It.", "    return a\n")) == 3


def test_a_form_that_nests_too_deeply_is_the_body_itself() -> None:
    body = f"    return {' + '.join(['a'] * 1000)}\n"
    assert normal_form(body) == body
