import random
import re

import pytest

from hornbook.tasks.grammar.concepts import Piece, fill, operand, tables

ELEMENTS = {
    "int": [-12, -3, -1, 0, 1, 2, 3, 7, 10, 12, 49, 100, 121, 128],
    "str": ["", "level", "Bob", "apple", "kitten", "Oslo", "sky", "mm"],
    "chr": list("aZe7 b-M"),
}
CONCEPTS = tables().concepts
ELEMENTWISE = [c for c in CONCEPTS.values() if c.kind in ("predicate", "transform")]
WHOLE = [c for c in CONCEPTS.values() if c.kind in ("order", "reduce") and c.takes != "bool"]


def test_there_are_enough_concepts_and_every_one_is_named_once() -> None:
    assert len(CONCEPTS) >= 150
    assert len(tables().sources) >= 20
    assert not CONCEPTS.keys() & tables().sources.keys()


@pytest.mark.parametrize("concept", ELEMENTWISE, ids=lambda c: c.name)
def test_every_spelling_of_a_concept_means_the_same(concept) -> None:
    for k in concept.values or (None,):
        piece = Piece(concept, k)
        for element in ELEMENTS[concept.takes]:
            kind = bool if concept.kind == "predicate" else type(piece.apply(element))
            for code in concept.code:
                assert kind(eval(fill(code, "element", k), {"element": element})) == piece.apply(element)


@pytest.mark.parametrize("concept", WHOLE, ids=lambda c: c.name)
def test_every_spelling_and_the_loop_of_a_reduction_mean_the_same(concept) -> None:
    rng = random.Random(concept.name)
    elements = ELEMENTS["int" if concept.takes == "any" else concept.takes]
    for _ in range(20):
        xs = [rng.choice(elements) for _ in range(rng.randrange(7))]
        k = rng.choice(concept.values) if concept.values else None
        meant = Piece(concept, k).apply(xs)
        for code in concept.code:
            assert eval(code.format(gen="xs", arg="xs", xs="xs", k=k), {"xs": xs}) == meant
        if concept.fold:
            space = {"xs": xs}
            start, done = concept.fold.start.format(), concept.fold.done.format()
            step = concept.fold.step.format(x="x", e="x", k=k).replace("\n", "\n    ")
            exec(f"{start}\nfor x in xs:\n    {step}\nanswer = {done}", space)
            assert space["answer"] == meant


def test_a_phrase_is_put_in_brackets_only_where_it_needs_them() -> None:
    assert fill("{x} ** 2", "n") == "n ** 2"
    assert fill("{x} ** 2", "n + 1") == "(n + 1) ** 2"
    assert fill("abs({e})", "n + 1") == "abs(n + 1)"
    assert operand("len(w)[0].x") == "len(w)[0].x"


def test_wordings_use_only_what_they_are_given() -> None:
    given = {"noun", "things", "bare", "each", "clause", "k"}
    for concept in CONCEPTS.values():
        assert set(re.findall(r"{(\w+)}", " ".join(concept.says))) <= given
        assert concept.kind not in ("transform", "predicate") or concept.each
        assert ("{k}" in concept.says[0]) == bool(concept.values)
