"""The likelihood of given completions: windows of at most a context, scored a few at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hornbook.model.sampling import Score

SCORED_TOKENS = 8192
"""Tokens of a forward pass that scores."""
Encoded = tuple[list[int], list[int]]
"""The ids of a prompt, what stands in front of it included, and of its completion."""


def likelihoods(
    pairs: Sequence[tuple[str, str]],
    encoded: Sequence[Encoded],
    context: int,
    logits: Callable[[Tensor], Tensor],
) -> list[Score]:
    """The likelihood of each completion after its prompt, by a function from ids [B, T] to logits [B, T, V].

    Shorter rows are padded at the right, where a causal model does not look. Where a pair exceeds the context, each
    token is predicted from at least the half of the context before it.
    """
    totals = [0.0] * len(pairs)
    windows = [
        window
        for i, (before, after) in enumerate(encoded)
        for window in _windows(i, [*before, *after], len(before), context)
    ]
    for batch in _batches(sorted(windows, key=lambda w: len(w.ids))):
        for window, value in zip(batch, _log_probabilities(logits, batch), strict=True):
            totals[window.pair] += value
    return [
        Score(total, len(after), len(completion), len(completion.encode()))
        for total, (_, after), (_, completion) in zip(totals, encoded, pairs, strict=True)
    ]


@dataclass(frozen=True)
class _Window:
    """At most a context of a pair's ids; those from `first` on are scored."""

    pair: int
    ids: list[int]
    first: int


def _windows(pair: int, ids: list[int], first: int, context: int) -> Iterator[_Window]:
    """Windows that score each id from `first` on once."""
    first = max(first, 1)  # nothing predicts the very first id
    while first < len(ids):
        end = min(len(ids), max(context, first + context // 2))
        begin = max(0, end - context)
        yield _Window(pair, ids[begin:end], first - begin)
        first = end


def _batches(windows: Sequence[_Window]) -> Iterator[list[_Window]]:
    """Windows of rising length, in groups of at most SCORED_TOKENS once padded."""
    group: list[_Window] = []
    for window in windows:
        if group and len(window.ids) * (len(group) + 1) > SCORED_TOKENS:
            yield group
            group = []
        group.append(window)
    if group:
        yield group


@torch.inference_mode()
def _log_probabilities(logits: Callable[[Tensor], Tensor], windows: Sequence[_Window]) -> list[float]:
    """The summed log-probability of each window's scored ids."""
    longest = max(len(window.ids) for window in windows)
    tokens = torch.tensor([window.ids + [0] * (longest - len(window.ids)) for window in windows])
    logs = logits(tokens[:, :-1]).float().log_softmax(-1)
    logs = logs.gather(-1, tokens[:, 1:, None].to(logs.device))[..., 0].double()
    return [
        logs[row, window.first - 1 : len(window.ids) - 1].sum().item() for row, window in enumerate(windows)
    ]
