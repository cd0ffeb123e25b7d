"""Token rows and a model -> the model trained further on them (the paper's phi-1, on CodeExercises)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import Field

from hornbook.benchmarks import Problem
from hornbook.benchmarks.heldout import HELDOUT, heldout_problems
from hornbook.benchmarks.postprocess import STOP_RULES, cut, program
from hornbook.core.context import Tools
from hornbook.core.errors import StageError
from hornbook.core.shards import Counts
from hornbook.model.config import BY_EXERCISES, Choice, TrainConfig

if TYPE_CHECKING:
    from hornbook.model.phi import Phi
    from hornbook.model.tokenizer import Tokenizer
Judge = Callable[["Phi"], float]
STOP_RULE = "top_level"
ANSWER_TOKENS = 192


class FinetuneConfig(TrainConfig):
    """How a model is trained further; the defaults are the paper's where it names a value."""

    peak_learning_rate: float = Field(1e-4, gt=0, le=1)
    warmup_steps: int = Field(50, ge=0)
    weight_decay: float = Field(0.01, ge=0, le=1)
    choose_by: Choice = "likelihood"
    """Which checkpoint becomes the model: the last; the one of the lowest loss on held-out rows (heldout_loss); or the
    best on held-out exercises, by the likelihood of their solutions or by the share solved (pass_rate)."""


def run(config: FinetuneConfig, inputs: Mapping[str, Path], out: Path, tools: Tools) -> Counts:
    """Train the model of `checkpoint` on `rows`; its tokenizer is the one the rows were made with."""
    from hornbook.model.checkpoint import load_weights
    from hornbook.model.distributed import launched, needs_launch
    from hornbook.model.loop import Lesson, train
    from hornbook.model.sequences import open_rows
    from hornbook.model.tokenizer import load_tokenizer

    if needs_launch(tools.machine):
        return launched(run, config, inputs, out, tools)
    model, tokenizer = load_weights(inputs["checkpoint"], config.dropout), load_tokenizer(inputs["tokenizer"])
    lesson = Lesson(open_rows(inputs["rows"]), tokenizer, _judge(config, inputs, tokenizer, tools))
    return train(model, lesson, config, out, tools)


def _judge(
    config: FinetuneConfig, inputs: Mapping[str, Path], tokenizer: Tokenizer, tools: Tools
) -> Judge | None:
    """What scores a checkpoint on held-out exercises, where the config chooses by them."""
    if config.choose_by not in BY_EXERCISES:
        return None
    problems = heldout_problems(inputs[HELDOUT], config.choose_exercises, tools.seed, "choose")
    if config.choose_by == "likelihood":
        return lambda model: likelihood(model, tokenizer, problems)
    return lambda model: pass_rate(model, tokenizer, problems, tools)


def likelihood(model: Phi, tokenizer: Tokenizer, problems: Sequence[Problem]) -> float:
    """The mean log-probability, in nats a character, of the problems' own solutions."""
    from hornbook.model.generate import score

    scores = score(model, tokenizer, [(problem.prompt, problem.solution) for problem in problems])
    return sum(s.log_probability / s.characters for s in scores) / len(scores)


def pass_rate(model: Phi, tokenizer: Tokenizer, problems: Sequence[Problem], tools: Tools) -> float:
    """The share of the problems whose greedy completion passes their tests."""
    from hornbook.model.generate import generate
    from hornbook.model.sampling import Sampling

    if tools.sandbox is None:
        raise StageError("finetune: choose_by is pass_rate, but no sandbox was given to execute answers in")
    length = min(ANSWER_TOKENS, model.config.context_tokens // 2)
    prompts = [problem.prompt for problem in problems]
    answers = generate(model, tokenizer, prompts, Sampling(length, stop=STOP_RULES[STOP_RULE].stops))
    programs = [program(p, cut(a.text, STOP_RULE)) for p, a in zip(problems, answers, strict=True)]
    with tools.sandbox(mode="strict") as sandbox:
        verdicts = list(sandbox.verdicts(programs))
    passed: int = sum(verdict.outcome == "passed" for verdict in verdicts)
    return passed / len(problems)
