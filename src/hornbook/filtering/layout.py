"""A recipe's filters as steps: one measures, one judges, one chooses; what is alike is shared."""

from __future__ import annotations

from collections.abc import Mapping

from hornbook.core.config import Config
from hornbook.filtering.settings import FeaturesConfig, FilterConfig, JudgeConfig

CHECKPOINT = "checkpoint."
"""What the names of those inputs of features begin with that are models of the recipe."""

Made = tuple[str, Config, dict[str, str]]
"""Step key, config, and inputs by name."""


def laid_out(filters: Mapping[str, FilterConfig], shown_chars: int) -> list[Made]:
    """The steps of all filters, by step key (filter or filter.NAME), each after those that it reads.

    Where a filter says nothing else, features are of as much of a document as a teacher is shown, `shown_chars`.
    Filters that measure the same share the step, and so do those that also judge alike; it bears the first one's name.
    """
    measured: dict[str, FeaturesConfig] = {}
    judged: dict[str, tuple[JudgeConfig, FeaturesConfig | None]] = {}
    made: list[Made] = []
    for key, config in filters.items():
        by = config.measuring and config.measuring.seeing(shown_chars)
        judging = (config.judging, by)
        if by and by not in measured.values():
            measured[_named("features", key)] = by
            made.append((_named("features", key), by, _measuring(by)))
        if judging not in judged.values():
            judged[_named("judge", key)] = judging
            learnt = {"labels": "annotate"} if config.learns else {}
            if by:
                learnt["features"] = _key(measured, by)
            made.append((_named("judge", key), config.judging, {"documents": "dedup", **learnt}))
        made.append((key, config.choosing, {"documents": "dedup", "judge": _key(judged, judging)}))
    return made


def _named(stage: str, key: str) -> str:
    """features.NAME or judge.NAME beside filter.NAME."""
    return key.replace("filter", stage, 1)


def _key(made: Mapping[str, object], wanted: object) -> str:
    return next(key for key, config in made.items() if config == wanted)


def _measuring(config: FeaturesConfig) -> dict[str, str]:
    """What the features are measured of, and by which models of the recipe."""
    return {"documents": "dedup", **{f"{CHECKPOINT}{arm}": f"pretrain/{arm}" for arm in config.arms}}
