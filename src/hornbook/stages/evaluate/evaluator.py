"""Attempts: drawn from a model or found among those it made before, judged, and kept with all that made them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

import orjson
import pyarrow as pa

from hornbook.benchmarks.postprocess import STOP_RULES, cut, failure_kind, program
from hornbook.benchmarks.problem import Problem
from hornbook.core.database import Database
from hornbook.core.progress import Progress, Silent
from hornbook.core.records import to_json
from hornbook.core.scores import bits_per_byte, character_probability
from hornbook.core.shards import read_table, shard_name, write_table
from hornbook.model.sampling import Completion, Sampling
from hornbook.sandbox import Sandbox, Verdict
from hornbook.stages.evaluate.models import Model

_TEXTS = (
    "id",
    "prompt",
    "completion",
    "ended",
    "judged",
    "outcome",
    "reason",
    "failure",
    "stop_rule",
    "rule",
)
ATTEMPTS = pa.schema(
    [*((name, pa.string()) for name in _TEXTS), ("sample", pa.int64()), ("seed", pa.int64())]
)
"""An attempt: what the model saw and wrote, the part that was judged, the rule that cut it, and the verdict."""
_ADDRESS = re.compile(r"0x[0-9a-f]{6,}")
_GOLD = {"id": pa.string(), "log_probability": pa.float64()}
_GOLD |= dict.fromkeys(("tokens", "characters", "bytes"), pa.int64())
Judgement = Mapping[str, str]
"""outcome, reason and failure of an attempt."""
Reading = Callable[[Problem, str], Judgement | None]
"""Judges an attempt without executing it; None where it is to be executed."""
Limits = Mapping[tuple[str, str], float]
"""(benchmark, problem's id) -> CPU seconds."""


@dataclass(frozen=True)
class Drawing:
    """How attempts are drawn and where they end."""

    max_answer_tokens: int = 192
    temperature: float = 0.0
    top_p: float = 1.0
    samples: int = 1
    stop_rule: str = "top_level"
    seed: int = 0
    batch: int = 64

    @property
    def sampling(self) -> Sampling:
        stops = STOP_RULES[self.stop_rule].stops
        return Sampling(self.max_answer_tokens, self.temperature, self.top_p, stops, self.batch)

    def seeds(self, problem_id: str) -> list[int]:
        """The seed of each attempt at a problem: one more attempt changes none before it."""
        return [_seed(self.seed, problem_id, sample) for sample in range(self.samples)]

    def record(self) -> dict[str, Any]:
        """Everything that a completion and its end depend on beside model, prompt and seed."""
        rule = STOP_RULES[self.stop_rule]
        kept = {name: value for name, value in asdict(self).items() if name != "batch"}
        return {**kept, "pattern": rule.pattern, "stops": list(rule.stops)}


@dataclass(frozen=True)
class _Job:
    problem: Problem
    sample: int
    seed: int


@dataclass(frozen=True)
class Evaluator:
    """One model with what its answers are drawn by, kept in and judged by; results go under `out`."""

    model: Model
    drawing: Drawing
    completions: Completions
    sandbox: Sandbox
    out: Path
    limits: Limits = field(default_factory=dict)
    """Of an attempt at each problem; those of the sandbox where there is none."""
    progress: Progress = field(default_factory=Silent)

    def attempts(
        self, name: str, problems: Sequence[Problem], reading: Reading = lambda problem, text: None
    ) -> list[dict[str, Any]]:
        """Judged attempts, those of a problem together, in the order of the problems.

        What lies in `out`/attempts/NAME is not judged again, and what the model wrote before is not asked again.
        """
        ordered = sorted(problems, key=lambda p: (len(p.prompt), p.id))  # little padding in a batch
        jobs = [_Job(p, n, seed) for p in ordered for n, seed in enumerate(self.drawing.seeds(p.id))]
        found: dict[str, list[dict[str, Any]]] = {}
        with self.progress.bar(f"answer {name}", len(jobs), "attempts") as bar:
            for number, begin in enumerate(range(0, len(jobs), self.drawing.batch)):
                batch = jobs[begin : begin + self.drawing.batch]
                path = self.out / "attempts" / name / shard_name(number)
                if not path.exists():
                    write_table(path, pa.Table.from_pylist(self._judged(batch, reading), ATTEMPTS))
                for row in read_table(path).to_pylist():
                    found.setdefault(row["id"], []).append(row)
                bar.advance(len(batch))
        return [row for problem in problems for row in found[problem.id]]

    def _judged(self, jobs: Sequence[_Job], reading: Reading) -> list[dict[str, Any]]:
        rule = to_json(self.drawing.record())
        completions = self._completions(jobs)
        judged = [
            cut(done.text, self.drawing.stop_rule, job.problem.prompt)
            for job, done in zip(jobs, completions, strict=True)
        ]
        return [
            {
                "id": job.problem.id,
                "sample": job.sample,
                "seed": job.seed,
                "prompt": job.problem.prompt,
                "completion": done.text,
                "ended": done.ended,
                "judged": text,
                **judgement,
                "stop_rule": self.drawing.stop_rule,
                "rule": rule,
            }
            for job, done, text, judgement in zip(
                jobs, completions, judged, self._judgements(jobs, judged, reading), strict=True
            )
        ]

    def _judgements(
        self, jobs: Sequence[_Job], texts: Sequence[str], reading: Reading
    ) -> Iterator[Judgement]:
        """What is judged by reading is not executed."""
        read = [reading(job.problem, text) for job, text in zip(jobs, texts, strict=True)]
        programs = (
            program(job.problem, text, self.limits.get((job.problem.benchmark, job.problem.id), 0.0))
            for job, text, found in zip(jobs, texts, read, strict=True)
            if found is None
        )
        verdicts = self.sandbox.verdicts(programs)
        yield from (found or _executed(text, verdicts) for text, found in zip(texts, read, strict=True))

    def _completions(self, jobs: Sequence[_Job]) -> list[Completion]:
        """What the model wrote for each job; what it has not written yet is kept as soon as it arrives."""
        name, sampling = self.model.fingerprint, self.drawing.sampling
        found = {
            n: self.completions.find(name, job.problem.prompt, sampling, job.seed)
            for n, job in enumerate(jobs)
        }
        missing = [n for n, completion in found.items() if completion is None]
        if missing:
            prompts = [jobs[n].problem.prompt for n in missing]
            seeds = [jobs[n].seed for n in missing]
            for place, completion in self.model.complete(prompts, sampling, seeds):
                self.completions.keep(name, prompts[place], sampling, seeds[place], completion)
                found[missing[place]] = completion
        return [completion for _, completion in sorted(found.items()) if completion is not None]

    def gold(self, name: str, pairs: Mapping[str, tuple[str, str]]) -> dict[str, dict[str, float]]:
        """Id -> how likely the model finds that completion after that prompt; empty where it does not tell."""
        path = self.out / "gold" / f"{name}.parquet"
        if not path.exists():
            with self.progress.bar(f"likelihood {name}", len(pairs), "texts") as bar:
                scores = self.model.score(list(pairs.values())) or []
                bar.advance(len(pairs))
            rows = [{"id": id_, **asdict(one)} for id_, one in zip(pairs, scores, strict=False)]
            write_table(path, pa.Table.from_pylist(rows, pa.schema(list(_GOLD.items()))))
        return {row["id"]: _measures(row) for row in read_table(path).to_pylist()}


def _executed(text: str, verdicts: Iterator[Verdict]) -> Judgement:
    verdict = next(verdicts)
    reason = _ADDRESS.sub("0x...", verdict.reason)  # addresses differ from run to run
    return {"outcome": verdict.outcome, "reason": reason, "failure": failure_kind(text, verdict)}


def _measures(row: Mapping[str, Any]) -> dict[str, float]:
    return {
        "bytes": row["bytes"],
        "bits_per_byte": bits_per_byte(row["log_probability"], row["bytes"]),
        "character_probability": character_probability(row["log_probability"], row["characters"]),
    }


def gold_pairs(problems: Iterable[Problem]) -> dict[str, tuple[str, str]]:
    """Each problem's prompt and own solution."""
    return {problem.id: (problem.prompt, problem.solution) for problem in problems}


def _seed(seed: int, problem_id: str, sample: int) -> int:
    digest = hashlib.blake2b(f"{seed}:{problem_id}:{sample}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def by_problem(attempts: Iterable[Mapping[str, Any]]) -> dict[str, list[Mapping[str, Any]]]:
    """Problem's id -> its attempts."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for attempt in attempts:
        found.setdefault(attempt["id"], []).append(attempt)
    return found


FILE = "completions.sqlite"
TABLE = """
create table if not exists completions (
    key blob primary key, model text not null, asked text not null, completion text not null
) without rowid
"""


class Completions:
    """Every completion so far; it does not depend on how many attempts a problem gets, or on which benchmark it is.

    Several processes may share the file, and a completion once kept never changes. A context manager.
    """

    def __init__(self, path: Path) -> None:
        self._database = Database(path, "the cache of completions", TABLE)

    def find(self, model: str, prompt: str, sampling: Sampling, seed: int) -> Completion | None:
        """What this model wrote after this prompt with this seed, if it ever did."""
        key = _key(model, _asked(prompt, sampling, seed))
        with self._database as db:
            row = db.execute("select completion from completions where key = ?", (key,)).fetchone()
        return None if row is None else _read(orjson.loads(row[0]))

    def keep(self, model: str, prompt: str, sampling: Sampling, seed: int, completion: Completion) -> None:
        """On disk when this returns; where another process was first, its completion stays."""
        asked = _asked(prompt, sampling, seed)
        kept = {"text": completion.text, "tokens": completion.tokens, "ended": completion.ended}
        row = (_key(model, asked), model, asked, to_json(kept))
        with self._database as db:
            db.execute("insert or ignore into completions values (?, ?, ?, ?)", row)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._database.close()


def _asked(prompt: str, sampling: Sampling, seed: int) -> str:
    """All that can change a completion beside the model; how many are written side by side does not.

    These names are part of every key: they never change.
    """
    fields = {
        "prompt": prompt,
        "seed": seed if sampling.temperature > 0 else 0,
        "max_new_tokens": sampling.max_new_tokens,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "stop": sampling.stop,
    }
    return to_json(fields)


def _read(fields: Mapping[str, Any]) -> Completion:
    return Completion(text=fields["text"], tokens=fields["tokens"], ended=fields["ended"])


def _key(model: str, asked: str) -> bytes:
    return hashlib.sha256(f"{model}\0{asked}".encode()).digest()
