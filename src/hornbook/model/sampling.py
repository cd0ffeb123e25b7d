"""How a model is asked to write, what it wrote, and how likely it finds a text: the words that all models share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Sampling:
    """How completions are drawn."""

    max_new_tokens: int = 256
    temperature: float = 0.0
    """0 takes the likeliest token."""
    top_p: float = 1.0
    """Draw from the likeliest tokens that together have this probability."""
    stop: tuple[str, ...] = ()
    """A completion ends before the first of these."""
    batch_size: int = 64


@dataclass(frozen=True)
class Completion:
    """What a model wrote after a prompt."""

    text: str
    tokens: int
    """Tokens drawn, the end or stop string included."""
    ended: Literal["end", "stop", "length"]


@dataclass(frozen=True)
class Score:
    """How likely a model finds a completion: its log-probability in nats, and what to divide it by."""

    log_probability: float
    tokens: int
    characters: int
    bytes: int
