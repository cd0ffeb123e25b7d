"""evaluate: prove the evaluator, let a model answer, judge by execution, and measure the gold solutions' likelihood."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import Field, field_validator, model_validator

from hornbook.benchmarks import Problem, benchmark_hashes, check_names, label, load
from hornbook.benchmarks.heldout import CHOOSING_SHARE, HELDOUT, heldout_problems
from hornbook.benchmarks.postprocess import BOUNDARIES, STOP_RULES
from hornbook.benchmarks.proof import prove
from hornbook.core.context import Tools
from hornbook.core.errors import StageError
from hornbook.core.settings import Config
from hornbook.core.shards import Counts, write_json
from hornbook.model.precision import Taking, take
from hornbook.stages.evaluate import grading
from hornbook.stages.evaluate.evaluator import FILE, Completions, Drawing, Evaluator, Limits
from hornbook.stages.evaluate.library_probes import EMERGENCE, count_imports, emergence
from hornbook.stages.evaluate.minimal_pairs import add_margins, failing_mutants, margins
from hornbook.stages.evaluate.models import (
    Checkpoint,
    Model,
    ModelConfig,
    Surroundings,
    identify,
    open_model,
)
from hornbook.stages.evaluate.models import revisions as of_model
from hornbook.stages.evaluate.models import settled as of_model_settled
from hornbook.stages.evaluate.robustness import LAYERS, growth, robustness
from hornbook.stages.evaluate.scores import score_suite
from hornbook.teachers import FailureCap, Forecast, load_prompt

SCORES = "scores.json"
FINETUNED_ON = "finetuned_on."
"""Inputs that begin so are the datasets of the finetuning mix."""


class GradeConfig(Config):
    """Who grades answers, how many of them, and how often each."""

    grader: str = Field(min_length=1)
    """The grading model; the machine file says where it answers, as for every teacher."""
    problems: int = Field(50, ge=1)
    """Answers graded on each benchmark: the first attempts at problems drawn by a seeded hash."""
    repeats: int = Field(3, ge=1, le=100)
    """Grades of each answer, which are averaged."""
    prompt: str = "grade"
    """A prompt that comes with hornbook, or a text file with $prompt and $solution in it."""
    max_answer_tokens: int = Field(512, ge=16)
    """Longest argument with its grades."""
    max_failed_share: float = Field(0.1, ge=0, le=1)
    """The stage stops when more than this share of the grades could not be had or read."""


class EvaluateConfig(Config):
    """Which problems, how answers are drawn and where they end."""

    benchmarks: list[str] = Field(["humaneval"])
    """Benchmarks (a name, or NAME:FILE), each judged by execution and by the likelihood of its own solutions."""
    heldout_problems: int = Field(200, ge=0)
    """Exercises of combinations that no model was trained on, drawn by a seeded hash."""
    samples: int = Field(1, ge=1, le=1000)
    """Attempts at each problem; raised later, only the new ones are drawn."""
    temperature: float = Field(0.0, ge=0, le=10)
    """0 takes the likeliest token; several attempts need more."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Draw from the likeliest tokens that together have this probability."""
    pass_at: list[int] = Field([1, 10, 100])
    """The k of each pass@k that is reported; those above samples are left out."""
    max_answer_tokens: int = Field(192, ge=1)
    """Longest completion; a prompt that leaves less room in the model's context loses its beginning."""
    stop_rule: str = "top_level"
    """Where a completion ends: top_level (any line at the left margin) or human_eval (the Codex paper's words)."""
    boundaries: list[str] = Field(["as_is"], min_length=1)
    """Where a prompt ends: as_is, or stripped of its last newlines; the first counts, others are reported beside it."""
    mutants: int = Field(0, ge=0, le=50)
    """Wrong versions of each solution, executed and failing, that the solution's likelihood is held against."""
    robustness_problems: int = Field(0, ge=0)
    """Problems of each benchmark that are also asked in eight other wordings, and tasks that grow from three layers
    to six; 0: none."""
    probes: bool = False
    """Ask for uses of libraries that the finetuning set never imports."""
    grade: GradeConfig | None = None
    """Let a teacher grade answers; left out, none does."""
    batch_problems: int = Field(64, ge=1)
    """Attempts written side by side; a killed evaluation resumes after the last whole batch."""
    cpu_seconds: float = Field(3.0, gt=0, le=600)
    """Processor time one program may take."""

    @field_validator("benchmarks")
    @classmethod
    def _are_registered(cls, names: list[str]) -> list[str]:
        return check_names(names)

    @field_validator("stop_rule")
    @classmethod
    def _is_a_rule(cls, name: str) -> str:
        if name not in STOP_RULES:
            raise ValueError(f"no rule {name!r}; known: {', '.join(STOP_RULES)}")
        return name

    @field_validator("boundaries")
    @classmethod
    def _are_boundaries(cls, names: list[str]) -> list[str]:
        for name in names:
            if name not in BOUNDARIES:
                raise ValueError(f"no boundary {name!r}; known: {', '.join(BOUNDARIES)}")
        if len(set(names)) < len(names):
            raise ValueError(f"{', '.join(names)} names one twice")
        return names

    @field_validator("pass_at")
    @classmethod
    def _are_counts(cls, ks: list[int]) -> list[int]:
        if any(k < 1 for k in ks):
            raise ValueError("each k should be 1 or more")
        return ks

    @model_validator(mode="after")
    def _differ(self) -> Self:
        if self.samples > 1 and self.temperature == 0:
            raise ValueError(
                f"samples is {self.samples}, but at temperature 0 they would be one attempt; set a temperature"
            )
        return self


class OtherModelConfig(EvaluateConfig):
    """The same, of a model made elsewhere."""

    name: str
    model: ModelConfig


def identity(config: EvaluateConfig, cache: Path) -> Mapping[str, str]:
    """The content of every benchmark it reads, of a model made elsewhere, of the grader's prompt."""
    found = dict(benchmark_hashes(config.benchmarks))
    if isinstance(config, OtherModelConfig):
        found["model"] = identify(config.model)
    if config.grade:
        found["prompt"] = load_prompt(config.grade.prompt, ("prompt", "solution")).sha256
    return found


def revisions(config: EvaluateConfig) -> Mapping[str, str]:
    """The branch that a model made elsewhere is taken at, and its commit."""
    return of_model(config.model) if isinstance(config, OtherModelConfig) else {}


C = TypeVar("C", bound=EvaluateConfig)


def settled(config: C, taking: Taking) -> C:
    """The config with the precision that a model made elsewhere is evaluated in."""
    if not isinstance(config, OtherModelConfig):
        return config
    return config.model_copy(update={"model": of_model_settled(config.model, taking)})


def asks(config: EvaluateConfig, inputs: Mapping[str, Path], seed: int) -> Forecast:
    """What a grader will be asked, with own solutions in place of answers that are not there yet."""
    if not config.grade:
        return Forecast(())
    grader = _grader(config.grade, None, 0)
    suites = [load(name) for name in config.benchmarks]
    guess = "own solutions stand for answers"
    if config.heldout_problems and HELDOUT in inputs:
        suites.append(heldout_problems(inputs[HELDOUT], config.heldout_problems, seed, "evaluate"))
    elif config.heldout_problems:
        guess += "; those to held-out exercises, which are not there yet, come on top"
    drawn = [problem for suite in suites for problem in grading.draw(suite, config.grade.problems, seed)]
    return Forecast.of([ask for problem in drawn for ask in grader.asks(problem, problem.solution)], guess)


def require_feasible(config: EvaluateConfig, heldout: int | None, context: int | None) -> None:
    """ValueError where `heldout` exercises are too few, or models of this context could not finish an answer."""
    evaluated = None if heldout is None else heldout * (1 - CHOOSING_SHARE)
    if evaluated is not None and config.heldout_problems > evaluated:
        raise ValueError(
            f"evaluate.heldout_problems is {config.heldout_problems}, but of {heldout} exercises held out about "
            f"{evaluated:.0f} evaluate, and the others choose; raise heldout_count, or ask for fewer"
        )
    if context is not None and config.max_answer_tokens >= context:
        raise ValueError(
            f"evaluate.max_answer_tokens is {config.max_answer_tokens}, but the arms' models have a context of "
            f"row_tokens = {context}, prompt included"
        )


def run(config: EvaluateConfig, inputs: Mapping[str, Path], out: Path, tools: Tools) -> Counts:
    """Attempts, gold likelihoods and scores.json for one checkpoint, or for a model made elsewhere.

    StageError, and no score, where a benchmark's own solution fails or an empty one passes on this machine.
    """
    model = _model(config, inputs, tools)
    suites = {label(name): load(name) for name in config.benchmarks}
    if HELDOUT in inputs and config.heldout_problems:
        suites[HELDOUT] = heldout_problems(inputs[HELDOUT], config.heldout_problems, tools.seed, "evaluate")
    drawing = _drawing(config, tools.seed)
    with _sandbox(config, tools) as sandbox, Completions(tools.cache / FILE) as completions:
        limits = _prove(suites, sandbox, tools)
        proof = {"verdicts": 2 * len(limits), "isolation": list(sandbox.isolation)}
        evaluator = Evaluator(model, drawing, completions, sandbox, out, limits, tools.progress)
        scored, beside = _score_all(config, suites, evaluator, inputs, tools)
    sampling = {**drawing.record(), "boundaries": config.boundaries}
    trained_in = model.trained_in if isinstance(model, Checkpoint) else ""
    facts = {"proof": proof, "sampling": sampling, "model": model.fingerprint, "trained_in": trained_in}
    write_json(out / SCORES, {**facts, "benchmarks": scored, **beside})
    return _counts(scored)


def _score_all(
    config: EvaluateConfig,
    suites: Mapping[str, Sequence[Problem]],
    evaluator: Evaluator,
    inputs: Mapping[str, Path],
    tools: Tools,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Benchmark -> its scores; and what stands beside them: robustness, grades, emergence."""
    scored = {
        name: score_suite(name, suite, evaluator, config.pass_at, config.boundaries)
        for name, suite in suites.items()
    }
    beside: dict[str, Any] = {"robustness": {}} if config.robustness_problems else {}
    for name, suite in suites.items():
        rows = scored[name]["by_problem"]
        if config.mutants:
            wrong = failing_mutants(suite, config.mutants, evaluator.sandbox, tools.cache, tools.progress)
            add_margins(scored[name], margins(name, suite, evaluator, rows, wrong))
        if config.robustness_problems:
            found = robustness(name, suite, evaluator, rows, config.robustness_problems)
            beside["robustness"][name] = found
    if config.robustness_problems:
        beside["robustness"][LAYERS] = growth(evaluator, config.robustness_problems)
    if config.grade:
        beside["grades"] = _grades(config.grade, suites, evaluator, tools)
    if config.probes:
        read = [folder for key, folder in inputs.items() if key.startswith(FINETUNED_ON)]
        probed, beside[EMERGENCE] = emergence(evaluator, count_imports(read), config.pass_at)
        scored |= {EMERGENCE: probed} if probed else {}
    return scored, beside


def _grades(
    config: GradeConfig, suites: Mapping[str, Sequence[Problem]], evaluator: Evaluator, tools: Tools
) -> dict[str, Any]:
    assert tools.teacher is not None
    seed = tools.seed
    drawn = {name: grading.draw(suite, config.problems, seed) for name, suite in suites.items()}
    total = config.repeats * sum(len(problems) for problems in drawn.values())
    graded: dict[str, Any] = {"grader": config.grader}
    with tools.teacher() as teacher:
        grader = _grader(config, teacher, total)
        for name, problems in drawn.items():
            attempts = evaluator.attempts(name, suites[name])
            path = evaluator.out / "grades" / f"{name}.json"
            graded[name] = grading.grade(problems, attempts, grader, path, tools.progress, seed)
    return graded


def _grader(config: GradeConfig, teacher: Any, total: int) -> grading.Grader:
    prompt = load_prompt(config.prompt, ("prompt", "solution"))
    cap = FailureCap("evaluate.grade", total, config.max_failed_share)
    return grading.Grader(teacher, prompt, config.repeats, config.max_answer_tokens, cap)


def _model(config: EvaluateConfig, inputs: Mapping[str, Path], tools: Tools) -> Model:
    if isinstance(config, OtherModelConfig):
        machine = tools.machine
        around = Surroundings(config.name, machine.device, machine.models, tools.keys)
        return open_model(settled(config, partial(take, machine=machine)).model, around)
    return Checkpoint(inputs["checkpoint"], tools.machine.device)


def _drawing(config: EvaluateConfig, seed: int) -> Drawing:
    return Drawing(
        max_answer_tokens=config.max_answer_tokens,
        temperature=config.temperature,
        top_p=config.top_p,
        samples=config.samples,
        stop_rule=config.stop_rule,
        seed=seed,
        batch=config.batch_problems,
    )


def _prove(suites: Mapping[str, Sequence[Problem]], sandbox: Any, tools: Tools) -> Limits:
    """The time limit of each problem, once the evaluator is proved."""
    problems = [problem for suite in suites.values() for problem in suite]
    with tools.progress.bar("prove the evaluator", 2 * len(problems), "verdicts") as bar:
        limits = prove(sandbox, problems, bar.advance)
    return {(problem.benchmark, problem.id): seconds for problem, seconds in limits.items()}


@contextmanager
def _sandbox(config: EvaluateConfig, tools: Tools) -> Iterator[Any]:
    from hornbook import sandbox

    if tools.sandbox is None:
        raise StageError("evaluate: no sandbox was given, and answers are judged nowhere else")
    with tools.sandbox(mode="strict", limits=sandbox.Limits(cpu_seconds=config.cpu_seconds)) as opened:
        yield opened


def _counts(scored: Mapping[str, Mapping[str, Any]]) -> Counts:
    return {
        "problems": sum(score["problems"] for score in scored.values()),
        "passed": sum(score["passed"] for score in scored.values()),
        **{
            f"{name}.{measure}": score[measure][0]
            for name, score in scored.items()
            for measure in ("pass_at_1", "bits_per_byte", "character_probability")
            if score[measure]
        },
    }
