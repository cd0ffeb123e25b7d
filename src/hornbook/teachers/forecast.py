"""What asking will cost, before anything is sent."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
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

    asks: Iterable[Ask]
    """Made as they are counted, where they are many: a million do not fit into the memory of a laptop."""
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
    asks: Iterable[Ask], find: Callable[[Ask], Answer | None], prices: Prices | None = None
) -> Estimate:
    """The cost of asking what `find` (a cache) does not hold; equal asks are paid once. No ask is kept."""
    seen: set[int] = set()
    known = bound_in = bound_out = used_in = used_out = left_in = left_out = 0
    is_told = True
    for ask in asks:
        if (key := hash(ask)) in seen:
            continue
        seen.add(key)
        answer, most_in, most_out = find(ask), prompt_tokens(ask), answer_tokens(ask)
        if answer is None:
            left_in, left_out = left_in + most_in, left_out + most_out
            continue
        known += 1
        is_told = is_told and bool(answer.tokens_in)
        bound_in, bound_out = bound_in + most_in, bound_out + most_out
        used_in, used_out = used_in + answer.tokens_in, used_out + answer.tokens_out
    measured = known >= ENOUGH_ANSWERS and is_told
    share_in, share_out = (
        (used_in / bound_in, used_out / bound_out) if measured else (TYPICAL_TOKENS_PER_BYTE, 1.0)
    )
    tokens_in, tokens_out = math.ceil(left_in * share_in), math.ceil(left_out * share_out)
    money = (prices or Prices()).money(tokens_in, tokens_out)
    return Estimate(len(seen), known, tokens_in, tokens_out, money, "measured" if measured else "bound")
