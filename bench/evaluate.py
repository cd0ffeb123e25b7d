"""What each part of an evaluation costs: HumanEval with an untrained model of nano's size, processor seconds."""

from __future__ import annotations

import os
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

from hornbook.benchmarks import load
from hornbook.core.config import Machine
from hornbook.core.tools import Tools
from hornbook.model.checkpoint import save_model
from hornbook.model.config import PhiConfig
from hornbook.model.phi import Phi
from hornbook.model.tokenizer import train_tokenizer
from hornbook.sandbox import Sandbox
from hornbook.stages.evaluate import EvaluateConfig, run

PARTS: dict[str, dict[str, Any]] = {
    "one greedy attempt a problem": {},
    "the same once more: nothing is asked again": {},
    "one wrong version a problem, drawn and judged": {"mutants": 1},
    "the same for the next model": {"mutants": 1},
    "probes of libraries": {"probes": True},
    "8 problems in 8 other wordings": {"robustness_problems": 8},
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
        print(f"{'model':>8} {'sandbox':>8}  part")
        for number, (part, settings) in enumerate(PARTS.items()):
            out = root / str(number)
            out.mkdir()
            before = os.times()
            config = EvaluateConfig(heldout_problems=0, max_answer_tokens=128, **settings)
            run(config, {"checkpoint": root / "model"}, out, tools)
            after = os.times()
            own = after.user + after.system - before.user - before.system
            children = after.children_user + after.children_system
            children -= before.children_user + before.children_system
            print(f"{own:8.1f} {children:8.1f}  {part}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
