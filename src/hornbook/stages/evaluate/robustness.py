"""Robustness: what a model loses when a prompt says the same in another way, or asks for one thing more."""

from __future__ import annotations

import ast
import hashlib
import io
import random
import re
import tokenize
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from statistics import fmean
from textwrap import wrap
from typing import Any

from hornbook.benchmarks.evalplus import plus_tests
from hornbook.benchmarks.postprocess import program
from hornbook.benchmarks.problem import Problem
from hornbook.core.scores import paired_difference, triple
from hornbook.stages.evaluate.evaluator import Evaluator, by_problem, gold_pairs
from hornbook.text.code import parse


def robustness(
    name: str,
    problems: Sequence[Problem],
    evaluator: Evaluator,
    before: Mapping[str, Mapping[str, float]],
    count: int,
) -> dict[str, Any]:
    """For each way of perturbing `count` problems: pass@1 and probability per character before, after, and the drop.

    A drop is paired, problem by problem, with its 95% interval: positive where the model did better on the original,
    None where one problem alone could show nothing of its spread.
    A perturbed problem counts once its own solution passed and an empty one failed.
    """
    seed = evaluator.drawing.seed
    drawn = sorted(problems, key=lambda p: hashlib.blake2b(f"{seed}:{p.id}".encode()).digest())[:count]
    kinds = {
        kind: _one_kind(f"{name}.{kind}", _perturbed(kind, drawn, evaluator), evaluator, before)
        for kind in PERTURBATIONS
    }
    return {"problems": len(drawn), "kinds": kinds}


def growth(evaluator: Evaluator, count: int) -> dict[str, Any]:
    """For `count` tasks of three layers, what each loses when it has four, five and six; in robustness' form.

    A task counts once its own solution passed at that length, and an empty one and one without the last layer failed.
    """
    before = _measured(f"{LAYERS}.{FEWEST}", _grown(FEWEST, evaluator, count), evaluator)
    kinds = {}
    for layers in range(FEWEST + 1, MOST + 1):
        problems = [p for p in _grown(layers, evaluator, count) if p.id in before]
        kinds[f"{layers}_layers"] = _one_kind(f"{LAYERS}.{layers}", problems, evaluator, before)
    return {"problems": len(before), "kinds": kinds}


def _grown(layers: int, evaluator: Evaluator, count: int) -> list[Problem]:
    made = [grown(number, layers, evaluator.drawing.seed) for number in range(count)]
    return _proved(made, lambda problem: ("", without_last(problem)), evaluator)


def _perturbed(kind: str, problems: Sequence[Problem], evaluator: Evaluator) -> list[Problem]:
    """The problems that can be perturbed so, each proved to be a problem still."""
    made = [made for p in problems if (made := perturb(p, kind, evaluator.drawing.seed))]
    return _proved(made, lambda problem: ("",), evaluator)


def _proved(
    problems: Sequence[Problem], wrong: Callable[[Problem], Sequence[str]], evaluator: Evaluator
) -> list[Problem]:
    """The problems whose own solution passes and whose `wrong` ones all fail."""
    tried = [(p, text, text == p.solution) for p in problems for text in (p.solution, *wrong(p))]
    verdicts = evaluator.sandbox.verdicts(program(p, text) for p, text, _ in tried)
    bad = {p.id for (p, _, right), verdict in zip(tried, verdicts, strict=True) if verdict.passed != right}
    return [problem for problem in problems if problem.id not in bad]


def _one_kind(
    label: str, problems: Sequence[Problem], evaluator: Evaluator, before: Mapping[str, Mapping[str, float]]
) -> dict[str, Any]:
    if not problems:
        return {"problems": 0}
    after = _measured(label, problems, evaluator)
    return {
        "problems": len(problems),
        "pass_at_1": _drop(after, before, "passed", evaluator.drawing.seed),
        "character_probability": _drop(after, before, "character_probability", evaluator.drawing.seed),
    }


def _measured(label: str, problems: Sequence[Problem], evaluator: Evaluator) -> dict[str, dict[str, float]]:
    """Problem's id -> the share of its attempts that passed and, where the model tells it, its likelihood."""
    tried = by_problem(evaluator.attempts(label, problems))
    gold = evaluator.gold(label, gold_pairs(problems))
    return {
        id_: {"passed": fmean(row["outcome"] == "passed" for row in rows), **gold.get(id_, {})}
        for id_, rows in tried.items()
    }


def _drop(
    after: Mapping[str, Mapping[str, float]], before: Mapping[str, Mapping[str, float]], key: str, seed: int
) -> dict[str, Any] | None:
    shared = [id_ for id_ in after if key in after[id_] and key in before.get(id_, {})]
    if not shared:
        return None
    first = {id_: float(before[id_][key]) for id_ in shared}
    second = {id_: float(after[id_][key]) for id_ in shared}
    return {
        "before": fmean(first.values()),
        "after": fmean(second.values()),
        "drop": triple(paired_difference(first, second, seed)) if len(shared) > 1 else None,
    }


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
