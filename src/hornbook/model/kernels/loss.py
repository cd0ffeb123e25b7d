"""The loss of the last layer, a chunk of tokens at a time: logits of a whole batch never exist, in no precision."""

from __future__ import annotations

from functools import cache
from typing import Any

import torch
from torch import Tensor

IGNORED = -100
"""A target that adds nothing to the loss."""
CHUNK_BYTES = {"cpu": 1 << 23, "cuda": 1 << 29}
"""float32 logits of a chunk: what a core's cache holds, and what a GPU does not notice."""
FEWEST_TOKENS = 512
"""With a large vocabulary, adding up the weight's gradient once a chunk would cost more than the products."""


def head_loss(x: Tensor, weight: Tensor, bias: Tensor, targets: Tensor, compiled: bool = False) -> Tensor:
    """Summed cross-entropy, in nats, of targets [N] under logits x weight' + bias, with x [N, C] and weight [V, C].

    Softmax and sums are float32; the matrix products take autocast's precision where it is on. Gradients are made
    together with the loss while a chunk's logits are at hand.
    """
    kind = x.device.type
    half = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
    with torch.autocast(kind, enabled=False):
        how = (half, compiled, torch.is_grad_enabled())
        loss: Tensor = _HeadLoss.apply(x, weight, bias, targets, how)  # type: ignore[no-untyped-call]
    return loss


class _HeadLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        targets: Tensor,
        how: tuple[torch.dtype, bool, bool],
    ) -> Tensor:
        half, compiled, learning = how
        of_chunk = _compiled() if compiled else loss_and_gradient
        xs, w, b = x.to(half), weight.to(half), bias.to(half)
        dx, dw, db = (
            torch.zeros(t.shape if learning else 0, dtype=d, device=x.device)
            for t, d in ((xs, half), (weight, torch.float32), (bias, torch.float32))
        )
        total = torch.zeros((), device=x.device)
        size = chunk_tokens(len(w), x.device.type)
        for start in range(0, len(xs), size):
            part = slice(start, start + size)
            loss, gradient = of_chunk(xs[part] @ w.t(), b, targets[part])
            total += loss
            if learning:
                torch.mm(gradient, w, out=dx[part])
                dw += gradient.t() @ xs[part]
                db += gradient.new_ones(len(gradient)) @ gradient
        ctx.save_for_backward(dx, dw, db)
        ctx.kinds = (x.dtype, weight.dtype, bias.dtype)
        return total

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        scaled = [t.mul_(outer[0]).to(kind) for t, kind in zip(ctx.saved_tensors, ctx.kinds, strict=True)]
        return (*scaled, None, None)


def loss_and_gradient(product: Tensor, bias: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """The summed cross-entropy of logits = product + bias [N, V] and its gradient, softmax less one at the target."""
    logs = (product + bias).log_softmax(-1, dtype=torch.float32)
    counted, target = (targets != IGNORED)[:, None], targets.clamp(min=0)[:, None]
    at_target = logs.gather(1, target)
    loss = -at_target.masked_fill(~counted, 0.0).sum()
    gradient = logs.exp_().mul_(counted).to(product.dtype)
    return loss, gradient.scatter_(1, target, ((at_target.exp() - 1) * counted).to(product.dtype))


@cache
def _compiled() -> Any:
    return torch.compile(loss_and_gradient, dynamic=False)


def chunk_tokens(vocabulary: int, kind: str) -> int:
    """Tokens of a chunk: a power of two, so that whole batches are made of whole chunks."""
    room = CHUNK_BYTES.get(kind, CHUNK_BYTES["cpu"]) // (4 * vocabulary)
    return max(FEWEST_TOKENS, 1 << max(0, room.bit_length() - 1))
