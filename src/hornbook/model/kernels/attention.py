"""Causal attention: torch's fused kernels, chosen and required, and a form of matrix products for two CPU cores."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

HALF = (torch.bfloat16, torch.float16)
FLASH_CAPABILITY = (8, 0)
"""FlashAttention needs an Ampere GPU; older ones have the memory-efficient kernel."""


def attention(
    q: Tensor, k: Tensor, v: Tensor, dropout: float = 0.0, blocks: int = 0, mask: Tensor | None = None
) -> Tensor:
    """Causal softmax(q k' / sqrt D) v over [B, H, T, D]; both paths compute the same.

    `mask` [B, 1, T, T] is True where a query may look, causality included. `blocks` = 0 uses the kernel that `kernel`
    names and no other. Otherwise queries are cut into that many blocks, each multiplied only with the keys it may
    see: on two CPU cores this is the faster form to train with, compiled or in short rows. It also takes a mask's
    `mask_bias`.
    """
    if blocks:
        return _in_blocks(q, k, v, dropout, blocks, mask)
    with sdpa_kernel(kernel(q, dropout, mask is not None)):
        return F.scaled_dot_product_attention(q, k, v, mask, dropout, is_causal=mask is None)


def kernel(q: Tensor, dropout: float, masked: bool) -> SDPBackend:
    """The kernel that attention must run in: torch raises where it cannot, instead of taking a slow one.

    FlashAttention wherever it exists: in half precision on CUDA from Ampere on, and on the CPU without dropout.
    """
    if q.device.type == "cuda":
        modern = torch.cuda.get_device_capability(q.device) >= FLASH_CAPABILITY
        flash = q.dtype in HALF and modern and not masked
        return SDPBackend.FLASH_ATTENTION if flash else SDPBackend.EFFICIENT_ATTENTION
    return SDPBackend.FLASH_ATTENTION if q.device.type == "cpu" and not dropout else SDPBackend.MATH


def causal_mask(length: int, device: torch.device) -> Tensor:
    """[1, 1, T, T] True where a token may look: itself and earlier ones."""
    return torch.ones(1, 1, length, length, dtype=torch.bool, device=device).tril()


def document_mask(tokens: Tensor, end_of_text: int) -> Tensor:
    """[B, 1, T, T] True where a token of [B, T] rows may look: itself and earlier tokens of its own document."""
    ends = (tokens == end_of_text).cumsum(-1)
    document = ends - (tokens == end_of_text).to(ends.dtype)  # end-of-text belongs to what it ends
    same = document[:, :, None] == document[:, None, :]
    return same.tril()[:, None]


def mask_bias(mask: Tensor) -> Tensor:
    """What a mask adds to scores: 0 where it is True, else -inf. Compiled, adding is faster than choosing."""
    return torch.zeros_like(mask, dtype=torch.bfloat16).masked_fill(~mask, float("-inf"))


def cached_attention(q: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """Attention of [B, H, T, D] queries to [B, H, S, D] keys and values under [B, 1, T, S] `mask`.

    One query on a CPU takes two plain products: 14 times faster than the fused kernel with 128 sequences.
    """
    if q.shape[2] > 1 or q.is_cuda:
        return F.scaled_dot_product_attention(q, keys, values, attn_mask=mask)
    weights = (q * q.shape[-1] ** -0.5 @ keys.transpose(2, 3) + mask).softmax(-1, dtype=torch.float32)
    read: Tensor = weights.to(values.dtype) @ values
    return read


def _in_blocks(q: Tensor, k: Tensor, v: Tensor, dropout: float, blocks: int, mask: Tensor | None) -> Tensor:
    size = -(-q.shape[2] // blocks)
    mask = causal_mask(q.shape[2], q.device) if mask is None else mask
    bias = mask if mask.is_floating_point() else mask_bias(mask)
    read: Tensor = _Blocks.apply(q * q.shape[-1] ** -0.5, k, v, (dropout, size), bias)  # type: ignore[no-untyped-call]
    return read


class _Blocks(torch.autograd.Function):
    """FlashAttention's algebra (arXiv 2205.14135) in a few matrix products: weights are divided by their sum after
    they have met the values, and the backward pass reads each weight once."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, how: tuple[float, int], bias: Tensor) -> Tensor:
        dropout, size = how
        outs, saved = [], []
        for start in range(0, q.shape[2], size):
            end = min(start + size, q.shape[2])
            scores = q[:, :, start:end].contiguous() @ k[:, :, :end].contiguous().transpose(2, 3)
            scores = scores.float() + bias[:, :, start:end, :end]
            weights = (scores - scores.amax(-1, keepdim=True)).exp().to(v.dtype)
            total = weights.sum(-1, keepdim=True, dtype=torch.float32)
            kept = F.dropout(weights, dropout) if dropout else weights
            outs.append((kept @ v[:, :, :end] / total).to(v.dtype))
            saved += [weights, kept, total]
        out = torch.cat(outs, dim=2)
        ctx.save_for_backward(q, k, v, out, *saved)
        ctx.size = size
        return out

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> tuple[Tensor | None, ...]:
        q, k, v, out, *saved = ctx.saved_tensors
        dq, dk, dv = [], [], []
        for number, (weights, kept, total) in enumerate(zip(*(saved[i::3] for i in range(3)), strict=True)):
            start, end = number * ctx.size, weights.shape[-1]
            d_read = (outer[0][:, :, start:end] / total).to(v.dtype)
            own = (d_read.float() * out[:, :, start:end]).sum(-1, keepdim=True)
            d_kept = d_read @ v[:, :, :end].transpose(2, 3)
            d_scores = (kept.float() * d_kept - weights * own).to(v.dtype)
            dq.append(d_scores @ k[:, :, :end].contiguous())
            dk.append(d_scores.transpose(2, 3) @ q[:, :, start:end].contiguous())
            dv.append(kept.transpose(2, 3) @ d_read)
        return torch.cat(dq, dim=2), _added(dk, ctx.size), _added(dv, ctx.size), None, None


def _added(pieces: list[Tensor], size: int) -> Tensor:
    """The sum of [B, H, n, D] pieces that all begin at position 0 and end a block apart."""
    rows = []
    for number in range(len(pieces)):
        start, end = number * size, pieces[number].shape[2]
        rows.append(
            sum((piece[:, :, start:end] for piece in pieces[number + 1 :]), pieces[number][:, :, start:])
        )
    return torch.cat(rows, dim=2)
