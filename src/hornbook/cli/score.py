"""score: judge attempts that were made elsewhere."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from hornbook.cli.options import (
    IsolationOption,
    JsonOption,
    MachineOption,
    WorkersOption,
    read_machine,
    state_folder,
)
from hornbook.cli.printing import print_json, print_table

if TYPE_CHECKING:
    from hornbook.benchmarks.problem import Problem
    from hornbook.benchmarks.samples import Attempt, Census, Quarantined, Tally
    from hornbook.benchmarks.verdict_cache import Kept, Keys
    from hornbook.core.progress import Progress
    from hornbook.sandbox import Sandbox
SHOWN = 5
SamplesArgument = Annotated[
    Path,
    typer.Argument(
        help="JSONL of attempts (.gz, .zst): task_id, and completion or solution.", metavar="SAMPLES"
    ),
]


def score(
    samples: SamplesArgument,
    benchmark: Annotated[
        str, typer.Option("--benchmark", "-b", help="Benchmark, or NAME:FILE for a file of its form.")
    ],
    out: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option("--out", help="Where the verdicts go. [default: SAMPLES.results.jsonl]", metavar="FILE"),
    ] = None,
    k: Annotated[
        Optional[list[int]],  # noqa: UP045
        typer.Option("--k", help="k of pass@k, repeatable. [default: those of 1, 10, 100 that can be had]"),
    ] = None,
    cpu_seconds: Annotated[
        float,
        typer.Option(help="Processor time an attempt may take at least; slow problems get more.", min=0.1),
    ] = 3.0,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Judge all again, also what a verdict is kept of.")
    ] = False,
    machine: MachineOption = None,
    workers: WorkersOption = None,
    require_isolation: IsolationOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress; only the result.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Judge attempts made elsewhere (human-eval's or evalplus' JSONL) and say what they are worth."""
    from hornbook.benchmarks import label, load
    from hornbook.benchmarks.samples import Tally, choose_ks, count
    from hornbook.benchmarks.verdict_cache import Kept, Keys
    from hornbook.core.progress import open_progress
    from hornbook.core.workers import available_cpus
    from hornbook.sandbox import Limits, Sandbox

    where = read_machine(machine, None, workers, require_isolation)
    problems = load(benchmark)
    census = count(samples, problems)
    ks = choose_ks(census.tried.values(), k or ())
    place = _place(samples, out)
    limits = Limits(cpu_seconds=cpu_seconds, wall_seconds=max(15.0, 5 * cpu_seconds))
    box = Sandbox(limits, where.workers or available_cpus(), require_isolation=where.require_isolation)
    tally, progress = Tally(), open_progress(not quiet)
    secret, unkept = _secret(progress)
    with box as sandbox, Kept(place, keys := Keys(sandbox, secret), fresh) as kept:
        known = _judge(_Work(samples, problems, census, sandbox, keys, kept), place, tally, progress)
        isolation = list(sandbox.isolation)
    found = {
        **{"benchmark": label(benchmark), **tally.summary(problems, ks), "kept": known, "not_kept": unkept},
        **{"quarantined": census.quarantined, "proof_verdicts": 2 * len(census.tried)},
        **{"isolation": isolation, "results": str(place)},
    }
    if as_json:
        return print_json(
            {**found, "pass_at_k": {str(key): value for key, value in found["pass_at_k"].items()}}
        )
    _show(found, census.examples)
    return None


@dataclass(frozen=True)
class _Work:
    """What is to be judged, by what, and the verdicts that were reached before."""

    samples: Path
    problems: Sequence[Problem]
    census: Census
    sandbox: Sandbox
    keys: Keys
    kept: Kept

    def attempts(self) -> Iterator[Attempt]:
        """The attempts, read from their file."""
        from hornbook.benchmarks.samples import Attempt, read_attempts

        return (found for found in read_attempts(self.samples, self.problems) if isinstance(found, Attempt))


def _judge(work: _Work, place: Path, tally: Tally, progress: Progress) -> int:
    """Judge what no verdict is kept of, and write every attempt's; how many had one before.

    The evaluator is first proved on every problem that has an attempt.
    """
    from hornbook.benchmarks.proof import prove
    from hornbook.benchmarks.samples import judge, missing, rows

    keys, kept, tried = work.keys, work.kept, list(work.census.tried)
    wanted, known = missing(work.attempts(), keys, kept)
    if known:
        progress.say(f"{known:,} of {work.census.tried.total():,} attempts have a verdict from before")
    with progress.bar("prove the evaluator", 2 * len(tried), "verdicts") as bar:
        limits = prove(work.sandbox, tried, bar.advance)
    with progress.bar(f"judge {tried[0].benchmark}", len(wanted), "programs") as bar:
        for key, verdict in judge(work.attempts(), wanted, keys, limits, work.sandbox):
            kept.add(key, verdict)
            bar.advance()
    _write(place, tally.count(rows(work.attempts(), keys, kept)), work)
    kept.finish()
    return known


def _secret(progress: Progress) -> tuple[bytes, str]:
    """The user's secret, or one for this time only and why: then no verdict of before counts, and none later."""
    from secrets import token_bytes

    from hornbook.benchmarks.verdict_cache import BYTES, user_secret
    from hornbook.core.errors import StoreError

    try:
        return user_secret(state_folder()), ""
    except StoreError as error:
        progress.say(f"no verdict can be used again: {error}")
        return token_bytes(BYTES), str(error)


def _place(samples: Path, out: Path | None) -> Path:
    """Where the verdicts go; InputError, before any work, where they cannot."""
    from hornbook.core.errors import InputError

    path = out or samples.with_name(samples.name.split(".jsonl")[0] + ".results.jsonl")
    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise InputError(
            f"{path} cannot be written: {path.parent} is no writable folder; name another with --out"
        )
    if path.resolve() == samples.resolve():
        raise InputError(f"--out {path} is the file of the attempts; name another")
    if path.exists() and not path.is_file():
        raise InputError(f"--out {path} is no ordinary file, and verdicts take a file's place; name another")
    return path


def _write(path: Path, rows: Iterable[dict[str, Any]], work: _Work) -> None:
    """Every line's verdict, quarantined lines last; whole or not at all."""
    from hornbook.benchmarks.samples import Quarantined, read_attempts
    from hornbook.core.errors import InputError
    from hornbook.core.shards import replacing

    lines = read_attempts(work.samples, work.problems)
    lost = (
        {"line": q.line, "task_id": q.task_id, "outcome": "quarantined", "reason": q.reason}
        for q in lines
        if isinstance(q, Quarantined)
    )
    try:
        with replacing(path) as file:
            file.writelines(json.dumps(row).encode() + b"\n" for row in chain(rows, lost))
    except KeyError as error:
        raise InputError(f"{work.samples} changed while it was judged; run the same command again") from error


def _show(found: dict[str, Any], examples: Sequence[Quarantined]) -> None:
    each = found["attempts_a_problem"]
    print(
        f"{found['benchmark']}: {found['attempts']:,} attempts at {found['attempted']} of {found['problems']}"
        f" problems, {each[0] if len(each) == 1 else f'{each[0]} to {each[-1]}'} each; {found['passed']:,} passed"
    )
    print_table(
        [
            {
                "score": f"pass@{k}",
                "%": f"{100 * value:.1f}",
                "95% interval": f"{100 * low:.1f} to {100 * high:.1f}",
            }
            for k, (value, low, high) in found["pass_at_k"].items()
        ]
    )
    if found["failures"]:
        print("failed by  " + ", ".join(f"{kind} {count:,}" for kind, count in found["failures"].items()))
    if missing := found["missing"]:
        print(f"missing    {len(missing)} problems have no attempt and are not in the score: {_few(missing)}")
    if count := found["quarantined"]:
        shown = [f"line {q.line}: {q.reason}" for q in examples]
        print(f"left out   {count:,} lines: " + _few(shown, "; ", count))
    if found["kept"]:
        print(f"kept       {found['kept']:,} of {found['attempts']:,} verdicts, from before")
    if found["not_kept"]:
        print(f"not kept   all was judged, and will be the next time: {found['not_kept']}")
    print(f"proved by  {found['proof_verdicts']:,} verdicts on own and empty solutions, all right")
    print(f"isolation  {', '.join(found['isolation'])}")
    print(f"verdicts   {found['results']}")


def _few(names: Sequence[str], between: str = ", ", count: int = 0) -> str:
    """The first few of `count` names."""
    count = count or len(names)
    more = f"{between}and {count - SHOWN:,} more" if count > SHOWN else ""
    return between.join(names[:SHOWN]) + more
