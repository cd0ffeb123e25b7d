from __future__ import annotations

from functools import partial

import pytest
import torch

from hornbook.benchmarks import Problem
from hornbook.core.context import Tools
from hornbook.core.machine import Machine
from hornbook.model.phi import Phi, PhiConfig
from hornbook.model.tokenizer import Tokenizer, train_tokenizer
from hornbook.sandbox import Sandbox
from hornbook.stages.train.finetune import likelihood, pass_rate
from hornbook.stages.train.pretrain import PretrainConfig

SOLUTION = "    total = value + 1\n    return total\n"
PROBLEM, UNSOLVED = (
    Problem(
        id=f"heldout/{expected}",
        prompt='def step(value):\n    """Return the next value."""\n',
        solution=SOLUTION,
        tests=f"def check(candidate):\n    assert candidate(1) == {expected}\n",
        entry_point="step",
        benchmark="heldout",
    )
    for expected in (2, 3)
)


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer([PROBLEM.prompt + SOLUTION], 280)


@pytest.fixture
def model(tokenizer: Tokenizer) -> Phi:
    config = PhiConfig(
        layers=1, width=64, heads=1, mlp_width=128, vocabulary_rows=tokenizer.vocabulary, context_tokens=256
    )
    return Phi(config).initialise(0)


def _learn(model: Phi, tokenizer: Tokenizer) -> None:
    prompt, rest = tokenizer.encode_pair(PROBLEM.prompt, SOLUTION)
    row = torch.tensor([[tokenizer.end_of_text, *prompt, *rest, tokenizer.end_of_text]])
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(60):
        model.loss(row).backward()
        optimiser.step()
        optimiser.zero_grad()


def test_the_judges_prefer_a_model_that_has_learnt(model: Phi, tokenizer: Tokenizer) -> None:
    torch.set_num_threads(1)
    tools = Tools(machine=Machine(device="cpu"), sandbox=partial(Sandbox, workers=1))
    before = likelihood(model.eval(), tokenizer, [PROBLEM])
    assert pass_rate(model, tokenizer, [PROBLEM], tools) == 0.0
    _learn(model, tokenizer)
    assert before < -1 < likelihood(model, tokenizer, [PROBLEM]) < 0
    assert pass_rate(model, tokenizer, [PROBLEM, UNSOLVED], tools) == 0.5


def test_pretraining_cannot_choose_by_exercises() -> None:
    with pytest.raises(ValueError, match="may choose by last or heldout_loss"):
        PretrainConfig(size="nano", tokens=1, tokens_per_step=1, choose_by="pass_rate")
