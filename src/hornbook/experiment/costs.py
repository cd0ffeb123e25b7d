"""What a plan will ask its teachers, and what that will cost; nothing is asked for it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hornbook.core.errors import TeacherError
from hornbook.core.machine import LocalPlace, Machine, Prices
from hornbook.core.store import Store
from hornbook.experiment.plan import Planned
from hornbook.experiment.recipe import Recipe
from hornbook.experiment.steps import STAGES
from hornbook.model.config import PhiConfig, TrainConfig
from hornbook.teachers import Answer, Answers, Ask, Forecast
from hornbook.teachers.budget import Estimate, estimate
from hornbook.teachers.cache import question
from hornbook.teachers.open import ANSWERS, prices, revision


@dataclass(frozen=True)
class Cost:
    """What a step will ask; `per_kept` is what one kept record cost the last time, None while nobody knows."""

    step: str
    teacher: str
    estimate: Estimate
    per_kept: float | None = None
    guess: str = ""
    """Why it is a guess; empty where the very asks are known."""


def costs(planned: Sequence[Planned], machine: Machine) -> list[Cost]:
    """The cost of each step that will ask a teacher, in the order of the plan."""
    store = Store(Path(machine.root))
    path = Path(machine.root) / "cache" / ANSWERS
    answers = Answers(path) if path.exists() else None
    by_key = {item.step.key: item for item in planned}
    try:
        return [
            _cost(item, _built(item, by_key, store), machine, store, answers)
            for item in planned
            if item.step.teacher and item.state != "reuse"
        ]
    finally:
        if answers:
            answers.close()


def _built(item: Planned, by_key: Mapping[str, Planned], store: Store) -> dict[str, Path]:
    """The inputs of a step that are in the store already."""
    inputs = {name: by_key[key] for name, key in item.step.inputs.items()}
    folders = {name: store.folder(i.step.stage, i.fingerprint) for name, i in inputs.items()}
    return {name: folder for name, folder in folders.items() if folder.exists()}


def _cost(
    item: Planned, inputs: Mapping[str, Path], machine: Machine, store: Store, answers: Answers | None
) -> Cost:
    step, stage = item.step, STAGES[item.step.stage]
    place = machine.teachers.get(step.teacher, LocalPlace())
    forecast = (
        stage.asks(step.config, inputs, step.seed)
        if stage.asks
        else Forecast((), "it does not say what it asks")
    )
    guess = forecast.guess
    try:
        answered_as = revision(step.teacher, place)
    except TeacherError as error:
        answered_as, guess = "", f"{error}"

    def find(ask: Ask) -> Answer | None:
        assert answers is not None
        return answers.find(question(step.teacher, answered_as, ask).key)

    charged = prices(place)
    given = answers.given(item.fingerprint) if answers else 0
    known = estimate(forecast, find if answers else None, charged, given)
    per_kept = _per_kept(step.stage, step.teacher, store, answers, charged) if answers else None
    return Cost(step.key, step.teacher, known, per_kept, guess)


def _per_kept(stage: str, teacher: str, store: Store, answers: Answers, charged: Prices) -> float | None:
    """What a kept record took in the newest finished work of the same stage and teacher, at today's prices."""
    finished = (folder for folder in store.finished() if folder.parent.name == stage)
    for folder in sorted(finished, key=lambda folder: folder.stat().st_mtime, reverse=True):
        manifest = store.manifest(stage, folder.name)
        usage = answers.used_by(folder.name)
        kept = int(manifest["counts"].get("kept", 0))
        if usage.answers and kept and manifest["identity"].get("teacher") == teacher:
            return charged.money(usage.tokens_in, usage.tokens_out) / kept
    return None


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
