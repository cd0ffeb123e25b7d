"""The words of an exercise: its noun phrase, sentence, note on empty input and function name."""

from __future__ import annotations

import random
import textwrap
from collections.abc import Sequence

from hornbook.tasks.grammar.styles import INDENT, Plan

VALUE_SENTENCES = (
    "Return {phrase}.",
    "Compute {phrase}.",
    "Given {given} {params}, return {phrase}.",
    "Find {phrase} and return it.",
    "Return {phrase}, where {params} is {given}.",
    "You are given {given}. Your task is to return {phrase}.",
    "Take {given} and work out {phrase}.",
    "{Phrase}.",
    "This function takes {given} and returns {phrase}.",
    "Calculate {phrase}. The input is {given}.",
    "What is asked for: {phrase}.",
    "For {given}, determine {phrase}.",
)
TRUTH_SENTENCES = (
    "Return {phrase}.",
    "Check {phrase}.",
    "Given {given} {params}, tell {phrase}.",
    "Determine {phrase}.",
    "You are given {given}. Return True or False: {phrase}.",
    "Say {phrase}. The input is {given}.",
)
STEP_SENTENCES = (
    "Take {things}, {does}, and return {sink}.",
    "Start with {things}, {does} and finally return {sink}.",
    "From {things}, {does}; the answer is {sink}.",
)
EMPTY_NOTES = (
    "Return {empty} if there are none.",
    "If nothing is left, return {empty}.",
    "The result is {empty} when there is nothing to choose from.",
)
NAMES = (
    "{sink}_of_{things}",
    "{sink}_{things}",
    "{things}_{sink}",
    "get_{sink}_of_{things}",
    "{sink}_from_{things}",
    "find_{sink}_{things}",
)
PLAIN_NAMES = (
    "solve",
    "compute",
    "process",
    "transform",
    "answer",
    "task",
    "f",
    "calculate",
    "run_steps",
    "evaluate",
)
NOUNS = {"int": "numbers", "str": "words", "chr": "characters"}


def phrase(plan: Plan) -> str:
    """What is asked for, as a noun phrase (or "whether ...")."""
    things, _ = _things(plan)
    clause = ""
    for step in plan.steps:
        if step.concept.gives == "bool" and step.concept.kind == "transform":
            clause = step.each()
        elif step.concept.kind != "predicate":
            things = step.says(things)
    each = plan.key.each("each one") if plan.key else ""
    return plan.sink.says(things, clause=clause, each=each).replace(",,", ",")


def _things(plan: Plan) -> tuple[str, int]:
    """The elements that qualify, and how many predicates say so."""
    source = plan.source
    where = source.where[plan.where % len(source.where)].format(v=plan.params[0], w=plan.params[-1])
    words = f"{source.noun[plan.noun % len(source.noun)]} {where}"
    predicates = [step for step in plan.steps if step.concept.kind == "predicate"]
    for step in predicates:
        words = step.says(words)
    return f"the {words}", len(predicates)


def sentence(plan: Plan, rng: random.Random, variety: int, step_share: float) -> str:
    """One description of the whole plan out of the first `variety` forms."""
    if plan.steps and rng.random() < step_share:
        told = _as_steps(plan, rng, variety)
        if told:
            return told
    words = phrase(plan).rstrip(",")
    forms = TRUTH_SENTENCES if words.startswith("whether") else VALUE_SENTENCES
    params = " and ".join(plan.params)
    text = rng.choice(forms[:variety]).format(
        phrase=words, Phrase=words[0].upper() + words[1:], given=plan.source.given, params=params
    )
    return text + _empty_note(plan, rng, variety)


def _as_steps(plan: Plan, rng: random.Random, variety: int) -> str:
    """The plan as instructions; empty where a step has no instruction."""
    transforms = [step for step in plan.steps if step.concept.kind != "predicate"]
    if (
        not transforms
        or plan.key
        or any(not step.concept.does or step.concept.gives == "bool" for step in transforms)
    ):
        return ""
    does = ", then ".join(step.does() for step in transforms)
    sink = plan.sink.says("the results").rstrip(",")
    text = rng.choice(STEP_SENTENCES[: max(1, variety // 4)])
    return text.format(things=_things(plan)[0], does=does, sink=sink) + _empty_note(plan, rng, variety)


def _empty_note(plan: Plan, rng: random.Random, variety: int) -> str:
    empty = plan.sink.concept.empty
    return " " + rng.choice(EMPTY_NOTES[: max(1, variety // 4)]).format(empty=empty) if empty else ""


def function_name(plan: Plan, rng: random.Random, variety: int, plain_share: float) -> str:
    """A name that tells what the function does, or now and then one that tells nothing."""
    if rng.random() < plain_share:
        return rng.choice(PLAIN_NAMES)
    transforms = [step.concept for step in plan.steps if step.concept.kind == "transform"]
    nouns = [concept.title for concept in transforms if concept.gives != "bool"]
    qualities = [step.concept.title for step in plan.steps if step.concept.kind in ("predicate", "order")]
    tests = [concept.title for concept in transforms if concept.gives == "bool"]
    noun = plan.source.noun[plan.noun % len(plan.source.noun)]
    last = nouns[-1:] or [noun if noun.isalpha() else NOUNS[plan.source.item]]
    key = [plan.key.concept.title] if plan.key else []
    form = "{things}_{sink}" if plan.key else rng.choice(NAMES[:variety])
    words = form.format(sink=plan.sink.concept.title, things="_".join([*qualities, *last, *tests]))
    return "_".join([words, *key]).lower()


def docstring(text: str, examples: Sequence[tuple[str, str]]) -> str:
    """The description and its examples as an indented docstring; ends in a newline."""
    lines = textwrap.wrap(text, 84, break_long_words=False, break_on_hyphens=False)
    shown = [line for call, result in examples for line in (f">>> {call}", result)]
    inside = [
        f"{INDENT}{line}\n" if line else "\n" for line in (*lines[1:], *([""] if shown else []), *shown)
    ]
    return f'{INDENT}"""{lines[0]}\n{"".join(inside)}{INDENT}"""\n'
