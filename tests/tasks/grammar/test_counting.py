import random

from counting import Census, census

from hornbook.tasks.grammar import GRAMMARS, compose
from hornbook.tasks.grammar.compose import combinations
from hornbook.tasks.grammar.concepts import tables
from hornbook.tasks.grammar.styles import STYLES

FULL = GRAMMARS["full"]


def test_the_count_is_what_can_be_drawn() -> None:
    core = GRAMMARS["core"]
    drawn = set(combinations(core, random.Random(1), 30_000))
    assert census(core) == Census(len(drawn), len(drawn), len(drawn))


def test_numbers_multiply_the_count() -> None:
    """Two numbers for each of the concepts that take one: each such concept counts twice."""
    core = GRAMMARS["core"]
    drawn = [key.split("+") for key in set(combinations(core, random.Random(1), 30_000))]
    twice = type(core)(**{**{name: getattr(core, name) for name in core.__dataclass_fields__}, "values": 2})
    concepts = tables().concepts
    ways = [2 ** sum(len(concepts[name].values) > 1 for name in key) for key in drawn]
    assert census(twice).exercises == sum(ways)


def test_there_are_millions_of_different_exercises() -> None:
    found = census(FULL)
    assert found.combinations > 1_000_000
    assert found.tasks > 10_000_000
    assert found.exercises > 500_000_000


def test_there_are_more_than_150_concepts_of_every_kind() -> None:
    concepts, sources = tables().concepts, tables().sources
    assert len(concepts) >= 150
    hints = {hint for source in sources.values() for hint in source.hints}
    results = {concept.gives for concept in concepts.values()}
    assert {hint.partition("[")[0] for hint in hints} == {"int", "str", "list", "tuple", "set", "dict"}
    assert {"dict", "set", "tuple"} <= {gives.partition("[")[0] for gives in results}
    assert {concept.takes for concept in concepts.values()} >= {"int", "str", "chr", "any"}
    assert {"recursion", "loop", "while_loop", "guarded_loop", "comprehension", "functional"} <= set(STYLES)


def test_every_concept_is_solved_in_several_styles() -> None:
    styles: dict[str, set[str]] = {name: set() for name in tables().concepts}
    for number in range(6000):
        *names, _, style = compose(FULL, random.Random(f"styles:{number}")).concepts
        for name in names:
            styles[name].add(style)
    assert min(len(found) for found in styles.values()) >= 3
