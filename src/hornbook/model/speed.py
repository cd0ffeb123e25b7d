"""How fast a training is against what this machine can do: tokens a second, and the share of its matmul ceiling."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from hornbook.model.config import PhiConfig

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
