"""Causal attention: torch's fused kernels, chosen and required, and a form of matrix products for two CPU cores."""

from __future__ import annotations

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
    see: on two CPU cores this is the faster form to train with once it is compiled.
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


def document_mask(tokens: Tensor, end_of_text: int) -> Tensor:
    """[B, 1, T, T] True where a token of [B, T] rows may look: itself and earlier tokens of its own document."""
    ends = (tokens == end_of_text).cumsum(-1)
    document = ends - (tokens == end_of_text).to(ends.dtype)  # end-of-text belongs to what it ends
    same = document[:, :, None] == document[:, None, :]
    return same.tril()[:, None]


def cached_attention(q: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """Attention of [B, H, T, D] queries to [B, H, D, S] keys and [B, H, S, D] values under [B, 1, T, S] `mask`.

    One query on a CPU takes two plain products: 14 times faster than the fused kernel with 128 sequences.
    """
    if q.shape[2] > 1 or q.is_cuda:
        return F.scaled_dot_product_attention(q, keys.transpose(2, 3), values, attn_mask=mask)
    weights = (q * q.shape[-1] ** -0.5 @ keys + mask).softmax(-1, dtype=torch.float32)
    read: Tensor = weights.to(values.dtype) @ values
    return read


def _in_blocks(q: Tensor, k: Tensor, v: Tensor, dropout: float, blocks: int, mask: Tensor | None) -> Tensor:
    length = q.shape[2]
    size = -(-length // blocks)
    q = q * q.shape[-1] ** -0.5
    later = torch.ones(size, size, dtype=torch.bool, device=q.device).triu(1)
    outs = []
    for start in range(0, length, size):
        end = min(start + size, length)
        scores = q[:, :, start:end] @ k[:, :, :end].transpose(2, 3)
        hidden = F.pad(later[: end - start, : end - start], (start, 0))
        if mask is not None:
            hidden = ~mask[:, :, start:end, :end]
        weights = scores.masked_fill(hidden, float("-inf")).softmax(-1, dtype=torch.float32).to(v.dtype)
        outs.append(F.dropout(weights, dropout, training=dropout > 0) @ v[:, :, :end])
    return torch.cat(outs, dim=2)
