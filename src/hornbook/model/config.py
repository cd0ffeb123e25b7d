"""What a model is and how it is trained, as data; nothing in here needs torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Self

from pydantic import Field, model_validator

from hornbook.core.settings import Config
from hornbook.model.precision import Precision


@dataclass(frozen=True)
class Shape:
    """A decoder's depth and width; a head has 64 dimensions and the MLP is four times as wide."""

    layers: int
    width: int
    heads: int


Choice = Literal["last", "heldout_loss", "likelihood", "pass_rate"]
BY_EXERCISES = ("likelihood", "pass_rate")

Size = Literal["nano", "micro", "mini", "small", "phi-1-small", "phi-1"]

SIZES: dict[str, Shape] = {
    "nano": Shape(layers=4, width=128, heads=2),
    "micro": Shape(layers=4, width=256, heads=4),
    "mini": Shape(layers=8, width=384, heads=6),
    "small": Shape(layers=12, width=768, heads=12),
    "phi-1-small": Shape(layers=20, width=1024, heads=16),
    "phi-1": Shape(layers=24, width=2048, heads=32),
}


class PhiConfig(Config):
    """Everything that decides what a Phi decoder computes."""

    layers: int = Field(ge=1)
    width: int = Field(ge=8)
    heads: int = Field(ge=1)
    mlp_width: int = Field(ge=8)
    vocabulary_rows: int = Field(ge=2)
    """Rows of the embedding and of the head; at least the tokens of the tokenizer."""
    context_tokens: int = Field(2048, ge=2)
    """Tokens of the sequences it is trained on."""
    rotary_dims: int = Field(32, ge=2, multiple_of=2)
    """Leading dimensions of each head that rotary position embedding turns."""
    rotary_base: float = Field(10_000.0, gt=1)
    norm_epsilon: float = Field(1e-5, gt=0)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is not divisible by {self.heads} heads")
        if self.rotary_dims > self.width // self.heads:
            raise ValueError(f"rotary_dims {self.rotary_dims} exceeds a head's {self.width // self.heads}")
        return self

    @classmethod
    def of_size(cls, size: str, vocabulary_rows: int, context_tokens: int = 2048) -> PhiConfig:
        """The configuration of a named size (a key of SIZES)."""
        shape = SIZES[size]
        return cls(
            layers=shape.layers,
            width=shape.width,
            heads=shape.heads,
            mlp_width=4 * shape.width,
            vocabulary_rows=vocabulary_rows,
            context_tokens=context_tokens,
        )

    @property
    def head_dims(self) -> int:
        return self.width // self.heads

    @property
    def parameters(self) -> int:
        """Trained numbers: embedding, layers, final norm, untied head with bias."""
        attention = 4 * (self.width**2 + self.width)
        mlp = 2 * self.width * self.mlp_width + self.mlp_width + self.width
        norm = 2 * self.width
        tables = 2 * self.vocabulary_rows * self.width + self.vocabulary_rows
        return self.layers * (attention + mlp + norm) + norm + tables


class TrainConfig(Config):
    """How a model is trained on token rows; pretraining and finetuning differ only in these values."""

    tokens: int = Field(ge=1)
    """Tokens seen in all; rows are repeated in a new order each epoch until they are reached."""
    tokens_per_step: int = Field(ge=1)
    """Tokens an optimiser step averages over; rounded down to whole rows."""
    peak_learning_rate: float = Field(gt=0, le=1)
    warmup_steps: int = Field(ge=0)
    """Steps over which the learning rate climbs from zero to its peak."""
    schedule: Literal["linear", "cosine", "wsd", "constant"] = "linear"
    """The learning rate after the warm-up: linear and cosine end at zero; wsd stays at its peak and falls to zero over
    the last fifth."""
    weight_decay: float = Field(0.1, ge=0, le=1)
    """AdamW's decay of matrices; biases, norms and the embedding are not decayed."""
    adam_beta1: float = Field(0.9, ge=0, lt=1)
    adam_beta2: float = Field(0.98, ge=0, lt=1)
    adam_epsilon: float = Field(1e-7, gt=0)
    clip_gradient_norm: float = Field(1.0, gt=0)
    dropout: float = Field(0.1, ge=0, lt=1)
    """On attention weights and on both branches before they join the residual."""
    precision: Precision = "auto"
    """Of matrix products; weights and optimiser are float32. auto, the default, takes what the machine is fast in: bf16
    on a processor or GPU that has it natively, fp16 with a loss scale on an older GPU, else fp32. What is taken enters
    the fingerprint; a training that was begun in another precision is continued in that."""
    document_mask: bool = False
    """A token sees its own document alone, not those packed into the row before it; the paper lets it see all."""
    checkpoint_every_steps: int = Field(1000, ge=1)
    """A killed run resumes from the last of these; the held-out loss is measured at each."""
    choose_by: Choice = "last"
    """Which checkpoint becomes the model: the last, or the one of the lowest loss on held-out rows (heldout_loss)."""
    choose_exercises: int = Field(100, ge=1)
    """Held-out exercises, at most, that choose; evaluation never uses these."""
    heldout_rows: int = Field(256, ge=0)
    """Held-out rows, at most, that the held-out loss is measured on."""
