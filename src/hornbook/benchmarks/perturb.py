"""The same problem put otherwise: longer, reworded, misspelt, renamed, reordered, listed, without examples, ..."""

from __future__ import annotations

import ast
import io
import random
import re
import tokenize
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from textwrap import wrap

from hornbook.benchmarks.problem import Problem
from hornbook.text.code import parse

WIDTH = 76
_EXAMPLE = re.compile(
    r"^\s*(>>>|examples?\b|for example|e\.g\.|for instance)|➞|=>|==|\breturns?\s*[\[\"'\d]|\)\s*(->|=|➞|returns)",
    re.IGNORECASE,
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?=[A-Z\"'`(])")
_WORD = re.compile(r"(?<![\w`'\"])[A-Za-z]+(?![\w`'\"(])")
SYNONYMS = {
    "return": "give back",
    "returns": "gives back",
    "given": "provided with",
    "list": "list of items",
    "string": "piece of text",
    "number": "numeric value",
    "numbers": "numeric values",
    "integer": "whole number",
    "integers": "whole numbers",
    "check": "find out",
    "find": "work out",
    "remove": "take out",
    "sum": "total",
    "largest": "biggest",
    "smallest": "least",
    "create": "make",
    "write": "come up with",
    "contains": "has",
    "elements": "entries",
    "element": "entry",
    "each": "every",
    "only": "just",
    "otherwise": "if not",
}
FILLER = (
    "The function is called with the arguments that its signature shows.",
    "It gives its result to the caller and prints nothing.",
    "It reads no file, asks no network and keeps nothing between two calls.",
    "It should work for small inputs as well as for larger ones.",
    "Readable code is preferred to clever code.",
)
UNRELATED = (
    "The team that asked for this works on a train timetable and meets every Tuesday.",
    "An earlier version of this file was written by somebody who has moved to another city.",
)
HELPER = '''def station_label(code, platform):
    """The label of a platform, as in "KX 4"."""
    return f"{code} {platform}"


'''
ARTICLES = frozenset({"a", "an", "the"})
FUNCTION_NAMES = ("solve_task", "work_out", "run_step", "answer_for")
ARGUMENT_NAMES = ("first_arg", "second_arg", "third_arg", "fourth_arg", "fifth_arg", "sixth_arg")


@dataclass(frozen=True)
class _Doc:
    """A prompt in three parts: up to its docstring's text, that text, and what follows."""

    head: str
    description: str
    examples: str
    tail: str

    @property
    def prose(self) -> str:
        return " ".join(self.description.split())

    def sentences(self) -> list[str]:
        return [part for part in _SENTENCE_END.split(self.prose) if part]

    def with_text(self, description: str) -> str:
        """The prompt with another description, wrapped and indented."""
        paragraphs = [wrap(line, WIDTH) or [""] for line in description.split("\n")]
        text = "\n    ".join(line for lines in paragraphs for line in lines)
        return f"{self.head}{text}\n    {self.examples.lstrip(chr(10) + ' ')}{self.tail}"


def _doc(problem: Problem) -> _Doc | None:
    """The docstring of the function that is asked for; None where it has none with a description."""
    begin = re.search(rf"def\s+{re.escape(problem.entry_point)}\b", problem.prompt)
    opened = re.compile(r'"""|\'\'\'').search(problem.prompt, begin.end()) if begin else None
    end = problem.prompt.rfind(opened[0]) if opened else -1
    if opened is None or end <= opened.start():
        return None
    lines = problem.prompt[opened.end() : end].split("\n")
    first = next((n for n, line in enumerate(lines) if _EXAMPLE.search(line)), len(lines))
    description = "\n".join(lines[:first]).strip()
    examples = "\n".join(lines[first:]) or ""
    if not description:
        return None
    return _Doc(problem.prompt[: opened.end()], description, examples, problem.prompt[end:])


def perturb(problem: Problem, kind: str, seed: int) -> Problem | None:
    """The problem perturbed in one way of PERTURBATIONS, or None where that way changes nothing or does not apply.

    The draw depends on seed, kind and problem alone. Solution and tests keep their meaning; whether they still hold
    is for the sandbox to say.
    """
    doc = _doc(problem)
    made = PERTURBATIONS[kind](problem, doc, random.Random(f"{seed}:{kind}:{problem.id}")) if doc else None
    if made is None or made.prompt == problem.prompt or parse(made.prompt + made.solution) is None:
        return None
    return made


def _longer(problem: Problem, doc: _Doc, chance: random.Random) -> Problem:
    filler = chance.sample(FILLER, 4)
    return replace(problem, prompt=doc.with_text(" ".join([*filler[:2], *doc.sentences(), *filler[2:]])))


def _reworded(problem: Problem, doc: _Doc, chance: random.Random) -> Problem:
    def other(found: re.Match[str]) -> str:
        word = SYNONYMS.get(found[0].lower(), found[0])
        return word.capitalize() if found[0][0].isupper() else word

    return replace(problem, prompt=doc.with_text(_WORD.sub(other, doc.prose)))


def _grammar_errors(problem: Problem, doc: _Doc, chance: random.Random) -> Problem:
    words = [_misspelt(word, chance) for word in doc.prose.split()]
    return replace(problem, prompt=doc.with_text(" ".join(word for word in words if word)))


def _misspelt(word: str, chance: random.Random) -> str:
    """Articles go, endings of verbs and plurals go, and one long word in four has two letters the wrong way round."""
    if word.lower() in ARTICLES:
        return ""
    if not word.isalpha():
        return word
    if len(word) > 4 and word.endswith("s") and chance.random() < 0.5:
        return word[:-1]
    if len(word) > 5 and chance.random() < 0.25:
        at = chance.randrange(1, len(word) - 2)
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return word


def _renamed(problem: Problem, doc: _Doc, chance: random.Random) -> Problem | None:
    whole = parse(problem.prompt + problem.solution)
    found = [
        node
        for node in (whole.body if whole else [])
        if isinstance(node, ast.FunctionDef) and node.name == problem.entry_point
    ]
    if not found:
        return None
    arguments = [one.arg for one in (*found[-1].args.posonlyargs, *found[-1].args.args)]
    names = {problem.entry_point: chance.choice(FUNCTION_NAMES)}
    names |= dict(zip(arguments, ARGUMENT_NAMES, strict=False))
    source, cut = problem.prompt + problem.solution, len(problem.prompt)
    edits = list(_edits(source, names, problem.entry_point))
    return replace(
        problem,
        prompt=_apply(source[:cut], [edit for edit in edits if edit[0] < cut]),
        solution=_apply(source[cut:], [(a - cut, b - cut, new) for a, b, new in edits if a >= cut]),
        entry_point=names[problem.entry_point],
    )


_Edit = tuple[int, int, str]
"""Characters from, to, and what takes their place."""


def _edits(source: str, names: Mapping[str, str], function: str) -> Iterator[_Edit]:
    """Where a program says the names: in its code, and in texts where a call, quotes or an underscore show them."""
    starts = [
        0,
        *accumulate(map(len, io.StringIO(source))),
    ]  # splitlines() would see more lines than tokenize
    tokens = tokenize.generate_tokens(io.StringIO(source).readline)
    before = ""
    for token in tokens:
        begin, end = starts[token.start[0] - 1] + token.start[1], starts[token.end[0] - 1] + token.end[1]
        if token.type == tokenize.NAME and token.string in names and before != ".":
            yield begin, end, names[token.string]
        elif token.type == tokenize.STRING:
            for found in _said(names, function, token.string[0] in "fF").finditer(token.string):
                yield begin + found.start(), begin + found.end(), names[found[0]]
        before = token.string


def _said(names: Mapping[str, str], function: str, is_code: bool) -> re.Pattern[str]:
    arguments = [name for name in names if name != function]
    shown = [name for name in arguments if "_" in name]
    quoted = "|".join(rf"(?<=[`'\"]){re.escape(name)}(?=[`'\"])" for name in arguments)
    plain = "|".join(rf"(?<![\w.]){re.escape(name)}(?!\w)" for name in (arguments if is_code else shown))
    called = rf"(?<![\w.]){re.escape(function)}(?=\s*\()"
    return re.compile("|".join(part for part in (called, quoted, plain) if part))


def _apply(text: str, edits: Sequence[_Edit]) -> str:
    for begin, end, new in reversed(edits):
        text = text[:begin] + new + text[end:]
    return text


def _reordered(problem: Problem, doc: _Doc, chance: random.Random) -> Problem | None:
    sentences = doc.sentences()
    if len(set(sentences)) < 2:
        return None
    order = sentences[:]
    while order == sentences:
        chance.shuffle(order)
    return replace(problem, prompt=doc.with_text(" ".join(order)))


def _numbered(problem: Problem, doc: _Doc, chance: random.Random) -> Problem | None:
    sentences = doc.sentences()
    if len(sentences) < 2:
        return None
    return replace(problem, prompt=doc.with_text("\n".join(f"{n}. {s}" for n, s in enumerate(sentences, 1))))


def _surrounded(problem: Problem, doc: _Doc, chance: random.Random) -> Problem:
    prompt = doc.with_text(" ".join([chance.choice(UNRELATED), *doc.sentences()]))
    begin = re.search(rf"^def\s+{re.escape(problem.entry_point)}\b", prompt, re.MULTILINE)
    at = begin.start() if begin else 0
    return replace(problem, prompt=prompt[:at] + HELPER + prompt[at:])


def _without_examples(problem: Problem, doc: _Doc, chance: random.Random) -> Problem | None:
    if not doc.examples.strip():
        return None
    return replace(problem, prompt=replace(doc, examples="").with_text(doc.prose))


PERTURBATIONS: dict[str, Callable[[Problem, _Doc, random.Random], Problem | None]] = {
    "longer": _longer,
    "reworded": _reworded,
    "grammar_errors": _grammar_errors,
    "renamed": _renamed,
    "reordered": _reordered,
    "numbered": _numbered,
    "irrelevant_context": _surrounded,
    "no_examples": _without_examples,
}
"""Way of perturbing -> what it makes of a problem."""
