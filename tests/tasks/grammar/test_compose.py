import ast
import doctest
import random
from collections import Counter

import pytest

from hornbook.stages.exercises.teacher import themes
from hornbook.tasks.grammar import GRAMMARS, compose, is_heldout
from hornbook.tasks.grammar.compose import SHAPES, combinations
from hornbook.tasks.grammar.concepts import tables
from hornbook.tasks.grammar.styles import STYLES

SHARE = 0.1


def drawn(breadth, count, heldout=False, seed=3):
    rngs = (random.Random(f"{seed}:{i}") for i in range(count))
    return [compose(GRAMMARS[breadth], rng, SHARE, heldout) for rng in rngs]


@pytest.fixture(scope="module")
def full():
    return drawn("full", 1500)


@pytest.fixture(scope="module")
def core():
    return drawn("core", 800)


def failure(exercise) -> str:
    space = {}
    try:
        exec(exercise.prompt + exercise.solution, space)
        exec(exercise.tests, space)
        space["check"](space[exercise.name])
    except Exception as error:
        return f"{error!r}\n{exercise.prompt}{exercise.solution}{exercise.tests}"
    return ""


def test_every_solution_passes_its_tests(full, core) -> None:
    assert [f for f in map(failure, [*full, *core]) if f] == []


def test_a_body_that_does_nothing_fails_every_test_set(full) -> None:
    for exercise in full:
        space = {}
        exec(exercise.prompt + "    return None\n" + exercise.tests, space)
        with pytest.raises(AssertionError):
            space["check"](space[exercise.name])


def test_the_examples_in_docstrings_are_true(full) -> None:
    for exercise in full[:400]:
        space = {}
        exec(exercise.prompt + exercise.solution, space)
        (test,) = (t for t in doctest.DocTestFinder().find(space[exercise.name], globs=space) if t.examples)
        for example in test.examples:
            assert eval(example.source, space) == ast.literal_eval(
                example.want.replace("set()", "{*()}")
            ) or (example.want == "set()\n")


def test_an_exercise_has_the_form_of_humaneval(full, core) -> None:
    for exercise in [*full, *core]:
        (function,) = ast.parse(exercise.prompt + exercise.solution).body
        assert isinstance(function, ast.FunctionDef)
        assert function.name == exercise.name
        assert function.returns is not None
        assert all(arg.annotation for arg in function.args.args)
        assert ">>> " in ast.get_docstring(function)
        assert exercise.prompt.endswith('"""\n')
        assert exercise.tests.count("    assert candidate(") >= 5
        assert not any(line != line.rstrip() for line in exercise.prompt.split("\n"))
        assert ".." not in exercise.prompt.replace("...", "")
        assert "{" not in ast.get_docstring(function).split(">>>")[0]


def test_type_hints_name_the_type_of_the_result(full) -> None:
    for exercise in full:
        hint = ast.unparse(ast.parse(exercise.prompt + "    pass").body[0].returns).partition("[")[0]
        space = {}
        exec(exercise.prompt + exercise.solution, space)
        calls = [n for n in ast.walk(ast.parse(exercise.tests)) if isinstance(n, ast.Compare)]
        for call in calls:
            value = eval(ast.unparse(call.left), {"candidate": space[exercise.name]})
            assert type(value).__name__ == hint, exercise.prompt


def test_the_same_number_gives_the_same_exercise() -> None:
    assert drawn("full", 20) == drawn("full", 20)
    assert drawn("full", 20) != drawn("full", 20, seed=4)


def test_held_out_combinations_never_occur_in_training_but_their_concepts_do(core) -> None:
    heldout = drawn("core", 200, heldout=True)
    trained = {exercise.combination for exercise in core}
    assert not trained & {exercise.combination for exercise in heldout}
    assert all(is_heldout(exercise.combination, SHARE) for exercise in heldout)
    known = {name for exercise in core for name in exercise.combination.split("+")}
    assert {name for exercise in heldout for name in exercise.combination.split("+")} <= known
    assert len({exercise.combination for exercise in heldout}) > 60


def test_the_order_of_concepts_and_the_source_do_not_let_a_combination_slip_through(full) -> None:
    for exercise in full:
        parts = exercise.combination.split("+")
        assert is_heldout(exercise.combination, 0.5) == is_heldout("+".join(reversed(parts)), 0.5)
    names = set(tables().sources)
    assert not any(set(exercise.combination.split("+")) & names for exercise in full)


def test_the_whole_grammar_is_in_use(full) -> None:
    used = {name for exercise in [*full, *drawn("full", 4000, seed=5)] for name in exercise.concepts}
    assert used >= set(STYLES)
    assert used >= set(tables().sources)
    assert used >= set(tables().concepts)


def test_there_are_many_combinations() -> None:
    found = set(combinations(GRAMMARS["full"], random.Random(1), 30_000))
    assert len(found) > 15_000
    assert {len(shape) for shape in SHAPES} == {2, 3, 4}


def test_exercises_differ(full) -> None:
    assert len({exercise.prompt for exercise in full}) == len(full)
    assert len({exercise.name for exercise in full}) > 700


def test_names_for_a_teacher_are_distinct_and_seeded() -> None:
    some = themes(300, 1)
    assert len({theme.name for theme in some}) == 300
    assert some == themes(300, 1)
    assert some != themes(300, 2)
    assert themes(5, 1) == some[:5]
    with pytest.raises(ValueError, match="names are wanted"):
        themes(10**8, 1)


def test_names_of_the_same_words_are_one_name() -> None:
    many = themes(20_000, 2)
    words = [tuple(sorted(w.removesuffix("s") for w in theme.name.split("_"))) for theme in many]
    assert len(set(words)) == len(words)
    assert all(theme.name.isidentifier() for theme in many)


def test_every_pair_of_concept_and_difficulty_is_asked_for_equally_often() -> None:
    pairs = Counter((theme.concept, theme.difficulty) for theme in themes(480, 3))
    assert len(pairs) == 48
    assert set(pairs.values()) == {10}
