"""Token rows and a model -> the model trained further on them (the paper's phi-1, on CodeExercises)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field

from hornbook.core.shards import Counts
from hornbook.core.tools import Tools
from hornbook.model.config import TrainConfig


class FinetuneConfig(TrainConfig):
    """How a model is trained further; the defaults are the paper's where it names a value."""

    peak_learning_rate: float = Field(1e-4, gt=0, le=1)
    warmup_steps: int = Field(50, ge=0)
    weight_decay: float = Field(0.01, ge=0, le=1)


def run(config: FinetuneConfig, inputs: Mapping[str, Path], out: Path, tools: Tools) -> Counts:
    """Train the model of `checkpoint` on `rows`; its tokenizer is the one the rows were made with."""
    from hornbook.model.checkpoint import load_weights
    from hornbook.model.loop import train
    from hornbook.model.rows import open_rows
    from hornbook.model.tokenizer import load_tokenizer

    model = load_weights(inputs["checkpoint"], config.dropout)
    return train(model, load_tokenizer(inputs["tokenizer"]), open_rows(inputs["rows"]), config, out, tools)
