"""Composing exercises: draw a combination of concepts, fill it in, write it, and compute its tests."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import xxhash

from hornbook.tasks.grammar.concepts import HINTS, Concept, Piece, Source, function, tables
from hornbook.tasks.grammar.inputs import DRAWS, literal
from hornbook.tasks.grammar.styles import INDENT, STYLES, Plan
from hornbook.tasks.grammar.wording import docstring, function_name, sentence

LONGEST_VALUE = 64
TRIES = 200
Shape = tuple[str, ...]
SHAPES: Mapping[Shape, int] = {
    ("predicate", "reduce"): 3,
    ("transform", "reduce"): 2,
    ("predicate", "transform", "reduce"): 6,
    ("predicate", "predicate", "reduce"): 2,
    ("predicate", "transform", "transform", "reduce"): 2,
    ("transform", "transform", "reduce"): 1,
    ("predicate", "sink"): 2,
    ("transform", "sink"): 2,
    ("predicate", "transform", "sink"): 4,
    ("order", "reduce"): 1,
    ("order", "sink"): 1,
    ("predicate", "order", "reduce"): 2,
    ("predicate", "transform", "order", "reduce"): 2,
    ("test", "reduce"): 1,
    ("predicate", "test", "reduce"): 2,
    ("transform", "test", "reduce"): 2,
    ("keyed", "key"): 2,
    ("predicate", "keyed", "key"): 3,
}
"""Slots of a combination -> how often it is drawn. "sink" is an order that ends it, "test" a predicate that is
asked of each element instead of selecting, "key" the transform of a keyed sink."""


@dataclass(frozen=True, slots=True)
class Grammar:
    """A part of the grammar; empty tuples mean everything."""

    sources: tuple[str, ...] = ()
    concepts: tuple[str, ...] = ()
    shapes: tuple[Shape, ...] = ()
    styles: tuple[str, ...] = ()
    sentences: int = 99
    spellings: int = 99
    """How many forms of a sentence, and how many spellings of everything else, are in use."""
    names: int = 99
    values: int = 99
    """How many of the numbers that a concept may take are in use."""
    examples: int = 2
    """Examples in a docstring, at most."""
    step_share: float = 0.2
    plain_share: float = 0.1
    """Share of descriptions told as steps, and of functions whose name tells nothing."""


GRAMMARS: Mapping[str, Grammar] = {
    "core": Grammar(
        sources=("list_of_numbers",),
        concepts=(
            "even",
            "odd",
            "positive",
            "negative",
            "above",
            "below",
            "at_least",
            "divisible",
            "one_digit",
            "two_digit",
            "nonzero",
            "indivisible",
            "square",
            "cube",
            "double",
            "triple",
            "plus",
            "minus",
            "times",
            "negation",
            "magnitude",
            "half",
            "modulo",
            "last_digit",
            "sum",
            "product",
            "maximum",
            "minimum",
            "spread",
            "first",
            "last",
            "mean",
            "distinct_count",
            "squared_sum",
        ),
        shapes=(("predicate", "transform", "reduce"),),
        styles=("comprehension", "loop"),
        sentences=4,
        spellings=1,
        names=2,
        values=1,
        examples=1,
        plain_share=0.0,
    ),
    "full": Grammar(),
}


@dataclass(frozen=True, slots=True)
class Composed:
    """A prompt in HumanEval form, the body that completes it, and tests in HumanEval form."""

    name: str
    prompt: str
    solution: str
    tests: str
    concepts: tuple[str, ...]
    """Its combination, then what is not part of one: source and style."""
    combination: str


@dataclass(frozen=True, slots=True)
class Combination:
    """A source and concepts whose types fit; `key` leaves the source out."""

    source: Source
    concepts: tuple[Concept, ...]

    @property
    def key(self) -> str:
        return "+".join(concept.name for concept in self.concepts)


def is_heldout(key: str, share: float) -> bool:
    """Whether a combination is kept for evaluation alone: decided by its set of concepts, whatever the seed."""
    concepts = "+".join(sorted(key.split("+")))
    return xxhash.xxh3_64_intdigest(concepts.encode()) % 10**6 < share * 10**6


def compose(
    grammar: Grammar, rng: random.Random, heldout_share: float = 0.0, heldout: bool = False
) -> Composed:
    """One exercise whose combination is (or is not) held out; the same generator gives the same exercise."""
    for _ in range(TRIES):
        combination = _combination(grammar, rng)
        if combination and is_heldout(combination.key, heldout_share) == heldout:
            exercise = _exercise(combination, grammar, rng)
            if exercise:
                return exercise
    raise ValueError(
        f"no exercise in {TRIES} draws: heldout_share {heldout_share} leaves too few combinations"
    )


def _combination(grammar: Grammar, rng: random.Random) -> Combination | None:
    """A random shape with a concept in each slot, or None where types lead nowhere."""
    shapes = grammar.shapes or tuple(SHAPES)
    (shape,) = rng.choices(shapes, [SHAPES[shape] for shape in shapes])
    source = tables().sources[rng.choice(grammar.sources or tuple(tables().sources))]
    concepts: list[Concept] = []
    item = source.item
    for slot in shape:
        possible = fitting(slot, item, source.ordered, concepts, grammar.concepts)
        if not possible:
            return None
        concepts.append(rng.choice(possible))
        item = item_after(concepts[-1], item)
    return Combination(source, tuple(concepts))


def fitting(
    slot: str, item: str, ordered: bool, before: Sequence[Concept], names: tuple[str, ...]
) -> list[Concept]:
    """What can stand in a slot behind other concepts, where elements are of a type and perhaps in an order."""
    return [
        concept
        for concept in _slot(slot, item, names)
        if concept not in before and (ordered or not concept.ordered) and _sensible(concept, before)
    ]


def _sensible(concept: Concept, before: Sequence[Concept]) -> bool:
    """Whether what comes before makes a difference to a concept."""
    if concept.blind and any(c.kind != "predicate" for c in before):
        return False
    return concept.ordered or concept.kind != "reduce" or not (before and before[-1].permutes)


@lru_cache(maxsize=4096)
def _slot(slot: str, item: str, names: tuple[str, ...]) -> tuple[Concept, ...]:
    """What can stand in a slot where elements are of a type."""
    kind = {"sink": "order", "test": "predicate", "key": "transform"}.get(slot, slot)
    fitting = [
        concept
        for concept in tables().of_kind(kind)
        if (concept.takes == item or (concept.takes == "any" and item != "bool"))
        and (slot != "order" or not concept.final)
        and (not names or concept.name in names)
    ]
    return tuple(_asked(concept) for concept in fitting) if slot == "test" else tuple(fitting)


@lru_cache(maxsize=1024)
def _asked(predicate: Concept) -> Concept:
    """The predicate as a transform to True or False."""
    return replace(predicate, kind="transform", gives="bool")


def item_after(concept: Concept, item: str) -> str:
    """The type of the elements behind a concept."""
    return item if concept.gives == "same" or concept.kind in ("predicate", "keyed") else concept.gives


def _exercise(combination: Combination, grammar: Grammar, rng: random.Random) -> Composed | None:
    """The combination filled in and written, or None where its results say too little."""
    plan = _plan(combination, grammar, rng)
    cases = _cases(plan, rng)
    if cases is None:
        return None
    plan = replace(plan, name=function_name(plan, rng, grammar.names, grammar.plain_share))
    style, body = _body(plan, grammar, rng)
    text = sentence(plan, rng, grammar.sentences, grammar.step_share)
    shown = _examples(cases, rng)[: grammar.examples]
    examples = [(f"{plan.name}({', '.join(map(literal, args))})", literal(result)) for args, result in shown]
    names = tuple(dict.fromkeys(concept.name for concept in combination.concepts))
    return Composed(
        name=plan.name,
        prompt=_signature(plan, combination) + docstring(text, examples),
        solution="".join(f"{INDENT}{line}\n" if line else "\n" for line in body),
        tests=_tests(cases),
        concepts=(*names, combination.source.name, style),
        combination=combination.key,
    )


def _plan(combination: Combination, grammar: Grammar, rng: random.Random) -> Plan:
    """Numbers, spellings, wordings and names for a combination."""

    def pick(count: int) -> int:
        return rng.randrange(min(count, grammar.spellings)) if count else 0

    source = combination.source
    pieces = [
        Piece(
            c,
            rng.choice(c.values[: grammar.values]) if c.values else None,
            pick(len(c.code)),
            pick(len(c.says)),
        )
        for c in combination.concepts
    ]
    key = pieces.pop() if pieces[-2:-1] and pieces[-2].concept.kind == "keyed" else None
    sink = pieces.pop()
    taken = {"value", source.local, *_assigned(sink)}
    params = _free_choice(source.params, taken, pick)
    variable = _free_choice(source.variables, taken | set(params.split(", ")), pick)
    local = _free_choice(("selected", "items", "kept", "chosen"), taken, pick)
    return Plan(
        name="",
        source=source,
        params=tuple(params.split(", ")),
        steps=tuple(pieces),
        sink=sink,
        variable=variable,
        local=local,
        key=key,
        source_spelling=pick(len(source.code)),
        noun=pick(len(source.noun)),
        where=pick(len(source.where)),
    )


def _assigned(sink: Piece) -> set[str]:
    """The names that the sink's loop binds."""
    fold = sink.concept.fold
    names = fold.start.partition("=")[0].split(",") if fold else ["result"]
    return {name.strip() for name in names} | ({"previous"} if fold and "previous" in fold.step else set())


def _free_choice(names: tuple[str, ...], taken: set[str], pick: Any) -> str:
    free = [name for name in names if not set(name.split(", ")) & taken]
    return str(free[pick(len(free))])


Case = tuple[tuple[Any, ...], Any]


def _cases(plan: Plan, rng: random.Random) -> list[Case] | None:
    """The smallest arguments and random ones with their results; None where the results hardly differ."""
    draws = [DRAWS[kind] for kind in plan.source.draw]
    cases: list[Case] = [(smallest := tuple(least for least, _ in draws), _result(plan, smallest))]
    seen = {literal(smallest)}
    for _ in range(12):
        args = tuple(draw(rng) for _, draw in draws)
        result = _result(plan, args)
        if literal(args) not in seen and len(literal(result)) <= LONGEST_VALUE and len(cases) < 7:
            seen.add(literal(args))
            cases.append((args, result))
    distinct = len({literal(result) for _, result in cases[1:]})
    enough = 2 if isinstance(cases[0][1], bool) else 3
    return cases if len(cases) >= 6 and distinct >= enough else None


def _result(plan: Plan, args: tuple[Any, ...]) -> Any:
    """What the plan means for some arguments, from the meanings of its pieces alone."""
    items = list(function(f"lambda v, w=None: {plan.source.code[0].format(v='v', w='w')}")(*args))
    for step in plan.steps:
        if step.concept.kind == "predicate":
            items = [item for item in items if step.apply(item)]
        elif step.concept.kind == "transform":
            items = [step.apply(item) for item in items]
        else:
            items = step.apply(items)
    return plan.sink.apply_keyed(items, plan.key) if plan.key else plan.sink.apply(items)


def _body(plan: Plan, grammar: Grammar, rng: random.Random) -> tuple[str, list[str]]:
    """The solution in the first style of a random order that can express it."""
    styles = list(grammar.styles or STYLES)
    rng.shuffle(styles)
    for style in [*styles, "comprehension", "loop"]:
        lines = STYLES[style](plan)
        if lines is not None:
            return style, lines
    raise AssertionError(
        f"no style writes {[step.concept.name for step in plan.steps]} {plan.sink.concept.name}"
    )


def _examples(cases: list[Case], rng: random.Random) -> list[Case]:
    """One or two telling cases: results that differ, and are not empty where that can be."""
    telling = [case for case in cases[1:] if case[1]] or cases[1:]
    first = min(telling[:3], key=lambda case: len(literal(case[0])))
    if rng.random() < 0.5:
        return [first]
    others = [case for case in cases[1:] if literal(case[1]) != literal(first[1])]
    return [first, *others[:1]]


def _tests(cases: list[Case]) -> str:
    lines = [
        f"    assert candidate({', '.join(map(literal, args))}) == {literal(result)}\n"
        for args, result in cases
    ]
    return "def check(candidate):\n" + "".join(lines)


def _signature(plan: Plan, combination: Combination) -> str:
    item = combination.source.item
    for concept in combination.concepts[: -2 if plan.key else -1]:
        item = item_after(concept, item)
    gives = plan.sink.concept.gives
    if plan.sink.concept.kind == "reduce":
        result = item if gives == "same" else gives
    elif plan.sink.concept.final or plan.key:
        value = plan.key.concept.gives if plan.key else ""
        result = gives.format(item=HINTS.get(item, item), value=HINTS.get(value, value))
    else:
        result = f"list[{HINTS.get(item, item)}]" if gives == "same" else f"list[{gives}]"
    if plan.sink.concept.name == "in_order":
        result = f"list[{HINTS.get(item, item)}]"
    params = ", ".join(f"{name}: {hint}" for name, hint in zip(plan.params, plan.source.hints, strict=True))
    return f"def {plan.name}({params}) -> {HINTS.get(result, result)}:\n"


def combinations(grammar: Grammar, rng: random.Random, draws: int) -> Iterator[str]:
    """The combinations that some draws give, as keys."""
    for _ in range(draws):
        drawn = _combination(grammar, rng)
        if drawn:
            yield drawn.key
