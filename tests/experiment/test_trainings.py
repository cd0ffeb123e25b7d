"""What is said of the trainings before one is begun agrees with the paper where it names numbers."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from hornbook.core.settings import parse, read_toml
from hornbook.experiment.costs import Training, trainings
from hornbook.experiment.recipe import Recipe


def of(name: str) -> dict[str, Training]:
    path = Path(str(files("hornbook") / "recipes" / f"{name}.toml"))
    return {training.step: training for training in trainings(parse(Recipe, read_toml(path), name))}


def test_phi_1_takes_the_steps_epochs_and_hours_of_the_paper() -> None:
    found = of("phi-1")
    base, tuned = found["pretrain/phi-1"], found["finetune/phi-1"]
    assert (base.parameters, base.steps, tuned.steps) == (1_418_270_720, 24_000, 6_000)
    assert base.tokens == pytest.approx(50e9, rel=0.01)
    assert base.epochs == pytest.approx(7.2, abs=0.1)
    assert tuned.epochs == pytest.approx(17, abs=0.6)
    assert base.a100_hours == pytest.approx(770, rel=0.05)
    assert tuned.a100_hours == pytest.approx(7 * 8, rel=0.2)


def test_the_arms_of_phi_1_small_read_equal_tokens_and_one_is_finetuned() -> None:
    found = of("phi-1-small")
    assert set(found) == {
        "pretrain/stack",
        "pretrain/filtered",
        "pretrain/phi-1-small",
        "finetune/phi-1-small",
    }
    assert len({one.tokens for step, one in found.items() if step.startswith("pretrain")}) == 1
    assert found["pretrain/stack"].tokens == pytest.approx(26e9, rel=0.01)
