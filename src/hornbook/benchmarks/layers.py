"""Layers: one task that grows a step at a time, as phi-1's authors made a network of three layers one of four.

A longer prompt alone says the same in more words (perturb.py); here each word more is one thing more to do.
"""

from __future__ import annotations

import random

from hornbook.benchmarks.plus import plus_tests
from hornbook.benchmarks.problem import Problem

LAYERS = "layers"
FEWEST, MOST = 3, 6
KINDS: tuple[tuple[str, str], ...] = (
    ("multiply every value by {n}", "[value * {n} for value in values]"),
    ("add {n} to every value", "[value + {n} for value in values]"),
    ("subtract {n} from every value", "[value - {n} for value in values]"),
    ("replace every negative value by 0", "[max(value, 0) for value in values]"),
    ("replace every value above {n} by {n}", "[min(value, {n}) for value in values]"),
    ("change the sign of every value", "[-value for value in values]"),
    ("square every value", "[value ** 2 for value in values]"),
    ("add to every value its position, counted from 0", "[value + at for at, value in enumerate(values)]"),
    ("reverse the order of the values", "values[::-1]"),
    ("leave out the first value", "values[1:]"),
)
"""What a layer does to the list `values`, in words and in code."""
INPUTS: tuple[list[list[int]], ...] = (
    [[]],
    [[4]],
    [[1, -2, 3]],
    [[-7, 12, 0, 5]],
    [[30, -30, 2, 2, -1]],
    [[9, 8, -7, 6, -5, 4, 3]],
)
SOLVED = "    values = {code}\n"


def grown(number: int, layers: int, seed: int) -> Problem:
    """Task `number` of this seed with so many layers; each is the one with a layer fewer and one layer after it."""
    chance = random.Random(f"{seed}:{LAYERS}:{number}")
    drawn = [
        (text.format(n=n), code.format(n=n))
        for text, code in chance.sample(KINDS, MOST)
        for n in [chance.randint(2, 9)]
    ][:layers]
    lines = "".join(f"    Layer {at}: {text}.\n" for at, (text, _) in enumerate(drawn, 1))
    prompt = (
        'def forward(values):\n    """Send a list of numbers through the layers of a network, one after the other,\n'
        f'    and return the list that leaves the last one.\n\n{lines}    """\n'
    )
    solution = "".join(SOLVED.format(code=code) for _, code in drawn) + "    return values\n"
    return Problem(
        id=f"{LAYERS}/{number:03d}",
        prompt=prompt,
        solution=solution,
        tests=plus_tests("forward", prompt + solution, INPUTS, [], 0),
        entry_point="forward",
        benchmark=LAYERS,
        concepts=(f"{layers} layers",),
    )


def without_last(problem: Problem) -> str:
    """Its solution without the last layer: wrong, where that layer does anything at all."""
    *lines, _, end = problem.solution.splitlines(keepends=True)
    return "".join([*lines, end])
