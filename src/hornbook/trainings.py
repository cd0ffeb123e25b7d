"""What the trainings of a recipe amount to, before one is begun: steps, epochs, and the arithmetic."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from hornbook.model.config import PhiConfig, TrainConfig
from hornbook.pipeline import Recipe

A100_FLOPS = 312e12
"""Peak of an A100's matrix products in half precision, by its data sheet."""
MFU = 0.5
"""The share of it that a good training reaches: the paper's 770 hours of phi-1 are 49 %."""


@dataclass(frozen=True)
class Training:
    """One training; `epochs` is how often it reads its mix, `flop` 6 times parameters times tokens."""

    step: str
    parameters: int
    tokens: int
    steps: int
    epochs: float
    flop: float

    @property
    def a100_hours(self) -> float:
        return self.flop / (A100_FLOPS * MFU) / 3600


def trainings(recipe: Recipe) -> Iterator[Training]:
    """Every training of a recipe; a tokenizer that exists is taken to fill the rows that `vocabulary` names."""
    if not (recipe.pretrain and recipe.tokenizer and recipe.row_tokens):
        return
    rows = recipe.pretrain.vocabulary_rows or recipe.tokenizer.vocabulary
    parameters = PhiConfig.of_size(recipe.pretrain.size, rows, recipe.row_tokens).parameters
    for name, arm in recipe.arms.items():
        stages: list[tuple[str, TrainConfig | None, str | None]] = [
            ("pretrain", recipe.pretrain, arm.mix),
            ("finetune", recipe.finetune, arm.finetune),
        ]
        for stage, config, mix in stages:
            if config and mix:
                step_tokens = max(1, config.tokens_per_step // recipe.row_tokens) * recipe.row_tokens
                steps = math.ceil(config.tokens / step_tokens)
                tokens, epochs = steps * step_tokens, config.tokens / recipe.mixes[mix].tokens
                yield Training(
                    f"{stage}/{name}", parameters, tokens, steps, epochs, 6.0 * parameters * tokens
                )
