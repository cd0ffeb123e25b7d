"""Three problems, and a model that follows a script: what the tests of evaluation share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from hornbook.benchmarks import Problem
from hornbook.model.sampling import Completion, Sampling, Score


def add(number: int) -> Problem:
    """add_N: the sum of a value and N."""
    return Problem(
        id=f"add/{number}",
        prompt=f"def add_{number}(value):\n"
        f'    """Add {number} to a value.\n\n    >>> add_{number}(1)\n    {number + 1}\n    """\n',
        solution=f"    total = value + {number}\n    return total\n",
        tests=f"def check(candidate):\n    assert candidate(1) == {number + 1}\n"
        f"    assert candidate(-5) == {number - 5}\n",
        entry_point=f"add_{number}",
        benchmark="adding",
        concepts=("sum",),
    )


PROBLEMS = [add(1), add(20), add(300)]


class Scripted:
    """A model that solves a problem with every second seed, and counts its calls; likelihoods fall with length."""

    fingerprint = "scripted"

    def __init__(self, problems: Sequence[Problem] = PROBLEMS, tells: bool = True) -> None:
        self.solutions = {p.prompt: p.solution for p in problems}
        self.tells = tells
        self.asked = 0
        self.fail_after: int | None = None

    def complete(
        self, prompts: Sequence[str], sampling: Sampling, seeds: Sequence[int]
    ) -> Iterator[tuple[int, Completion]]:
        for n, (prompt, seed) in enumerate(zip(prompts, seeds, strict=True)):
            if self.fail_after is not None and self.asked >= self.fail_after:
                raise KeyboardInterrupt
            self.asked += 1
            solves = sampling.temperature == 0 or seed % 2
            text = self.solutions.get(prompt, "    pass\n") if solves else "    return None\n"
            yield n, Completion(f"{text}\n\nprint(1)\n", 9, "end")

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[Score] | None:
        if not self.tells:
            return None
        return [Score(-0.5 * len(c), len(c), len(c), len(c.encode())) for _, c in pairs]
