"""Arms: what a recipe trains on what, from which seeds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from hornbook.core.config import Config


class Mix(Config):
    """What an arm reads: datasets and their shares of its tokens."""

    tokens: int = Field(ge=1)
    """Tokens of one pass; datasets that run short are repeated and the report says how often."""
    parts: dict[str, float]
    """Dataset -> its share of the tokens: dedup, source/NAME (what one of read's sources left in it), filter,
    filter.NAME, textbooks, exercises/NAME, degrade/NAME."""


def sources(mixes: Mapping[str, Mix]) -> dict[str, str]:
    """Dataset -> NAME of each source/NAME that a mix reads."""
    parts = sorted({part for mix in mixes.values() for part in mix.parts})
    named = {part: re.fullmatch(r"source/([A-Za-z0-9][A-Za-z0-9._-]*)", part) for part in parts}
    return {part: found[1] for part, found in named.items() if found}


class Arm(Config):
    """One way to make a model: pretrain on a mix and, where named, finetune on another.

    The first arm is the one that the report compares the others with.
    """

    mix: str
    finetune: str | None = None
    seed: int = 0
    seeds: list[int] | None = Field(None, min_length=1, exclude=True)
    """In place of `seed`, several: an arm each, called NAME-SEED. Comparisons then say how far the seed alone moves."""


def one_seed_each(written: Mapping[str, Any]) -> dict[str, Any]:
    """Arms as a recipe has them, each arm with several seeds as so many arms with one."""
    found: dict[str, Any] = {}
    for name, given in written.items():
        arm = (
            {key: getattr(given, key) for key in given.model_fields_set} if isinstance(given, Arm) else given
        )
        several = arm.get("seeds") if isinstance(arm, dict) else None
        if not several or not isinstance(several, list):
            made = {name: arm}
        elif "seed" in arm:
            raise ValueError(f"arms.{name} has both seed and seeds; keep one")
        else:
            shared = {key: value for key, value in arm.items() if key != "seeds"}
            made = {f"{name}-{seed}": {**shared, "seed": seed} for seed in several}
            if len(made) < len(several):
                raise ValueError(f"arms.{name}.seeds is {several}; each seed should be there once")
        for twice in found.keys() & made.keys():
            raise ValueError(f"arms.{name} would make a second arm {twice!r}; call one something else")
        found |= made
    return found
