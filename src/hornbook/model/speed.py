"""How fast a training is against what this machine can do: tokens a second, and the share of its matmul ceiling."""

from __future__ import annotations

import resource
import sys
import time
from functools import cache

import torch

from hornbook.model.config import PhiConfig

MATRIX = {"cpu": 1024, "cuda": 8192}
"""Side of the square matrices that the ceiling is measured with."""
TRIES = 8
ENOUGH_SECONDS = 0.5
PRECISIONS = {"bf16": torch.bfloat16, "fp16": torch.float16, "fp32": torch.float32}


def flops_per_token(config: PhiConfig, row_tokens: int) -> int:
    """Floating-point operations of training on one token: 6 a weight of a matrix product, and causal attention."""
    products = 4 * config.width**2 + 2 * config.width * config.mlp_width
    weights = config.layers * products + config.vocabulary_rows * config.width
    return 6 * weights + 6 * config.layers * row_tokens * config.width


@cache
def ceiling(device: str, precision: str) -> float:
    """Operations a second of the largest plain matrix product, measured here: the best of a few tries."""
    kind = device.split(":", maxsplit=1)[0]
    side = MATRIX.get(kind, MATRIX["cpu"])
    a, b = (torch.randn(side, side, device=device).to(PRECISIONS[precision]) for _ in range(2))
    taken: list[float] = []
    while len(taken) < TRIES and sum(taken) < ENOUGH_SECONDS:
        _wait(kind)
        begun = time.perf_counter()
        a @ b
        _wait(kind)
        taken.append(time.perf_counter() - begun)
    return 2 * side**3 / min(taken)


def _wait(kind: str) -> None:
    if kind == "cuda":
        torch.cuda.synchronize()


def peak_memory_bytes(kind: str) -> int:
    """The most memory this process has held so far: of the GPU on CUDA, else resident."""
    if kind == "cuda":
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
