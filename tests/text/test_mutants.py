import ast

import pytest

from hornbook.text.mutants import RULES, mutants

SOURCE = '''def pick(words, limit=3):
    """Words longer than 3, "in" order."""
    found = []
    for i, word in enumerate(words):
        if not word or len(word) < limit and i != 0:  # skip < short
            continue
        if i > 100:
            break
        found.append(min(word, "z" * (limit - i)))
    return (found, True) if found else None
'''
HEAD = SOURCE.index("    found")


def all_of(source: str, start: int = 0) -> list:
    return mutants(source, 1, 1000, start)


def test_each_mutant_is_another_program_that_compiles_and_keeps_the_prompt() -> None:
    found = all_of(SOURCE, HEAD)
    trees = {ast.dump(ast.parse(mutant.source)) for mutant in found}
    assert len(trees) == len(found) > 20
    assert ast.dump(ast.parse(SOURCE)) not in trees
    assert all(mutant.source.startswith(SOURCE[:HEAD]) for mutant in found)
    assert {mutant.kind for mutant in found} >= set(RULES) - {"returns"}


@pytest.mark.parametrize(
    ("source", "becomes"),
    [
        ("x = a < b", "x = a <= b"),
        ("x = (a) + (b)", "x = (a) - (b)"),
        ("if a:\n    b()", "if not (a):\n    b()"),
        ("x = a and b", "x = a or b"),
        ("x = True", "x = False"),
        ("x = max(y)", "x = min(y)"),
        ("x = s.find(y)", "x = s.rfind(y)"),
        ("x = f(a, b)", "x = f(b, a)"),
        ("for x in y:\n    break", "for x in y:\n    continue"),
        (
            "def f(x):\n    if x:\n        return 1\n    return y",
            "def f(x):\n    if x:\n        return y\n    return 1",
        ),
    ],
)
def test_the_usual_mistakes_are_among_them(source: str, becomes: str) -> None:
    assert becomes in {mutant.source for mutant in all_of(source)}


def test_words_outside_ascii_and_comments_do_not_shift_the_change() -> None:
    (found,) = [m for m in all_of("é = 'ü' + a  # + b") if m.kind == "operator"]
    assert found.source == "é = 'ü' - a  # + b"
    assert found.change == "line 1: `+` becomes `-`"


def test_the_draw_is_seeded_and_a_smaller_one_is_part_of_it() -> None:
    few = mutants(SOURCE, 3, 4, HEAD)
    assert len(few) == 4
    assert few == mutants(SOURCE, 3, 4, HEAD)
    assert set(few) <= set(mutants(SOURCE, 3, 9, HEAD))
    assert mutants(SOURCE, 4, 4, HEAD) != few
    assert mutants("def f(:", 1, 5) == []


def test_what_nests_too_deeply_is_left_alone() -> None:
    """One such function must not cost the shard that it is in."""
    deep = f"def f(a):\n    return {' + '.join(['a'] * 1000)}\n"
    assert mutants(deep, seed=0, limit=3) == []
    assert mutants(deep.replace("a + " * 900, ""), seed=0, limit=3)
