"""Forms of a layer's operations that compile to fewer passes over memory; uncompiled, torch's own are as fast."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class SplitLinear(nn.Linear):
    """[..., C] -> the output of a linear layer in parts of these widths.

    Compiled, the code that reads a part adds its bias: otherwise memory is filled with biases before the product.
    """

    def __init__(self, width: int, widths: Sequence[int]) -> None:
        super().__init__(width, sum(widths))
        self.widths = list(widths)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:  # type: ignore[override]
        if not torch.compiler.is_compiling():
            return torch.split(super().forward(x), self.widths, dim=-1)
        products = torch.split(F.linear(x, self.weight), self.widths, dim=-1)
        biases = torch.split(self.bias, self.widths)
        return tuple((p + b.float()).to(p.dtype) for p, b in zip(products, biases, strict=True))


class Linear(nn.Linear):
    """torch's own, but for how it compiles: as SplitLinear does."""

    def forward(self, x: Tensor) -> Tensor:
        if not torch.compiler.is_compiling():
            return super().forward(x)
        product = F.linear(x, self.weight)
        return (product + self.bias.float()).to(product.dtype)


def gelu(x: Tensor) -> Tensor:
    """GELU in its tanh form (arXiv 1606.08415), which is x sigmoid(sqrt(8 / pi) (x + 0.044715 x^3))."""
    if not torch.compiler.is_compiling():
        return F.gelu(x, approximate="tanh")
    result: Tensor = _Gelu.apply(x)  # type: ignore[no-untyped-call]
    return result


class _Gelu(torch.autograd.Function):
    """Keeps the slope in the type of x: autograd would keep it in float32, twice the memory to write and read."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        wide, scale = x.float(), (8 / torch.pi) ** 0.5
        square = wide * wide
        gate = torch.sigmoid(scale * wide * (1 + 0.044715 * square))
        slope = gate + gate * (1 - gate) * scale * wide * (1 + 3 * 0.044715 * square)
        ctx.save_for_backward(slope.to(x.dtype))
        return (wide * gate).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> Tensor:
        slope: Tensor = ctx.saved_tensors[0]
        return outer[0] * slope
