import pytest

from hornbook.stages.exercises.corpus import constructs


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("def f(n):\n    return n * f(n - 1) if n else 1", ("conditions", "numbers", "recursion")),
        ("for x in {1: 2}:\n    print([x])", ("dictionaries", "lists", "loops")),
        ("a = (1, set(), word.upper()[1:])", ("sets", "slicing", "strings", "tuples")),
        ("try:\n    xs.sort()\nexcept E:\n    raise", ("exceptions", "sorting")),
        ("def f(:", ()),
    ],
)
def test_constructs_are_told_by_the_syntax(source: str, found: tuple[str, ...]) -> None:
    assert constructs(source) == found
