"""HumanEval+ and MBPP+ verdicts beside EvalPlus' own, program by program; disagreements are printed with their reasons.

    python -m venv peer && peer/bin/pip install evalplus==0.3.1
    python bench/plus.py humaneval ../shared/data/HumanEvalPlus.jsonl.gz --peer-python peer/bin/python
    python bench/plus.py mbpp ../shared/data/MbppPlus.jsonl.gz --peer-python peer/bin/python

Programs: each problem's own solution, one that returns None, and versions of the own solution with one mistake each,
some of which behave alike. EvalPlus runs as its command does, in an environment of its own; we run `hornbook score`.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

from hornbook.benchmarks import Problem, load
from hornbook.text.mutants import mutants

Row = dict[str, Any]
STUB = "    return None\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("benchmark", choices=["humaneval", "mbpp"])
    parser.add_argument("data", type=Path, help="EvalPlus' JSONL (gz) of the benchmark")
    parser.add_argument("--peer-python", required=True)
    parser.add_argument("--mutants", type=int, default=3, help="versions with one mistake, a problem")
    parser.add_argument("--every", type=int, default=1, help="only every nth problem")
    parser.add_argument("--first", type=int, default=0, help="from this problem on")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = folder / "data.jsonl"
        with gzip.open(options.data, "rt") as file:
            data.write_text("".join(list(file)[options.first :: options.every]))
        made = programs(load(f"{options.benchmark}_plus:{data}"), options.mutants)
        samples = folder / "samples.jsonl"
        samples.write_text("".join(json.dumps(row) + "\n" for row in made))
        begun = time.monotonic()
        ours = hornbook(options.benchmark, data, samples)
        between = time.monotonic()
        theirs = evalplus(options.benchmark, data, samples, options.peer_python)
        print(f"hornbook {between - begun:.0f} s, evalplus {time.monotonic() - between:.0f} s")
    compare(made, ours, theirs)


def programs(problems: list[Problem], count: int) -> list[Row]:
    """Whole solutions, each with the kind of program it is."""
    made = []
    for problem in problems:
        own = problem.prompt + problem.solution
        texts = [("own solution", own), ("returns None", problem.prompt + STUB)]
        texts += [(one.change, one.source) for one in mutants(own, 0, count, len(problem.prompt))]
        made += [{"task_id": problem.id, "solution": text, "kind": kind} for kind, text in texts]
    return made


def hornbook(benchmark: str, data: Path, samples: Path) -> list[Row]:
    """A row a program: passed, outcome, reason."""
    words = [sys.executable, "-m", "hornbook", "score", str(samples), "-b", f"{benchmark}_plus:{data}"]
    subprocess.run([*words, "--quiet", "--json"], check=True, stdout=subprocess.DEVNULL)
    lines = samples.with_name("samples.results.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def evalplus(benchmark: str, data: Path, samples: Path, python: str) -> list[Row]:
    """The same, from evalplus.evaluate: its statuses on base and plus inputs, and the input that failed."""
    place = {"XDG_CACHE_HOME": str(samples.parent), f"{benchmark.upper()}_OVERRIDE_PATH": str(data)}
    words = [python, "-m", "evalplus.evaluate", "--dataset", benchmark, "--samples", str(samples)]
    words += ["--parallel", str(os.cpu_count())]
    done = subprocess.run(words, check=False, env={**os.environ, **place}, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    found = json.loads(samples.with_name("samples_eval_results.json").read_text())["eval"]
    return [row for rows in found.values() for row in rows]


def compare(made: list[Row], ours: list[Row], theirs: list[Row]) -> None:
    """Print how often the two agree, and each program on which they do not."""
    counts: Counter[tuple[str, bool, bool]] = Counter()
    told = {(row["task_id"], row["solution"]): row for row in theirs}
    for program, our in zip(made, ours, strict=True):
        their = told[(program["task_id"], program["solution"])]
        passed = their["base_status"] == their["plus_status"] == "pass"
        kind = program["kind"] if program["kind"] in ("own solution", "returns None") else "one mistake"
        counts[kind, our["passed"], passed] += 1
        if our["passed"] != passed:
            failed = [*their["base_fail_tests"], *their["plus_fail_tests"]]
            print(f"{program['task_id']}, {program['kind']}")
            print(f"    hornbook: {our['outcome']} {our['reason'][:200]}")
            print(f"    evalplus: {their['base_status']}, {their['plus_status']} {str(failed[:1])[:200]}")
    for kind in ("own solution", "returns None", "one mistake"):
        both, ours_alone, theirs_alone, none = (
            counts[kind, a, b] for a in (True, False) for b in (True, False)
        )
        print(
            f"{kind:13} {both:5} pass in both, {none:5} in neither,"
            f" {ours_alone:3} in hornbook alone, {theirs_alone:3} in evalplus alone"
        )


if __name__ == "__main__":
    main()
