from __future__ import annotations

import pytest
import torch

from hornbook.model.config import SIZES
from hornbook.model.phi import Phi, PhiConfig


@pytest.mark.parametrize(
    ("size", "parameters"),
    [
        ("nano", 13_950_720),
        ("micro", 29_423_104),
        ("mini", 53_563_136),
        ("small", 163_731_968),
        ("phi-1-small", 356_794_368),
        ("phi-1", 1_418_270_720),
    ],
)
def test_sizes_have_the_parameters_they_state(size: str, parameters: int) -> None:
    config = PhiConfig.of_size(size, vocabulary_rows=51_200)
    with torch.device("meta"):
        counted = sum(p.numel() for p in Phi(config).parameters())
    assert counted == config.parameters == parameters


def test_every_size_is_tested() -> None:
    assert list(SIZES) == ["nano", "micro", "mini", "small", "phi-1-small", "phi-1"]


def test_a_token_does_not_see_what_comes_after_it(model: Phi) -> None:
    tokens = torch.arange(40)[None]
    changed = tokens.clone()
    changed[0, 25:] = 7
    a, b = model(tokens), model(changed)
    torch.testing.assert_close(a[:, :25], b[:, :25], atol=1e-5, rtol=1e-5)
    assert not torch.allclose(a[:, 25:], b[:, 25:])


def test_initial_weights_depend_on_the_seed_alone(config: PhiConfig) -> None:
    a, b, c = (Phi(config).initialise(seed).embed.weight for seed in (1, 1, 2))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)


def test_dropout_acts_in_training_alone(config: PhiConfig) -> None:
    model = Phi(config, dropout=0.3).initialise(0)
    tokens = torch.arange(20)[None]
    assert not torch.equal(model.train()(tokens), model(tokens))
    assert torch.equal(model.eval()(tokens), model(tokens))


def test_a_shape_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="not divisible"):
        PhiConfig(layers=1, width=100, heads=3, mlp_width=400, vocabulary_rows=10)
