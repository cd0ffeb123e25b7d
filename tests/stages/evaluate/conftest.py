"""A sandbox, a tiny model of our own, and an evaluator for any model."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from adding import add

from hornbook.model.checkpoint import save_model
from hornbook.model.config import PhiConfig
from hornbook.model.phi import Phi
from hornbook.model.tokenizer import train_tokenizer
from hornbook.sandbox import Sandbox
from hornbook.stages.evaluate.evaluator import Completions, Drawing, Evaluator
from hornbook.stages.evaluate.models import Checkpoint


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(workers=2, mode="strict") as opened:
        yield opened


@pytest.fixture
def evaluator(sandbox: Sandbox, tmp_path: Path) -> Iterator[Callable[..., Evaluator]]:
    """`evaluator(model, out, **drawing)`; completions are kept in one file for the whole test."""
    with Completions(tmp_path / "completions.sqlite") as completions:

        def make(model: object, out: str = "out", **drawing: object) -> Evaluator:
            return Evaluator(model, Drawing(**drawing), completions, sandbox, tmp_path / out)  # type: ignore[arg-type]

        yield make


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model of our own, saved."""
    folder = tmp_path_factory.mktemp("tiny")
    tokenizer = train_tokenizer([add(n).prompt + add(n).solution for n in range(40)], 320)
    config = PhiConfig(
        layers=2, width=64, heads=1, mlp_width=128, vocabulary_rows=tokenizer.vocabulary, context_tokens=256
    )
    save_model(folder, Phi(config).initialise(3), tokenizer)
    return folder


@pytest.fixture
def checkpoint(tiny: Path) -> Checkpoint:
    return Checkpoint(tiny, "cpu")
