"""What follows from config, rows and machine before the first step: how many steps, of what size, where, and how."""

from __future__ import annotations

import ctypes
import math
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, distributed

from hornbook.core.errors import ConfigError, StageError, first_line
from hornbook.core.machine import Machine
from hornbook.core.workers import available_cpus
from hornbook.model import ranks
from hornbook.model.config import PhiConfig, TrainConfig
from hornbook.model.kernels.attention import attention, causal_mask, kernel
from hornbook.model.phi import Phi
from hornbook.model.sequences import Rows

Numbers = npt.NDArray[np.int64]
ATTENTION_BLOCKS = 4
"""Of queries, on a CPU: each meets five eighths of the keys on average, and more blocks take longer to compile."""
BLOCKS_PAY_UP_TO_TOKENS = 512
"""Of a row, uncompiled: 1.2 times the fused kernel's speed at nano, .7 times beside a process that takes a core; with
1,024 tokens no faster, and more memory."""
GLIBC_OPTIONS = {-4: 0, -1: 2**31 - 1, -2: 2**28}
"""M_MMAP_MAX, M_TRIM_THRESHOLD and M_TOP_PAD of mallopt(3): never hand large blocks back to the kernel."""
MICRO_BATCH_TOKENS = {"cpu": 4096, "cuda": 32768}
OPERATIONS_PER_SECOND = {"cpu": 2e11, "cuda": 1e14}
TRIED_TOKENS = 16
COMPILE_PAYS_AFTER_SECONDS = 900
"""A cold torch.compile takes 35 to 120 seconds on two cores and then saves about a third."""


@dataclass(frozen=True)
class Plan:
    """The steps of a training and this process's share of each."""

    steps: int
    step_rows: int
    """Rows of a step, over all processes."""
    step_tokens: int
    micro_batch: int
    """Rows a forward pass, at most."""
    device: str
    rank: int = 0
    world: int = 1

    @property
    def device_kind(self) -> str:
        return self.device.split(":", maxsplit=1)[0]

    @property
    def micro_batches(self) -> int:
        """Forward passes of a step in each process."""
        return -(-self.step_rows // (self.world * self.micro_batch))

    def pieces(self, chosen: Numbers) -> list[Numbers]:
        """This process's share of a step's rows as micro-batches; every process has as many."""
        return np.array_split(np.array_split(chosen, self.world)[self.rank], self.micro_batches)


def plan_training(config: TrainConfig, rows: Rows, machine: Machine) -> Plan:
    """The plan of this process; ConfigError if the warm-up takes all steps or the processes cannot share one."""
    device, world = find_device(machine.device), ranks.world()
    step_rows = max(1, config.tokens_per_step // rows.tokens)
    steps = math.ceil(config.tokens / (step_rows * rows.tokens))
    if config.warmup_steps >= steps:
        raise ConfigError(
            f"warmup_steps is {config.warmup_steps}, but {config.tokens} tokens make only {steps} steps"
        )
    if step_rows % world:
        raise ConfigError(
            f"tokens_per_step makes {step_rows} rows of {rows.tokens} tokens, which {world} processes cannot share "
            "evenly; launch a number that divides it"
        )
    budget = MICRO_BATCH_TOKENS.get(device.split(":")[0], MICRO_BATCH_TOKENS["cpu"])
    micro_batch = machine.micro_batch or max(1, budget // rows.tokens)
    size = min(micro_batch, step_rows // world)
    return Plan(steps, step_rows, step_rows * rows.tokens, size, device, ranks.rank(), world)


def find_device(wanted: str) -> str:
    """The device that is wanted, where `auto` is CUDA if there is one; among processes on CUDA, one GPU for each.

    ConfigError where torch has no such device here.
    """
    device = ("cuda" if torch.cuda.is_available() else "cpu") if wanted == "auto" else wanted
    if device == "cuda" and distributed.is_torchelastic_launched():
        device = f"cuda:{distributed.get_node_local_rank()}"
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(
            f"device is {wanted!r}, but torch cannot use {device} here ({first_line(error)}); set device to cpu or "
            "auto, install a torch for it, or launch no more processes than there are GPUs"
        ) from error
    return device


def prepare(model: Phi, config: TrainConfig, plan: Plan, machine: Machine) -> Phi:
    """The model on its device, in training mode, with the attention and compilation that pay there."""
    torch.set_num_threads(max(1, available_cpus() // machine.launch))
    model.to(plan.device).train()
    seconds = 6 * model.config.parameters * config.tokens / OPERATIONS_PER_SECOND.get(plan.device_kind, 2e11)
    compiled = machine.compile if machine.compile is not None else seconds > COMPILE_PAYS_AFTER_SECONDS
    if plan.device_kind == "cpu":
        keep_freed_memory()
        if compiled or config.dropout or model.config.context_tokens <= BLOCKS_PAY_UP_TO_TOKENS:
            model.attention_blocks = ATTENTION_BLOCKS
    else:
        require_kernel(model, config, plan.device)
    if compiled:
        compile_layers(model)
    return model


def compile_layers(model: Phi) -> None:
    """Compile the code of one layer, which all layers share, and of the loss."""
    for layer in model.layers:
        layer.compile()
    model.head.compiled = True


def require_kernel(model: Phi, config: TrainConfig, device: str) -> None:
    """Try attention once, forwards and backwards; StageError where the kernel it must run in does not exist."""
    shape = (1, model.config.heads, TRIED_TOKENS, model.config.head_dims)
    q = torch.zeros(shape, device=device, dtype=PRECISIONS[config.precision], requires_grad=True)
    mask = causal_mask(TRIED_TOKENS, q.device) if config.document_mask else None
    try:
        attention(q, q, q, config.dropout, mask=mask).sum().backward()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        wanted = kernel(q, config.dropout, config.document_mask).name.lower().replace("_", " ")
        raise StageError(
            f"{wanted} does not run on {device} in {config.precision} with heads of {model.config.head_dims} "
            f"({first_line(error)}); use another precision, or a torch built for this GPU"
        ) from error


def keep_freed_memory() -> None:
    """Let glibc keep what a step frees for the next: 1.35 times the tokens a second at the size nano."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        for option, value in GLIBC_OPTIONS.items():
            mallopt(option, value)


SIDES = {"cpu": (256, 512, 1024), "cuda": (4096, 8192)}
"""Sides of the square matrices that the ceiling is measured with, by device."""
LAYOUTS: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (
    lambda a, b: a @ b,
    lambda a, b: a @ b.T,
    lambda a, b: a.T @ b,
)
"""The products of a layer: forward, and of the gradients of either side."""
ENOUGH_SECONDS = 0.5
LONGEST_SECONDS = 0.5
PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def flops_per_token(config: PhiConfig, row_tokens: int) -> int:
    """Floating-point operations of training on one token: 6 a weight of a matrix product, and causal attention."""
    products = 4 * config.width**2 + 2 * config.width * config.mlp_width
    weights = config.layers * products + config.vocabulary_rows * config.width
    return 6 * weights + 6 * config.layers * row_tokens * config.width


@cache
def ceiling(device: str, precision: str) -> float:
    """Operations a second of the fastest matrix product in this precision, measured here in about half a second.

    Squares of several sizes, plain and with either side transposed, each after a product that warms up: bf16 that a
    processor emulates is up to 30 times as fast transposed, and slower the larger the squares are.
    """
    kind = device.split(":", maxsplit=1)[0]
    best, enough = 0.0, ENOUGH_SECONDS / (len(SIDES["cpu"]) * len(LAYOUTS))
    for side in SIDES.get(kind, SIDES["cpu"]):
        a, b = (torch.randn(side, side, device=device).to(PRECISIONS[precision]) for _ in range(2))
        for product in LAYOUTS:
            seconds = _seconds(product, a, b, kind)
            if seconds > LONGEST_SECONDS:
                continue  # larger squares are no faster: the smaller ones tell the rate
            taken, spent = [seconds], 0.0
            while spent < enough:
                taken.append(_seconds(product, a, b, kind))
                spent += taken[-1]
            best = max(best, 2 * side**3 / min(taken))
    return best


def _seconds(product: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor, kind: str) -> float:
    _wait(kind)
    begun = time.perf_counter()
    product(a, b)
    _wait(kind)
    return time.perf_counter() - begun


def _wait(kind: str) -> None:
    if kind == "cuda":
        torch.cuda.synchronize()


def peak_memory_bytes(kind: str) -> int:
    """The most memory this process has held so far: of the GPU on CUDA, else resident."""
    if kind == "cuda":
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
