from __future__ import annotations

import torch
from torch.utils.flop_counter import FlopCounterMode

from hornbook.model.phi import Phi
from hornbook.model.plan import ceiling, flops_per_token


def test_flops_are_those_that_torch_counts(model: Phi) -> None:
    model.attention_blocks = 1  # every query with every key: twice what causal attention needs
    rows = torch.zeros(3, 64, dtype=torch.long)
    with FlopCounterMode(display=False) as counter:
        model(rows).sum().backward()
    config = model.config
    above_the_diagonal = 6 * config.layers * 64 * config.width
    assert counter.get_total_flops() == rows.numel() * (flops_per_token(config, 64) + above_the_diagonal)


def test_the_ceiling_is_measured_once() -> None:
    found = ceiling("cpu", "fp32")
    assert found > 1e9
    assert ceiling("cpu", "fp32") == found
