"""How much a grammar holds, counted from its tables and not from draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hornbook.tasks.grammar.compose import SHAPES, Grammar, Shape, fitting, item_after
from hornbook.tasks.grammar.concepts import Concept, tables


@dataclass(frozen=True, slots=True)
class Census:
    """What a grammar can draw; wordings, names, spellings, styles and examples multiply it and are not counted."""

    combinations: int
    """Concepts that fit each other, over elements of each type."""
    tasks: int
    """Combinations over a source: no two of them ask for the same."""
    exercises: int
    """Tasks with their numbers filled in: no two of them ask for the same either."""


def census(grammar: Grammar) -> Census:
    """The counts, exact; a few in a hundred are never used, because their results would hardly differ."""
    every = tables()
    sources = [every.sources[name] for name in grammar.sources or tuple(every.sources)]
    known = {
        (item, ordered): _total(item, ordered, grammar)
        for item, ordered in sorted({(source.item, source.ordered) for source in sources})
    }
    widest = {item: max(n for (i, _), (n, _) in known.items() if i == item) for item, _ in known}
    counted = [known[source.item, source.ordered] for source in sources]
    return Census(sum(widest.values()), sum(n for n, _ in counted), sum(n for _, n in counted))


def _total(item: str, ordered: bool, grammar: Grammar) -> tuple[int, int]:
    """(combinations, the same with their numbers) over elements of a type."""
    found = [_behind(shape, item, ordered, (), grammar) for shape in grammar.shapes or tuple(SHAPES)]
    return sum(n for n, _ in found), sum(n for _, n in found)


def _behind(
    shape: Shape, item: str, ordered: bool, before: Sequence[Concept], grammar: Grammar
) -> tuple[int, int]:
    """The ways to fill what is left of a shape, without and with numbers."""
    possible = fitting(shape[0], item, ordered, before, grammar.concepts)
    if len(shape) == 1:
        return len(possible), sum(_numbers(concept, grammar) for concept in possible)
    plain = numbered = 0
    for concept in possible:
        below = _behind(shape[1:], item_after(concept, item), ordered, (*before, concept), grammar)
        plain += below[0]
        numbered += below[1] * _numbers(concept, grammar)
    return plain, numbered


def _numbers(concept: Concept, grammar: Grammar) -> int:
    return max(1, len(concept.values[: grammar.values]))
