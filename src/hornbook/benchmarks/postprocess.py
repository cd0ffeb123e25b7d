"""From what a model wrote to a verdict: where a completion ends, what runs, and how it failed."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from hornbook.benchmarks.problem import Problem
from hornbook.sandbox import Program, Verdict


@dataclass(frozen=True, slots=True)
class StopRule:
    """A completion ends before the first line that `pattern` matches; writing may stop early at any of `stops`."""

    pattern: str
    stops: tuple[str, ...]


STOP_RULES: dict[str, StopRule] = {
    "top_level": StopRule(
        r"^[A-Za-z_@#]",
        ("\ndef ", "\nclass ", "\n@", "\n#", "\nfrom ", "\nimport ", "\nif ", "\nfor ", "\nprint("),
    ),
    "human_eval": StopRule(r"^(?:class|def|#|if|print)", ("\nclass", "\ndef", "\n#", "\nif", "\nprint")),
}
"""Where a completion ends, by name.

top_level ends it where the function has ended: at code or a comment that starts at the left margin.
human_eval is the rule of the Codex paper (arXiv 2107.03374, section 2.1).
"""
FAILURES: dict[str, str] = {
    "SyntaxError": "syntax",
    "IndentationError": "syntax",
    "TabError": "syntax",
    "NameError": "name",
    "UnboundLocalError": "name",
    "AttributeError": "attribute",
    "ImportError": "import",
    "ModuleNotFoundError": "import",
    "AssertionError": "assertion",
    "TypeError": "type",
    "IndexError": "lookup",
    "KeyError": "lookup",
    "ValueError": "value",
    "RecursionError": "recursion",
}
"""Exception -> kind of failure; other exceptions are "other"."""
_EXCEPTION = re.compile(r"\b([A-Z]\w*(?:Error|Exception|Interrupt|Exit|Iteration|Warning))\b")
BOUNDARIES: dict[str, Callable[[str], str]] = {
    "as_is": lambda prompt: prompt,
    "stripped": lambda prompt: prompt.rstrip("\n"),
}
"""Where a prompt ends and a completion begins, by name: as the benchmark has it, or without its last newlines."""


def shown(problem: Problem, boundary: str) -> Problem:
    """The same problem with the boundary elsewhere: what its prompt loses, its solution begins with."""
    prompt = BOUNDARIES[boundary](problem.prompt)
    return replace(problem, prompt=prompt, solution=problem.prompt[len(prompt) :] + problem.solution)


def cut(text: str, stop_rule: str, after: str = "\n") -> str:
    """The text up to the first line that ends it by this rule of STOP_RULES.

    `after` is what it goes on from: where that does not end a line, the text's beginning is no line's beginning.
    """
    pattern = re.compile(STOP_RULES[stop_rule].pattern, re.MULTILINE)
    for found in pattern.finditer(text):
        if found.start() or after.endswith("\n"):
            return text[: found.start()]
    return text


def program(problem: Problem, completion: str, cpu_seconds: float = 0.0) -> Program:
    """What the sandbox judges: the prompt with this completion against the problem's tests, within its time limit."""
    return Program(problem.prompt + completion, problem.tests, problem.entry_point, cpu_seconds)


def failure_kind(completion: str, verdict: Verdict) -> str:
    """One word for how it failed, to count by: empty, syntax, name, assertion, timeout, ...; "" if it passed."""
    if verdict.passed:
        return ""
    if not completion.strip():
        return "empty"
    if verdict.outcome != "failed":
        return verdict.outcome
    raised = _EXCEPTION.search(verdict.reason)
    return FAILURES.get(raised.group(1), "other") if raised else "other"
