"""evaluate: prove the evaluator, let a model answer, judge by execution, and measure the gold solutions' likelihood."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pydantic import Field, field_validator

from hornbook.benchmarks import Problem, benchmark_hashes, check_names, label, load
from hornbook.benchmarks.attempts import STOP_RULES, cut, failure_kind, program
from hornbook.benchmarks.heldout import HELDOUT, heldout_problems
from hornbook.benchmarks.proof import prove
from hornbook.benchmarks.scores import (
    Interval,
    bits_per_byte,
    character_probability,
    mean_interval,
    ratio_interval,
    wilson,
)
from hornbook.core.config import Config
from hornbook.core.errors import StageError
from hornbook.core.shards import Counts, read_table, shard_name, write_json, write_table
from hornbook.core.tools import Tools

if TYPE_CHECKING:
    from hornbook.model.phi import Phi
    from hornbook.model.sampling import Completion
    from hornbook.model.tokenizer import Tokenizer

SCORES = "scores.json"
ONE_THREAD_BELOW_PARAMETERS = 20_000_000
ATTEMPTS = pa.schema(
    [(name, pa.string()) for name in ("id", "completion", "ended", "judged", "outcome", "reason", "failure")]
)
_ADDRESS = re.compile(r"0x[0-9a-f]{6,}")


class EvaluateConfig(Config):
    """Which problems, how an answer is sampled and where it ends."""

    benchmarks: list[str] = Field(["humaneval"])
    """Benchmarks (a name, or NAME:FILE), each judged by execution and by the likelihood of its own solutions."""
    heldout_problems: int = Field(200, ge=0)
    """Exercises of combinations that no model was trained on, drawn by a seeded hash."""
    max_answer_tokens: int = Field(192, ge=1)
    """Longest completion; a prompt that leaves less room in the model's context loses its beginning."""
    stop_rule: str = "top_level"
    """Where a completion ends: top_level (any line at the left margin) or human_eval (the Codex paper's words)."""
    batch_problems: int = Field(64, ge=1)
    """Problems answered side by side; a killed evaluation resumes after the last whole batch."""
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


@dataclass(frozen=True)
class _Answering:
    """What turns problems into judged attempts."""

    model: Phi
    tokenizer: Tokenizer
    sandbox: Any
    config: EvaluateConfig


def identity(config: EvaluateConfig, cache: Path) -> Mapping[str, str]:
    """The content of every benchmark it reads."""
    return benchmark_hashes(config.benchmarks)


def run(config: EvaluateConfig, inputs: Mapping[str, Path], out: Path, tools: Tools) -> Counts:
    """Attempts, gold likelihoods and scores.json for one checkpoint.

    StageError, and no score, where a benchmark's own solution fails or an empty one passes on this machine.
    """
    suites = {label(name): load(name) for name in config.benchmarks}
    if HELDOUT in inputs and config.heldout_problems:
        suites[HELDOUT] = heldout_problems(inputs[HELDOUT], config.heldout_problems, tools.seed, "evaluate")
    with _sandbox(config, tools) as sandbox:
        problems = [problem for suite in suites.values() for problem in suite]
        with tools.progress.bar("prove the evaluator", 2 * len(problems), "verdicts") as bar:
            prove(sandbox, problems, bar.advance)
        model, tokenizer = _load(inputs["checkpoint"], tools)
        answering = _Answering(model, tokenizer, sandbox, config)
        with _threads(model):
            scored = {name: _score(name, suite, answering, out, tools) for name, suite in suites.items()}
        proof = {"verdicts": 2 * len(problems), "isolation": list(sandbox.isolation)}
    sampling = {"temperature": 0, "stop_rule": config.stop_rule, **asdict(STOP_RULES[config.stop_rule])}
    write_json(out / SCORES, {"proof": proof, "sampling": sampling, "benchmarks": scored})
    return _counts(scored)


@contextmanager
def _sandbox(config: EvaluateConfig, tools: Tools) -> Iterator[Any]:
    from hornbook.sandbox import Limits

    if tools.sandbox is None:
        raise StageError("evaluate: no sandbox was given, and answers are judged nowhere else")
    with tools.sandbox(mode="strict", limits=Limits(cpu_seconds=config.cpu_seconds)) as sandbox:
        yield sandbox


def _load(folder: Path, tools: Tools) -> tuple[Phi, Tokenizer]:
    import torch

    from hornbook.model.checkpoint import load_model

    device = tools.machine.device
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return load_model(folder, device)


@contextmanager
def _threads(model: Phi) -> Iterator[None]:
    """One thread for a small model: two gain 1.6x on idle cores, and lose 4x as soon as one is not idle."""
    import torch

    before = torch.get_num_threads()
    if model.config.parameters < ONE_THREAD_BELOW_PARAMETERS:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _score(
    name: str, suite: Sequence[Problem], answering: _Answering, out: Path, tools: Tools
) -> dict[str, Any]:
    """All numbers of one suite; what is already in `out` is not done again."""
    found: dict[str, dict[str, str]] = {}
    ordered = sorted(
        suite, key=lambda problem: (len(problem.prompt), problem.id)
    )  # little padding in a batch
    size = answering.config.batch_problems
    with tools.progress.bar(f"answer {name}", len(suite), "problems") as bar:
        for number, begin in enumerate(range(0, len(suite), size)):
            batch = ordered[begin : begin + size]
            path = out / "attempts" / name / shard_name(number)
            if not path.exists():
                write_table(path, pa.Table.from_pylist(_attempt(batch, answering), ATTEMPTS))
            found |= {attempt["id"]: attempt for attempt in read_table(path).to_pylist()}
            bar.advance(len(batch))
    gold = _gold(name, suite, answering, out)
    return _summary(suite, [found[problem.id] for problem in suite], gold, tools.seed)


def _attempt(batch: Sequence[Problem], answering: _Answering) -> list[dict[str, str]]:
    """Greedy completions of the prompts, each judged: the text as the model wrote it and the part that was run."""
    config = answering.config
    completions = _complete(batch, answering)
    judged = [cut(completion.text, config.stop_rule) for completion in completions]
    verdicts = answering.sandbox.verdicts(program(p, text) for p, text in zip(batch, judged, strict=True))
    return [
        {
            "id": problem.id,
            "completion": completion.text,
            "ended": completion.ended,
            "judged": text,
            "outcome": verdict.outcome,
            "reason": _ADDRESS.sub("0x...", verdict.reason),  # addresses differ from run to run
            "failure": failure_kind(text, verdict),
        }
        for problem, completion, text, verdict in zip(batch, completions, judged, verdicts, strict=True)
    ]


def _complete(batch: Sequence[Problem], answering: _Answering) -> list[Completion]:
    from hornbook.model.generate import generate
    from hornbook.model.sampling import Sampling

    config = answering.config
    sampling = Sampling(
        config.max_answer_tokens, stop=STOP_RULES[config.stop_rule].stops, batch_size=config.batch_problems
    )
    return generate(answering.model, answering.tokenizer, [problem.prompt for problem in batch], sampling)


def _gold(name: str, suite: Sequence[Problem], answering: _Answering, out: Path) -> list[dict[str, Any]]:
    """The likelihood of each problem's own solution after its prompt."""
    from hornbook.model.generate import score

    path = out / "gold" / f"{name}.parquet"
    if not path.exists():
        found = score(answering.model, answering.tokenizer, [(p.prompt, p.solution) for p in suite])
        rows = [{"id": p.id, **asdict(one)} for p, one in zip(suite, found, strict=True)]
        write_table(path, pa.Table.from_pylist(rows))
    return [_with_measures(row) for row in read_table(path).to_pylist()]


def _with_measures(row: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "bytes": row["bytes"],
        "bits_per_byte": bits_per_byte(row["log_probability"], row["bytes"]),
        "character_probability": character_probability(row["log_probability"], row["characters"]),
    }


def _summary(
    suite: Sequence[Problem],
    attempts: Sequence[Mapping[str, str]],
    gold: Sequence[Mapping[str, Any]],
    seed: int,
) -> dict[str, Any]:
    """Scores with 95% intervals over problems, failures by kind, and every problem's values for paired comparisons."""
    passed = [attempt["outcome"] == "passed" for attempt in attempts]
    bits = [one["bits_per_byte"] * one["bytes"] for one in gold]
    return {
        "problems": len(suite),
        "passed": sum(passed),
        "pass_at_1": _triple(wilson(sum(passed), len(suite))),
        "bits_per_byte": _triple(ratio_interval(bits, [one["bytes"] for one in gold], seed)),
        "character_probability": _triple(mean_interval([one["character_probability"] for one in gold], seed)),
        "failures": dict(
            Counter(attempt["failure"] for attempt in attempts if attempt["failure"]).most_common()
        ),
        "concepts": _by_concept(suite, passed),
        "by_problem": {
            problem.id: {"passed": int(did), **one}
            for problem, did, one in zip(suite, passed, gold, strict=True)
        },
    }


def _by_concept(suite: Sequence[Problem], passed: Sequence[bool]) -> dict[str, list[int]]:
    """Concept -> [passed, problems]."""
    found: dict[str, list[int]] = {}
    for problem, did in zip(suite, passed, strict=True):
        for concept in problem.concepts:
            counts = found.setdefault(concept, [0, 0])
            counts[0] += did
            counts[1] += 1
    return found


def _triple(interval: Interval) -> list[float]:
    return [interval.value, interval.low, interval.high]


def _counts(scored: Mapping[str, Mapping[str, Any]]) -> Counts:
    return {
        "problems": sum(score["problems"] for score in scored.values()),
        "passed": sum(score["passed"] for score in scored.values()),
        **{
            f"{name}.{measure}": score[measure][0]
            for name, score in scored.items()
            for measure in ("pass_at_1", "bits_per_byte", "character_probability")
        },
    }
