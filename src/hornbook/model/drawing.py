"""Our draw and our stop rules inside transformers' generate."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from hornbook.model.generate import choose
from hornbook.model.sampling import Sampling
from hornbook.model.tokenizer import Tokenizer


class Drawn:
    """Leaves of each row's scores only the token that the row's own dice draw."""

    def __init__(self, sampling: Sampling, dice: Sequence[random.Random]) -> None:
        self.sampling, self.dice = sampling, dice

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        tokens = choose(scores.float(), self.sampling, self.dice)
        return torch.full_like(scores, -torch.inf).scatter(1, tokens[:, None], 0.0)


class Stopped:
    """Ends a row once a stop string stands in what was written after `start`."""

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str], start: int) -> None:
        self.tokenizer, self.stops, self.start = tokenizer, stops, start
        self.tail_tokens = 1 + max((len(text.encode()) for text in stops), default=0)

    def __call__(self, input_ids: Tensor, scores: Any, **_: Any) -> Tensor:
        if not self.stops:
            return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)
        tails = self.tokenizer.decode_batch(input_ids[:, self.start :][:, -self.tail_tokens :].tolist())
        found = [any(stop in tail for stop in self.stops) for tail in tails]
        return torch.tensor(found, device=input_ids.device)
