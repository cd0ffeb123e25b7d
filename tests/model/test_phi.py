from __future__ import annotations

import pytest
import torch

from hornbook.model.config import SIZES
from hornbook.model.phi import Phi, PhiConfig, attention


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


@pytest.mark.parametrize("length", [1, 7, 64, 100])
@pytest.mark.parametrize("blocks", [1, 3, 4])
def test_both_attention_paths_compute_the_same(length: int, blocks: int) -> None:
    torch.manual_seed(0)
    q, k, v = (torch.randn(2, 3, length, 8, requires_grad=True) for _ in range(3))
    weight = torch.randn(2, 3, length, 8)
    results = []
    for path in (0, blocks):
        out = attention(q, k, v, blocks=path)
        results.append((out, *torch.autograd.grad((out * weight).sum(), (q, k, v))))
    for fused, blocked in zip(*results, strict=True):
        torch.testing.assert_close(fused, blocked, atol=1e-5, rtol=1e-5)


def test_attention_dropout_keeps_the_mean() -> None:
    torch.manual_seed(0)
    q, k = torch.zeros(64, 4, 32, 8), torch.zeros(64, 4, 32, 8)
    v = torch.ones(64, 4, 32, 8)
    dropped = attention(q, k, v, dropout=0.5, blocks=2)
    assert dropped.std() > 0.1
    assert dropped.mean() == pytest.approx(1, abs=0.02)


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
