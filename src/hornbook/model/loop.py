"""The training loop: one for pretraining and finetuning, resumed bit for bit after a kill."""

from __future__ import annotations

import ctypes
import math
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
import numpy.typing as npt
import orjson
import torch
from torch import Tensor
from torch.optim import Optimizer

from hornbook.core.config import Machine
from hornbook.core.errors import ConfigError, StageError
from hornbook.core.records import to_json
from hornbook.core.shards import Counts, write_bytes, write_json
from hornbook.core.tools import Tools
from hornbook.core.workers import available_cpus
from hornbook.model.checkpoint import load_state, save_model, save_state
from hornbook.model.config import TrainConfig
from hornbook.model.optimiser import learning_rate, open_optimiser, restore, training_state
from hornbook.model.phi import Phi
from hornbook.model.rows import Ids, Rows, batches
from hornbook.model.tokenizer import Tokenizer

METRICS_FILE = "metrics.jsonl"
"""One line a step: step, tokens, loss (nats a token), learning_rate, gradient_norm; heldout_loss at checkpoints."""
TRAINING_FILE = "training.json"
TIMING_FILE = "timing.json"
"""Seconds and tokens a second of the last process that worked on it; differs from run to run."""
RESUME_FOLDER = "resume"
STATE_FILE = "state.safetensors"

BLOCK_TOKENS = 256
"""Queries in a block of the block-causal attention on a CPU."""
GLIBC_OPTIONS = {-4: 0, -1: 2**31 - 1, -2: 2**28}
"""M_MMAP_MAX, M_TRIM_THRESHOLD and M_TOP_PAD of mallopt(3): never hand large blocks back to the kernel."""
MICRO_BATCH_TOKENS = {"cpu": 4096, "cuda": 32768}
OPERATIONS_PER_SECOND = {"cpu": 2e11, "cuda": 1e14}
COMPILE_PAYS_AFTER_SECONDS = 900
"""A cold torch.compile takes 35 to 120 seconds on two cores and then saves about a fifth."""


@dataclass(frozen=True)
class Plan:
    """What follows from config, rows and machine: how many steps, of how many rows, where."""

    steps: int
    step_rows: int
    step_tokens: int
    micro_batch: int
    """Rows a forward pass."""
    device: str

    @property
    def device_kind(self) -> str:
        return self.device.split(":", maxsplit=1)[0]


def plan_training(config: TrainConfig, rows: Rows, machine: Machine) -> Plan:
    """The steps of a training; ConfigError if the warm-up takes all of them."""
    device = machine.device if machine.device != "auto" else ("cuda" if torch.cuda.is_available() else "cpu")
    step_rows = max(1, config.tokens_per_step // rows.tokens)
    steps = math.ceil(config.tokens / (step_rows * rows.tokens))
    if config.warmup_steps >= steps:
        raise ConfigError(
            f"warmup_steps is {config.warmup_steps}, but {config.tokens} tokens make only {steps} steps"
        )
    budget = MICRO_BATCH_TOKENS.get(device.split(":")[0], MICRO_BATCH_TOKENS["cpu"])
    micro_batch = machine.micro_batch or max(1, budget // rows.tokens)
    return Plan(steps, step_rows, step_rows * rows.tokens, min(micro_batch, step_rows), device)


@dataclass(frozen=True)
class Training:
    """A model on its way through a plan."""

    model: Phi
    optimiser: Optimizer
    rows: Rows
    config: TrainConfig
    plan: Plan

    def step(self, number: int, chosen: npt.NDArray[np.int64]) -> dict[str, int | float]:
        """One optimiser step on these rows, a micro-batch at a time; its line of metrics."""
        rate = learning_rate(self.config, number, self.plan.steps)
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        predicted = len(chosen) * (self.rows.tokens - 1)
        total = torch.zeros((), device=self.plan.device)
        for start in range(0, len(chosen), self.plan.micro_batch):
            tokens = self.rows.train[chosen[start : start + self.plan.micro_batch]]
            loss = self._loss(tokens) / predicted
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        norm = torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_gradient_norm)
        mean_loss, gradient_norm = total.item(), norm.item()
        if not math.isfinite(mean_loss + gradient_norm):
            self._stop(number, mean_loss, chosen)
        self.optimiser.step()
        self.optimiser.zero_grad()
        return {
            "step": number + 1,
            "tokens": (number + 1) * self.plan.step_tokens,
            "loss": mean_loss,
            "learning_rate": rate,
            "gradient_norm": gradient_norm,
        }

    @torch.no_grad()
    def heldout_loss(self) -> float | None:
        """Mean cross-entropy, in nats a token, on the held-out rows; None where there are none."""
        rows = self.rows.heldout[: self.config.heldout_rows]
        if not len(rows):
            return None
        self.model.eval()
        size = self.plan.micro_batch
        total = sum(self._loss(rows[start : start + size]).item() for start in range(0, len(rows), size))
        self.model.train()
        return total / (len(rows) * (self.rows.tokens - 1))

    def _loss(self, tokens: Ids) -> Tensor:
        """The summed loss of these rows, in the precision of the config."""
        batch = torch.from_numpy(tokens.astype(np.int64)).to(self.plan.device)
        with torch.autocast(self.plan.device_kind, torch.bfloat16, enabled=self.config.precision == "bf16"):
            return self.model.loss(batch)

    def _stop(self, number: int, loss: float, chosen: npt.NDArray[np.int64]) -> NoReturn:
        names = self.rows.sources([int(row) for row in chosen])
        shown = ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
        raise StageError(
            f"the loss became {loss} at step {number + 1} of {self.plan.steps}, on documents {shown}; "
            "lower peak_learning_rate, lengthen the warm-up, or look at these documents"
        )


def train(
    model: Phi, tokenizer: Tokenizer, rows: Rows, config: TrainConfig, out: Path, tools: Tools
) -> Counts:
    """Train `model` on `rows` and write it to `out`, with metrics.jsonl, training.json and timing.json.

    A state in out/resume is gone on from: a training killed at any moment ends with the same bytes as one
    that was not, on the same CPU. StageError if the loss stops being a number; it names the step's documents.
    """
    plan = plan_training(config, rows, tools.machine)
    torch.set_num_threads(available_cpus())
    training = Training(
        prepare(model, config, plan, tools.machine), open_optimiser(model, config), rows, config, plan
    )
    first = _resume(training, out)
    begun = time.perf_counter()
    _run(training, first, out, tools)
    seconds = time.perf_counter() - begun
    tokens = (plan.steps - first) * plan.step_tokens
    timing = {
        "seconds": seconds,
        "tokens": tokens,
        "tokens_per_second": tokens / seconds,
        "first_step": first,
    }
    last = orjson.loads((out / METRICS_FILE).read_bytes().splitlines()[-1])
    facts = {
        "steps": plan.steps,
        "tokens": plan.steps * plan.step_tokens,
        "epochs": plan.steps * plan.step_rows / len(rows.train),
        "rows": len(rows.train),
        "row_tokens": rows.tokens,
        "parameters": model.config.parameters,
        "loss": last["loss"],
        "heldout_loss": last["heldout_loss"],
    }
    write_json(out / TIMING_FILE, timing)
    write_json(out / TRAINING_FILE, facts)
    save_model(out, model, tokenizer, {"training": config.model_dump(), "seed": tools.seed, **facts})
    shutil.rmtree(out / RESUME_FOLDER, ignore_errors=True)
    return {key: value for key, value in facts.items() if value is not None}


def _run(training: Training, first: int, out: Path, tools: Tools) -> None:
    """Every step from `first` on, with its line of metrics and, now and then, a state to resume from."""
    plan, every = training.plan, training.config.checkpoint_every_steps
    orders = batches(len(training.rows.train), plan.step_rows, tools.seed, first)
    total = plan.steps * plan.step_tokens
    with (out / METRICS_FILE).open("a") as metrics, tools.progress.bar("train", total, "tokens") as bar:
        bar.advance(first * plan.step_tokens)
        for step in range(first, plan.steps):
            begun = time.perf_counter()
            torch.manual_seed(tools.seed * 1_000_003 + step)  # dropout belongs to the step: no state to save
            facts: dict[str, int | float | None] = {**training.step(step, next(orders))}
            if at_checkpoint := (step + 1) % every == 0 or step + 1 == plan.steps:
                facts["heldout_loss"] = training.heldout_loss()
            metrics.write(to_json(facts) + "\n")
            metrics.flush()
            if at_checkpoint:
                state = training_state(training.model, training.optimiser)
                save_state(out / RESUME_FOLDER / STATE_FILE, state, {"step": str(step + 1)})
            bar.advance(plan.step_tokens)
            bar.note(
                f"loss {facts['loss']:.3f}, {plan.step_tokens / (time.perf_counter() - begun):,.0f} tokens/s"
            )


def _resume(training: Training, out: Path) -> int:
    """The number of steps done, after putting the training where the last saved state left it."""
    path, metrics = out / RESUME_FOLDER / STATE_FILE, out / METRICS_FILE
    step = 0
    if path.exists():
        state, facts = load_state(path)
        step = int(facts["step"])
        restore(training.model, training.optimiser, state, step)
    lines = metrics.read_bytes().splitlines(keepends=True) if metrics.exists() else []
    write_bytes(metrics, b"".join(lines[:step]))
    return step


def prepare(model: Phi, config: TrainConfig, plan: Plan, machine: Machine) -> Phi:
    """The model on its device, in training mode, with the attention and compilation that pay there."""
    model.to(plan.device).train()
    seconds = 6 * model.config.parameters * config.tokens / OPERATIONS_PER_SECOND.get(plan.device_kind, 2e11)
    compiled = machine.compile if machine.compile is not None else seconds > COMPILE_PAYS_AFTER_SECONDS
    if plan.device_kind == "cpu":
        keep_freed_memory()
        if compiled or config.dropout:  # otherwise the fused kernel is as fast or faster
            model.attention_blocks = max(1, model.config.context_tokens // BLOCK_TOKENS)
    for layer in model.layers if compiled else ():
        layer.compile()
    return model


def keep_freed_memory() -> None:
    """Let glibc keep what a step frees for the next: 1.35 times the tokens a second at the size nano."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        for option, value in GLIBC_OPTIONS.items():
            mallopt(option, value)
