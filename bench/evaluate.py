"""What each part of an evaluation of HumanEval costs, with an untrained model of nano's size."""

from __future__ import annotations

import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any

from hornbook.benchmarks import load
from hornbook.core.context import Tools
from hornbook.core.machine import Machine
from hornbook.model.checkpoint import save_model
from hornbook.model.config import PhiConfig
from hornbook.model.phi import Phi
from hornbook.model.tokenizer import train_tokenizer
from hornbook.sandbox import Sandbox
from hornbook.stages.evaluate.step import EvaluateConfig, run

PARTS: dict[str, dict[str, Any]] = {
    "one greedy attempt a problem": {},
    "the same once more: nothing is asked again": {},
    "two wrong versions a problem, drawn and judged": {"mutants": 2},
    "the same for the next model": {"mutants": 2},
    "probes of libraries": {"probes": True},
    "8 problems in 8 other wordings, 8 tasks growing": {"robustness_problems": 8},
}


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        tokenizer = train_tokenizer([p.prompt + p.solution for p in load("humaneval")], 2048)
        shape = {"layers": 4, "width": 128, "heads": 2, "mlp_width": 512, "context_tokens": 512}
        save_model(
            root / "model",
            Phi(PhiConfig(vocabulary_rows=tokenizer.vocabulary, **shape)).initialise(3),
            tokenizer,
        )
        tools = Tools(
            1, machine=Machine(device="cpu"), sandbox=partial(Sandbox, workers=2), cache=root / "cache"
        )
        print("processor s  wall s  part")
        for number, (part, settings) in enumerate(PARTS.items()):
            out = root / str(number)
            out.mkdir()
            before, begun = time.process_time(), time.monotonic()
            config = EvaluateConfig(heldout_problems=0, max_answer_tokens=128, **settings)
            run(config, {"checkpoint": root / "model"}, out, tools)
            used, passed = time.process_time() - before, time.monotonic() - begun
            print(f"{used:11.1f}  {passed:6.1f}  {part}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
