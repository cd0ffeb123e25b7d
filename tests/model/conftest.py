"""A small trained tokenizer and a small random model, shared by the tests of the room."""

from __future__ import annotations

import inspect
import textwrap

import pytest
import torch

from hornbook.model.phi import Phi, PhiConfig
from hornbook.model.tokenizer import Tokenizer, train_tokenizer


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small tensors gain nothing from two threads, and wait for each other on a busy machine."""
    torch.set_num_threads(1)
    monkeypatch.setattr("hornbook.model.plan.available_cpus", lambda: 1)


@pytest.fixture(scope="session")
def source_text() -> str:
    """Python that is on every machine."""
    return inspect.getsource(textwrap) + inspect.getsource(inspect)


@pytest.fixture(scope="session")
def tokenizer(source_text: str) -> Tokenizer:
    return train_tokenizer([source_text], 600)


@pytest.fixture
def config(tokenizer: Tokenizer) -> PhiConfig:
    return PhiConfig(
        layers=2,
        width=64,
        heads=2,
        mlp_width=256,
        rotary_dims=16,
        vocabulary_rows=tokenizer.vocabulary,
        context_tokens=64,
    )


@pytest.fixture
def model(config: PhiConfig) -> Phi:
    """Random weights large enough that logits differ clearly."""
    made = Phi(config).initialise(seed=3).eval()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return made
