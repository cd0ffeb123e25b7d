"""Training, side by side: hornbook against transformers' Trainer, litgpt, and a plain compiled loop.

    python bench/train.py                                  # both models; laid out for eight minutes on two cores
    python bench/train.py --peers FOLDER                   # also the peers that live in a folder of their own:
    pip install --target FOLDER --no-deps accelerate psutil litgpt lightning lightning-utilities torchmetrics \\
        pytorch-lightning

The same model, batch, data, AdamW, clipping and bf16 autocast for all; the same allocator settings (the best for every
one of them) and two threads. Contenders are processes of their own that take turns of some seconds, so a busy
machine slows all alike: the ratios are medians over turns. The first two steps, with compilation, are not counted.
MFU counts causal attention and the head against a 1024-cube bf16 matrix product measured in the same rounds.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ENVIRONMENT = {
    "GOMP_SPINCOUNT": "10000",
    "TOKENIZERS_PARALLELISM": "false",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1:glibc.malloc.mmap_max=0:"
    "glibc.malloc.trim_threshold=8589934592:glibc.malloc.top_pad=268435456",
}
MODELS = {
    "micro": {"size": "micro", "vocabulary": 4096, "row_tokens": 512, "batch_tokens": 8192},
    "mini": {"size": "mini", "vocabulary": 8192, "row_tokens": 1024, "batch_tokens": 8192},
}
"""4 layers of width 256, and 8 of width 384."""
CONTENDERS = {
    "micro": ("ceiling", "Trainer", "litgpt", "PhiForCausalLM, compiled", "hornbook", "hornbook, compiled"),
    "mini": ("ceiling", "PhiForCausalLM", "hornbook, compiled"),
}
NEEDS = {"Trainer": "accelerate", "litgpt": "litgpt", "PhiForCausalLM, compiled": "transformers"}
Step = Callable[[], None]


def tokens(model: dict[str, Any]) -> Any:
    import torch

    shape = (model["batch_tokens"] // model["row_tokens"], model["row_tokens"])
    return torch.randint(0, model["vocabulary"], shape)


def phi_for_causal_lm(model: dict[str, Any]) -> Any:
    """transformers' model of the same shape."""
    import transformers

    from hornbook.model.config import PhiConfig
    from hornbook.model.convert import transformers_config

    config = PhiConfig.of_size(model["size"], model["vocabulary"], model["row_tokens"])
    return transformers.PhiForCausalLM(transformers.PhiConfig(**transformers_config(config, 0))).train()


def plain_loop(module: Any, loss: Callable[[Any], Any], model: dict[str, Any]) -> Step:
    import torch

    optimiser = torch.optim.AdamW(module.parameters(), lr=1e-4, fused=True)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            value = loss(tokens(model))
        value.backward()
        torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
        optimiser.step()
        optimiser.zero_grad()

    return step


def transformers_step(model: dict[str, Any], compiled: bool) -> Step:
    import torch

    module = phi_for_causal_lm(model)
    forward = torch.compile(module) if compiled else module
    return plain_loop(module, lambda ids: forward(input_ids=ids, labels=ids, use_cache=False).loss, model)


def litgpt_step(model: dict[str, Any]) -> Step:
    from litgpt.config import Config
    from litgpt.model import GPT
    from torch.nn import functional as F

    from hornbook.model.config import SIZES

    shape = SIZES[model["size"]]
    module = GPT(
        Config(
            name="same", block_size=model["row_tokens"], padded_vocab_size=model["vocabulary"], n_layer=shape.layers,
            n_head=shape.heads, n_embd=shape.width, intermediate_size=4 * shape.width, rotary_percentage=0.5,
            parallel_residual=True, shared_attention_norm=True, bias=True, lm_head_bias=True,
            norm_class_name="LayerNorm", mlp_class_name="GptNeoxMLP", gelu_approximate="tanh",
        )
    ).train()  # fmt: skip

    def loss(ids: Any) -> Any:
        return F.cross_entropy(module(ids)[:, :-1].flatten(0, 1).float(), ids[:, 1:].flatten())

    return plain_loop(module, loss, model)


def hornbook_step(model: dict[str, Any], compiled: bool) -> Step:
    """The engine that `hornbook run` trains with, prepared as it is for a long run (compiled) or a short one."""
    import numpy as np

    from hornbook.core.machine import Machine
    from hornbook.model.config import PhiConfig, TrainConfig
    from hornbook.model.engine import Objective, TorchEngine
    from hornbook.model.engine import Step as EngineStep
    from hornbook.model.phi import Phi
    from hornbook.model.plan import MICRO_BATCH_TOKENS, Plan, prepare

    row, batch = model["row_tokens"], model["batch_tokens"]
    config = TrainConfig(
        tokens=batch, tokens_per_step=batch, peak_learning_rate=1e-4, warmup_steps=0, dropout=0.0
    )
    plan = Plan(1, batch // row, batch, MICRO_BATCH_TOKENS["cpu"] // row, "cpu")
    phi = Phi(PhiConfig.of_size(model["size"], model["vocabulary"], row)).initialise(0)
    prepare(phi, config, plan, Machine(device="cpu", compile=compiled))
    engine = TorchEngine(Objective(phi, config, 0), config, "cpu")

    def step() -> None:
        ids = tokens(model).numpy().astype(np.uint16)
        pieces = [ids[piece] for piece in plan.pieces(np.arange(len(ids)))]
        engine.step(EngineStep(pieces, ids.size - len(ids), 1e-4))

    return step


def run_trainer(model: dict[str, Any], after_step: Step) -> None:
    """transformers' Trainer runs the loop itself; a callback takes turns."""
    import torch
    import transformers

    class Rows(torch.utils.data.IterableDataset):  # type: ignore[misc, type-arg]
        def __iter__(self) -> Iterator[dict[str, Any]]:
            while True:
                yield from ({"input_ids": row, "labels": row} for row in tokens(model))

    class Turns(transformers.TrainerCallback):  # type: ignore[misc]
        def on_step_end(self, *_: Any, **__: Any) -> None:
            after_step()

    arguments = transformers.TrainingArguments(
        output_dir=tempfile.mkdtemp(), use_cpu=True, bf16=True, max_steps=10**6, learning_rate=1e-4,
        per_device_train_batch_size=model["batch_tokens"] // model["row_tokens"], optim="adamw_torch_fused",
        max_grad_norm=1.0, report_to=[], logging_strategy="no", save_strategy="no", disable_tqdm=True,
        dataloader_pin_memory=False,
    )  # fmt: skip
    trainer = transformers.Trainer(phi_for_causal_lm(model), arguments, train_dataset=Rows())
    trainer.add_callback(Turns())
    trainer.train()


def ceiling_step() -> Step:
    import torch

    a, b = (torch.randn(1024, 1024, dtype=torch.bfloat16) for _ in range(2))

    def step() -> None:
        a @ b

    return step


STEPS: dict[str, Callable[[dict[str, Any]], Step]] = {
    "ceiling": lambda model: ceiling_step(),
    "litgpt": litgpt_step,
    "PhiForCausalLM": lambda model: transformers_step(model, compiled=False),
    "PhiForCausalLM, compiled": lambda model: transformers_step(model, compiled=True),
    "hornbook": lambda model: hornbook_step(model, compiled=False),
    "hornbook, compiled": lambda model: hornbook_step(model, compiled=True),
}


class Turns:
    """In a contender's process: says how fast a turn was, and waits for the next."""

    def __init__(self, out: Any) -> None:
        self.out, self.begun, self.deadline, self.steps = out, time.perf_counter(), 0.0, 0

    def after_step(self) -> None:
        self.steps += 1
        now = time.perf_counter()
        if now < self.deadline or (not self.deadline and self.steps < 2):
            return
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(
            json.dumps({"steps": self.steps, "seconds": now - self.begun, "peak_mb": peak}),
            file=self.out,
            flush=True,
        )
        seconds = sys.stdin.readline()
        if not seconds:
            sys.exit()
        self.steps, self.begun = 0, time.perf_counter()
        self.deadline = self.begun + float(seconds)


def contend(name: str, model: dict[str, Any]) -> None:
    """Be one contender: take turns until standard input ends."""
    import torch

    turns = Turns(os.fdopen(os.dup(1), "w"))
    os.dup2(2, 1)  # what a peer prints is no result
    torch.set_num_threads(2)
    torch.manual_seed(0)
    if name == "Trainer":
        return run_trainer(model, turns.after_step)
    step = STEPS[name](model)
    while True:
        step()
        turns.after_step()


class Contender:
    """A process and what it has said."""

    def __init__(self, name: str, model_name: str, peers: str) -> None:
        paths = [p for p in (peers, os.environ.get("PYTHONPATH", "")) if p]
        self.name, self.speeds, self.peak_mb = name, [], 0.0
        self.work = 1 if name == "ceiling" else MODELS[model_name]["batch_tokens"]
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--only", name, "--model", model_name],
            env={**os.environ, **ENVIRONMENT, "PYTHONPATH": os.pathsep.join(paths)},
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        self.first = self.said()["seconds"]

    def said(self) -> dict[str, float]:
        line = self.process.stdout.readline() if self.process.stdout else ""
        if not line:
            raise SystemExit(f"{self.name} ended: run `python {__file__} --only '{self.name}'` to see why")
        found: dict[str, float] = json.loads(line)
        return found

    def turn(self, seconds: float) -> None:
        assert self.process.stdin
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        found = self.said()
        self.speeds.append(found["steps"] * self.work / found["seconds"])
        self.peak_mb = found["peak_mb"]

    def end(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()


def compare(model_name: str, rounds: int, seconds: float, peers: str) -> None:
    """Print a line for each contender: its speed, ours against it, MFU and memory."""
    from hornbook.model.config import PhiConfig
    from hornbook.model.plan import flops_per_token

    model = MODELS[model_name]
    config = PhiConfig.of_size(model["size"], model["vocabulary"], model["row_tokens"])
    contenders = []
    for name in CONTENDERS[model_name]:
        if NEEDS.get(name) and not _installed(NEEDS[name], peers):
            print(f"{name}: left out, {NEEDS[name]} is not installed (see --peers)", flush=True)
        else:
            contenders.append(Contender(name, model_name, peers))
    for _ in range(rounds):
        for one in contenders:
            one.turn(seconds / 4 if one.name == "ceiling" else seconds)
    ceiling, ours = contenders[0].speeds, contenders[-1].speeds
    flops = flops_per_token(config, model["row_tokens"])
    load = os.getloadavg()[0]
    top = statistics.median(ceiling) * 2 * 1024**3 / 1e9
    print(f"\n{model_name}: {rounds} turns of {seconds:g} s, load {load:.1f}, ceiling {top:.0f} GFLOP/s")
    print(f"{'':26} tokens/s   ours against it     MFU   peak MB   first two steps")
    for one in contenders[1:]:
        ratio = statistics.median(a / b for a, b in zip(ours, one.speeds, strict=True))
        mfu = statistics.median(
            s * flops / (c * 2 * 1024**3) for s, c in zip(one.speeds, ceiling, strict=True)
        )
        print(
            f"{one.name:26} {statistics.median(one.speeds):8,.0f} {ratio:16.2f}x {mfu:7.2f} {one.peak_mb:9,.0f} "
            f"{one.first:15.0f} s",
            flush=True,
        )
    for one in contenders:
        one.end()


def _installed(package: str, peers: str) -> bool:
    return bool(importlib.util.find_spec(package)) or (bool(peers) and (Path(peers) / package).is_dir())


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--model", choices=MODELS, help="one model only")
    arguments.add_argument("--rounds", type=int, default=6)
    arguments.add_argument("--seconds", type=float, default=4)
    arguments.add_argument(
        "--peers", default="", help="folder of pip install --target with litgpt and accelerate"
    )
    arguments.add_argument(
        "--only", choices=[*STEPS, "Trainer"], help="be this one (it reads seconds, a line a turn)"
    )
    given = arguments.parse_args()
    if given.only:
        contend(given.only, MODELS[given.model or "micro"])
    for name in [given.model] if given.model else MODELS:
        compare(name, given.rounds, given.seconds, given.peers)


if __name__ == "__main__":
    main()
