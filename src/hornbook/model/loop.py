"""The training loop: one for pretraining and finetuning, resumed bit for bit after a kill."""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import torch

from hornbook.core.context import Tools
from hornbook.core.machine import Machine
from hornbook.core.progress import Bar
from hornbook.core.records import to_json
from hornbook.core.shards import Counts, read_json, write_bytes, write_json
from hornbook.model import ranks
from hornbook.model.checkpoint import save_model
from hornbook.model.config import BY_EXERCISES, TrainConfig
from hornbook.model.distributed import open_engine
from hornbook.model.engine import Engine, Objective, Step
from hornbook.model.guard import REMEMBERED, STOPPED_FILE, Watch
from hornbook.model.optimiser import learning_rate
from hornbook.model.phi import Phi
from hornbook.model.plan import Plan, ceiling, flops_per_token, peak_memory_bytes, plan_training, prepare
from hornbook.model.precision import settled, take, warning
from hornbook.model.resume import Checkpoints
from hornbook.model.sequences import Rows, batches
from hornbook.model.tokenizer import Tokenizer
from hornbook.model.tracking import Tracker, open_tracker

METRICS_FILE = "metrics.jsonl"
"""One line a step: step, tokens, loss (nats a token), learning_rate, gradient_norm; at checkpoints also heldout_loss
and, by its name, the score that chooses among them."""
TRAINING_FILE = "training.json"
TIMING_FILE = "timing.json"
"""How fast the last process that worked on it was; differs from run to run."""
RESUME_FOLDER = "resume"


@dataclass(frozen=True)
class Lesson:
    """What a model is trained on, and who judges it."""

    rows: Rows
    tokenizer: Tokenizer
    judge: Callable[[Phi], float] | None = None
    """A model's score on held-out exercises, higher is better; for a config that chooses by them."""


@dataclass(frozen=True)
class Training:
    """A model on its way through a plan."""

    model: Phi
    engine: Engine
    lesson: Lesson
    config: TrainConfig
    plan: Plan
    watch: Watch

    def step(self, number: int, chosen: npt.NDArray[np.int64]) -> dict[str, Any]:
        """One optimiser step on these rows; its line of metrics."""
        rows, rate = self.lesson.rows, learning_rate(self.config, number, self.plan.steps)
        pieces = [rows.train[piece] for piece in self.plan.pieces(chosen)]
        loss, norm = self.engine.step(Step(pieces, len(chosen) * (rows.tokens - 1), rate))
        self.watch.see(number, loss, norm, chosen)
        return {
            "step": number + 1,
            "tokens": (number + 1) * self.plan.step_tokens,
            "loss": loss,
            "learning_rate": rate,
            "gradient_norm": norm if norm is not None and math.isfinite(norm) else None,  # fp16 left this out
        }

    @torch.no_grad()
    def heldout_loss(self) -> float | None:
        """Mean cross-entropy, in nats a token, on the held-out rows; None where there are none."""
        rows = self.lesson.rows.heldout[: self.config.heldout_rows]
        if not len(rows):
            return None
        size = self.plan.micro_batch
        total = sum(
            self.engine.loss(rows[start : start + size]).item() for start in range(0, len(rows), size)
        )
        return total / (len(rows) * (self.lesson.rows.tokens - 1))

    def examine(self) -> dict[str, Any]:
        """What is measured at a checkpoint: the held-out loss, and the judge's score by its name."""
        self.model.eval()
        facts: dict[str, Any] = {"heldout_loss": self.heldout_loss()}
        if self.lesson.judge:
            score = self.lesson.judge(self.model)
            facts[self.config.choose_by] = ranks.agreed(score, self.plan.device)
        self.model.train()
        return facts

    def score(self, facts: dict[str, Any]) -> float:
        """What chooses among checkpoints; higher is better."""
        by = self.config.choose_by
        if by == "last":
            return float(facts["step"])
        return -(facts[by] or 0.0) if by == "heldout_loss" else facts[by]


@dataclass
class Pace:
    """Tokens a second of this process so far, shown beside the bar and tracked."""

    plan: Plan
    bar: Bar
    tracker: Tracker
    flops: int
    """Floating-point operations of a token."""
    ceiling: float
    begun: float = field(default_factory=time.perf_counter)
    steps: int = 0

    @classmethod
    def of(cls, training: Training, bar: Bar, tracker: Tracker) -> Pace:
        plan = training.plan
        flops = flops_per_token(training.model.config, training.lesson.rows.tokens)
        return cls(plan, bar, tracker, flops, ceiling(plan.device, training.config.precision))

    @property
    def tokens_per_second(self) -> float:
        return self.steps * self.plan.step_tokens / max(time.perf_counter() - self.begun, 1e-9)

    @property
    def utilisation(self) -> float:
        """Model FLOPs utilisation: the share of the machine's measured matmul ceiling, all processes together."""
        return self.tokens_per_second * self.flops / (self.ceiling * self.plan.world)

    def advance(self, facts: dict[str, Any]) -> None:
        """Count a step and show it."""
        self.steps += 1
        speed = {"tokens_per_second": self.tokens_per_second, "flops_utilisation": self.utilisation}
        self.bar.advance(self.plan.step_tokens)
        self.bar.note(
            f"loss {facts['loss']:.3f}, {speed['tokens_per_second']:,.0f} tokens/s, MFU {self.utilisation:.0%}"
        )
        numbers = {k: float(v) for k, v in (facts | speed).items() if v is not None and k != "step"}
        self.tracker.log(facts["step"], numbers)

    def timing(self, first: int) -> dict[str, float]:
        """What timing.json tells of this process."""
        return {
            "first_step": first,
            "tokens_per_second": self.tokens_per_second,
            "flops_utilisation": self.utilisation,
            "ceiling_flops_per_second": self.ceiling,
            "peak_memory_bytes": peak_memory_bytes(self.plan.device_kind),
        }


def train(model: Phi, lesson: Lesson, config: TrainConfig, out: Path, tools: Tools) -> Counts:
    """Train `model` on the lesson's rows and write it to `out`, with metrics.jsonl, training.json and timing.json.

    A checkpoint in out/resume is gone on from: a training killed at any moment ends with the same bytes as one
    that was not, on the same CPU. StageError if the loss stops being a number or jumps; it names the documents.
    """
    config = settled(config, partial(take, machine=tools.machine))
    if slow := warning(config.precision, tools.machine):
        tools.progress.say(slow)
    plan = plan_training(config, lesson.rows, tools.machine)
    model = prepare(model, config, plan, tools.machine)
    objective = Objective(model, config, lesson.tokenizer.end_of_text)
    engine = open_engine(objective, config, plan, tools.machine)
    skips = config.precision == "fp16"
    watch = Watch(plan.steps, tools.machine.stop_at_spike_nats, lesson.rows, out, skips)
    training = Training(model, engine, lesson, config, plan, watch)
    checkpoints = Checkpoints(out / RESUME_FOLDER, tools.machine.keep_checkpoints)
    first = checkpoints.resume(engine)
    _rewind(out / METRICS_FILE, first, watch)
    timing = _run(training, first, checkpoints, out, tools)
    counts = _finish(training, checkpoints, timing, out, tools.seed) if ranks.rank() == 0 else {}
    ranks.wait()
    return counts


def _run(
    training: Training, first: int, checkpoints: Checkpoints, out: Path, tools: Tools
) -> dict[str, float]:
    """Every step from `first` on, with its line of metrics and, now and then, a checkpoint; how fast it was."""
    plan, lead, every = training.plan, ranks.rank() == 0, training.config.checkpoint_every_steps
    orders = batches(len(training.lesson.rows.train), plan.step_rows, tools.seed, first)
    run = f"{out.parent.name}-{out.name.removesuffix('.partial')}"  # stage and fingerprint
    tracker = open_tracker(tools.machine if lead else Machine(), run, training.config.model_dump())
    with ExitStack() as stack:
        stack.callback(tracker.close)
        metrics = stack.enter_context((out / METRICS_FILE if lead else Path(os.devnull)).open("a"))
        before, total = first * plan.step_tokens, plan.steps * plan.step_tokens
        bar = stack.enter_context(tools.progress.bar("train", total, "tokens", before))
        pace = Pace.of(training, bar, tracker)
        for step in range(first, plan.steps):
            of_step = (
                tools.seed * 1_000_003 + step
            )  # dropout belongs to the step and process: no state to save
            torch.manual_seed(of_step * plan.world + plan.rank)
            facts = training.step(step, next(orders))
            if at_checkpoint := (step + 1) % every == 0 or step + 1 == plan.steps:
                facts |= training.examine()
            metrics.write(to_json(facts) + "\n")
            metrics.flush()
            if at_checkpoint:
                checkpoints.save(training.engine, step + 1, training.score(facts))
            pace.advance(facts)
    return pace.timing(first)


def _rewind(metrics: Path, step: int, watch: Watch) -> None:
    """Let go of the lines of steps that will be done again; the watch remembers the others."""
    lines = metrics.read_bytes().splitlines(keepends=True)[:step] if metrics.exists() else []
    watch.remember(orjson.loads(line)["loss"] for line in lines[-REMEMBERED:])
    ranks.wait()
    if ranks.rank() == 0:
        write_bytes(metrics, b"".join(lines))


def _facts(training: Training, out: Path, chosen_step: int) -> dict[str, Any]:
    """What training.json tells: the plan, and what the chosen checkpoint had reached."""
    plan, rows = training.plan, training.lesson.rows
    lines = (out / METRICS_FILE).read_bytes().splitlines()
    chosen = orjson.loads(lines[chosen_step - 1])
    by = training.config.choose_by
    return {
        "precision": training.config.precision,
        "steps": plan.steps,
        "tokens": plan.steps * plan.step_tokens,
        "epochs": plan.steps * plan.step_rows / len(rows.train),
        "rows": len(rows.train),
        "row_tokens": rows.tokens,
        "parameters": training.model.config.parameters,
        "loss": chosen["loss"],
        "heldout_loss": chosen["heldout_loss"],
        "chosen_step": chosen_step,
        **({by: chosen[by]} if by in BY_EXERCISES else {}),
    }


def _finish(
    training: Training, checkpoints: Checkpoints, timing: Mapping[str, float], out: Path, seed: int
) -> Counts:
    """Write the chosen checkpoint as the model, and what is told of it; let go of the checkpoints."""
    best = checkpoints.best()
    facts = _facts(training, out, int(checkpoints.facts(best)["step"]))
    with torch.device("meta"):
        final = Phi(training.model.config)
    final.load_state_dict(dict(training.engine.weights(best)), assign=True)
    record = {"training": training.config.model_dump(), "seed": seed, **facts}
    save_model(out, final, training.lesson.tokenizer, record)
    write_json(out / TRAINING_FILE, facts)
    before = read_json(out / TIMING_FILE) if (out / TIMING_FILE).exists() else {}
    write_json(out / TIMING_FILE, {**before, **timing})
    (out / STOPPED_FILE).unlink(missing_ok=True)
    shutil.rmtree(checkpoints.folder)
    return {key: value for key, value in facts.items() if isinstance(value, int | float)}
