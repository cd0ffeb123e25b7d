"""Token rows -> a model trained on them from nothing (the paper's phi-1-base)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, field_validator

from hornbook.core.context import Tools
from hornbook.core.errors import ConfigError
from hornbook.core.shards import Counts
from hornbook.model.config import BY_EXERCISES, Choice, PhiConfig, Size, TrainConfig


class PretrainConfig(TrainConfig):
    """How a model is trained from nothing; the defaults are the paper's where it names a value."""

    size: Size
    """Layers, width and heads, by name (hornbook.model.config.SIZES)."""
    vocabulary_rows: int = Field(0, ge=0)
    """Rows of the embedding and of the head, as 51,200 in phi-1's released checkpoint: a multiple of 64 suits a GPU.
    0: as many as the tokenizer has ids."""
    peak_learning_rate: float = Field(1e-3, gt=0, le=1)
    warmup_steps: int = Field(750, ge=0)

    @field_validator("choose_by")
    @classmethod
    def _needs_no_exercises(cls, choice: Choice) -> Choice:
        if choice in BY_EXERCISES:
            raise ValueError(f"{choice!r} is for finetune; pretrain may choose by last or heldout_loss")
        return choice


def run(config: PretrainConfig, inputs: Mapping[str, Path], out: Path, tools: Tools) -> Counts:
    """Train a new model of `size` on `rows`, with the vocabulary of `tokenizer`."""
    from hornbook.model.distributed import launched, needs_launch
    from hornbook.model.loop import Lesson, train
    from hornbook.model.phi import Phi
    from hornbook.model.sequences import open_rows
    from hornbook.model.tokenizer import load_tokenizer

    if needs_launch(tools.machine):
        return launched(run, config, inputs, out, tools)
    tokenizer, rows = load_tokenizer(inputs["tokenizer"]), open_rows(inputs["rows"])
    ids = tokenizer.vocabulary
    if config.vocabulary_rows and config.vocabulary_rows < ids:
        raise ConfigError(
            f"pretrain.vocabulary_rows is {config.vocabulary_rows}, but the tokenizer has {ids} ids"
        )
    shape = PhiConfig.of_size(config.size, config.vocabulary_rows or ids, rows.tokens)
    model = Phi(shape, config.dropout).initialise(tools.seed)
    return train(model, Lesson(rows, tokenizer), config, out, tools)
