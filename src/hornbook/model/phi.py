"""The decoder of phi-1: attention and MLP in parallel on one LayerNorm, rotary on part of each head.

The architecture is that of transformers' PhiForCausalLM, with which its logits agree. Shapes in names of
comments: B sequences, T positions, C width, H heads, D dimensions of a head, V vocabulary rows.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hornbook.model.config import SIZES, PhiConfig
from hornbook.model.kernels.attention import (
    attention,
    cached_attention,
    causal_mask,
    document_mask,
    mask_bias,
)
from hornbook.model.kernels.fused import Linear, SplitLinear, gelu
from hornbook.model.kernels.loss import IGNORED, head_loss

__all__ = ["SIZES", "Cache", "Phi", "PhiConfig", "attention"]

INITIAL_STD = 0.02
ROOM_STEP = 32
"""Positions by which a cache grows: few, since attention reads the empty ones too."""


class Cache:
    """Keys and values of the positions already read, in buffers with room for some that are to come.

    `padding` [B] counts the positions at the left of each sequence that hold no token.
    """

    def __init__(self, config: PhiConfig, padding: Tensor, dtype: torch.dtype) -> None:
        shape = (2, len(padding), config.heads, 0, config.head_dims)
        self.buffers = [torch.zeros(shape, dtype=dtype, device=padding.device)] * config.layers
        """[2, B, H, S, D] of each layer."""
        self.padding = padding
        self.filled = 0

    def make_room(self, length: int) -> None:
        """Enlarge the buffers, by some positions more, where `length` do not fit.

        Attention reads whole buffers under a mask: products with a part of them would copy it first, each step.
        """
        missing = self.filled + length - self.buffers[0].shape[3]
        if missing > 0:
            for layer, buffer in enumerate(self.buffers):
                self.buffers[layer] = F.pad(buffer, (0, 0, 0, -(-missing // ROOM_STEP) * ROOM_STEP))

    def append(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Store [B, H, T, D] keys and values after those filled; the layer's whole buffers, [B, H, S, D] each."""
        keys, values = self.buffers[layer].unbind()
        end = self.filled + k.shape[2]
        keys[:, :, self.filled : end], values[:, :, self.filled : end] = k, v
        return keys, values

    def positions(self, length: int) -> Tensor:
        """[B, T] position of each of the next `length` slots within its own sequence; padding stands at 0."""
        slots = torch.arange(self.filled, self.filled + length, device=self.padding.device)
        return (slots - self.padding[:, None]).clamp(min=0)

    def mask(self, length: int) -> Tensor:
        """[B, 1, T, S] 0 where a slot may look, itself and earlier tokens that are not padding; else -inf."""
        keys = torch.arange(self.buffers[0].shape[3], device=self.padding.device)
        queries = keys[self.filled : self.filled + length, None]
        earlier = (keys <= queries) & (keys >= self.padding[:, None, None])
        hidden = ~(earlier | (keys == queries))[:, None]
        return torch.zeros_like(hidden, dtype=self.buffers[0].dtype).masked_fill(hidden, float("-inf"))

    def keep(self, sequences: Tensor) -> None:
        """Go on with these sequences only."""
        for layer, buffer in enumerate(self.buffers):
            self.buffers[layer] = buffer[:, sequences]
        self.padding = self.padding[sequences]


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn the leading dims of [B, H, T, D] by [T, dims/2] or [B, 1, T, dims/2] angles (RoFormer, halves paired)."""
    half = cos.shape[-1]
    a, b, rest = torch.split(x, [half, half, x.shape[-1] - 2 * half], dim=-1)
    return torch.cat(((a * cos - b * sin).to(x.dtype), (b * cos + a * sin).to(x.dtype), rest), dim=-1)


class Layer(nn.Module):
    """x + attention(norm x) + mlp(norm x)."""

    def __init__(self, config: PhiConfig, dropout: float, index: int) -> None:
        super().__init__()
        self.index = index
        self.heads = config.heads
        self.dropout = dropout
        self.norm = nn.LayerNorm(config.width, eps=config.norm_epsilon)
        self.qkv_fc1 = SplitLinear(config.width, [config.width] * 3 + [config.mlp_width])
        self.dense = Linear(config.width, config.width)
        self.fc2 = Linear(config.mlp_width, config.width)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, blocks: int, cache: Cache | None, mask: Tensor | None
    ) -> Tensor:
        q, k, v, hidden = self.qkv_fc1(self.norm(x))
        q, k, v = (part.view(*x.shape[:2], self.heads, -1).transpose(1, 2) for part in (q, k, v))
        q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        dropout = self.dropout if self.training else 0.0
        if cache is None:
            read = attention(q, k, v, dropout, blocks, mask)
        else:
            assert mask is not None
            read = cached_attention(q, *cache.append(self.index, k, v), mask)
        attended = self.dense(read.transpose(1, 2).flatten(2))
        thought = self.fc2(gelu(hidden))
        return x + F.dropout(attended, dropout, self.training) + F.dropout(thought, dropout, self.training)


class Head(nn.Linear):
    """[B, T, C] -> logits [B, T, V]; with targets [B, T], the summed cross-entropy instead."""

    compiled = False

    def forward(self, x: Tensor, targets: Tensor | None = None) -> Tensor:
        if targets is None:
            return super().forward(x)
        return head_loss(x.flatten(0, 1), self.weight, self.bias, targets.flatten(), self.compiled)


class Phi(nn.Module):
    """Token ids [B, T] -> logits [B, T, V]."""

    cos: Tensor
    sin: Tensor

    def __init__(self, config: PhiConfig, dropout: float = 0.0) -> None:
        super().__init__()
        self.config = config
        self.attention_blocks = 0
        self.embed = nn.Embedding(config.vocabulary_rows, config.width)
        self.layers = nn.ModuleList(Layer(config, dropout, index) for index in range(config.layers))
        self.norm = nn.LayerNorm(config.width, eps=config.norm_epsilon)
        self.head = Head(config.width, config.vocabulary_rows)
        self.reset_angles()

    def initialise(self, seed: int) -> Phi:
        """Weights ~ N(0, 0.02), biases 0, norms 1, as PhiForCausalLM starts; the same for the same seed."""
        generator = torch.Generator().manual_seed(seed)
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=INITIAL_STD, generator=generator)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)
        return self

    def reset_angles(self) -> Phi:
        """cos and sin [context, rotary_dims / 2] of position x base^(-2i / rotary_dims), anew."""
        dims = self.config.rotary_dims
        device = self.head.weight.device
        frequencies = self.config.rotary_base ** -(
            torch.arange(0, dims, 2, device=device, dtype=torch.float32) / dims
        )
        angles = torch.arange(self.config.context_tokens, device=device)[:, None] * frequencies
        self.register_buffer("cos", angles.cos(), persistent=False)
        self.register_buffer("sin", angles.sin(), persistent=False)
        return self

    def hidden(self, tokens: Tensor, cache: Cache | None = None, mask: Tensor | None = None) -> Tensor:
        """The final norm's output [B, T, C]; with a cache, `tokens` go on from the positions it holds.

        `mask` [B, 1, T, T] says, without a cache, where a token may look; None is every earlier one.
        """
        length = tokens.shape[1]
        x = self.embed(tokens)
        if cache is None:
            cos, sin = self.cos[:length], self.sin[:length]
            if self.attention_blocks:  # once, and not in each layer's compiled code
                mask = mask_bias(causal_mask(length, tokens.device) if mask is None else mask)
        else:
            cache.make_room(length)
            positions, mask = cache.positions(length), cache.mask(length)
            cos, sin = self.cos[positions][:, None], self.sin[positions][:, None]
        cos, sin = cos.to(x.dtype), sin.to(x.dtype)
        for layer in self.layers:
            x = layer(x, cos, sin, self.attention_blocks, cache, mask)
        if cache is not None:
            cache.filled += length
        read: Tensor = self.norm(x)
        return read

    def forward(self, tokens: Tensor, cache: Cache | None = None) -> Tensor:
        logits: Tensor = self.head(self.hidden(tokens, cache))
        return logits

    def loss(self, tokens: Tensor, end_of_text: int | None = None) -> Tensor:
        """The summed cross-entropy, in nats, of each token after the first of [B, T] rows.

        With `end_of_text`, a token sees its own document alone, not those packed into the row before it.
        """
        mask = None if end_of_text is None else document_mask(tokens, end_of_text)
        targets = F.pad(tokens[:, 1:], (0, 1), value=IGNORED)
        loss: Tensor = self.head(self.hidden(tokens, mask=mask), targets)
        return loss
