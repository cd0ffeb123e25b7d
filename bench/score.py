"""What resuming a large `hornbook score` costs: all but the last of N different attempts were judged before a kill.

python bench/score.py --attempts 1000000 --left 1000
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from hornbook.benchmarks import load
from hornbook.benchmarks.verdict_cache import Kept, Keys, user_secret
from hornbook.cli.options import state_folder
from hornbook.sandbox import Limits, Sandbox, Verdict


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--attempts", type=int, default=1_000_000)
    parser.add_argument("--left", type=int, default=1_000, help="attempts that no verdict is kept of")
    options = parser.parse_args()
    problems = load("humaneval")
    with tempfile.TemporaryDirectory() as folder, Sandbox(Limits(), 1) as sandbox:
        samples = Path(folder) / "samples.jsonl"
        results = Path(folder) / "samples.results.jsonl"
        keys = Keys(sandbox, user_secret(state_folder()))
        with samples.open("w") as file, Kept(results, keys) as kept:
            for number in range(options.attempts):
                problem = problems[number % len(problems)]
                completion = f"{problem.solution}    # {number}\n"
                file.write(json.dumps({"task_id": problem.id, "completion": completion}) + "\n")
                if number < options.attempts - options.left:
                    kept.add(keys.key(problem, problem.prompt + completion), Verdict("passed", "", 0.001))
        begun = time.monotonic()
        words = [sys.executable, "-m", "hornbook", "score", str(samples), "-b", "humaneval"]
        subprocess.run(words, check=True)
        seconds = time.monotonic() - begun
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        sizes = [path.stat().st_size / 1e6 for path in (samples, results)]
    print(f"{seconds:.0f} s, peak {peak:,.0f} MB; attempts {sizes[0]:,.0f} MB, verdicts {sizes[1]:,.0f} MB")


if __name__ == "__main__":
    main()
