"""What asking will cost, before anything is sent."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hornbook.core.config import Prices
from hornbook.teachers.ask import Answer, Ask
from hornbook.teachers.budget import answer_tokens, prompt_tokens

TYPICAL_TOKENS_PER_BYTE = 0.25
ENOUGH_ANSWERS = 10
"""From so many cached answers on, their means tell more than the bounds do."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What a stage would ask; `guess` says why these are not the very asks, and is empty where they are."""

    asks: Sequence[Ask]
    guess: str = ""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a set of asks will cost: `asks` differ from each other, `cached` are free, the tokens are for the rest."""

    asks: int
    cached: int
    tokens_in: int
    tokens_out: int
    money: float
    basis: str
    """"measured": by the means of the cached answers; "bound": answers as long as they may be."""


def estimate(
    asks: Sequence[Ask], find: Callable[[Ask], Answer | None], prices: Prices | None = None
) -> Estimate:
    """The cost of asking what `find` (a cache) does not hold; equal asks are paid once."""
    found = {ask: find(ask) for ask in dict.fromkeys(asks)}
    known = [(ask, answer) for ask, answer in found.items() if answer is not None]
    missing = [ask for ask, answer in found.items() if answer is None]
    measured = len(known) >= ENOUGH_ANSWERS and all(answer.tokens_in for _, answer in known)
    share_in, share_out = _shares(known) if measured else (TYPICAL_TOKENS_PER_BYTE, 1.0)
    tokens_in = math.ceil(sum(prompt_tokens(ask) for ask in missing) * share_in)
    tokens_out = math.ceil(sum(answer_tokens(ask) for ask in missing) * share_out)
    money = (prices or Prices()).money(tokens_in, tokens_out)
    basis = "measured" if measured else "bound"
    return Estimate(len(found), len(known), tokens_in, tokens_out, money, basis)


def _shares(known: Sequence[tuple[Ask, Answer]]) -> tuple[float, float]:
    """How much of their bounds the prompts and the answers of the cache have used."""
    tokens_in = sum(answer.tokens_in for _, answer in known)
    tokens_out = sum(answer.tokens_out for _, answer in known)
    bounds = sum(prompt_tokens(ask) for ask, _ in known), sum(answer_tokens(ask) for ask, _ in known)
    return tokens_in / bounds[0], tokens_out / bounds[1]
