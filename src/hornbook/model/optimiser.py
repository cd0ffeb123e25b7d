"""AdamW with decayed and undecayed weights, and the course of its learning rate."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

from hornbook.model.config import TrainConfig

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

    from hornbook.model.phi import Phi

DECAY_SHARE = 0.2
"""Of the steps after the warm-up, in which the schedule warm-up-stable-decay decays (MiniCPM, arXiv 2404.06395)."""
SCHEDULES: dict[str, Callable[[float], float]] = {
    "linear": lambda done: 1 - done,
    "cosine": lambda done: (1 + math.cos(math.pi * done)) / 2,
    "wsd": lambda done: min(1.0, (1 - done) / DECAY_SHARE),
    "constant": lambda done: 1.0,
}
"""Share of the peak learning rate when a share `done` of the steps after the warm-up is done."""

MOMENTS = ("exp_avg", "exp_avg_sq")


def learning_rate(config: TrainConfig, step: int, steps: int) -> float:
    """The learning rate of step 0, 1, ... of `steps`: up in a line, then as the schedule says."""
    if step < config.warmup_steps:
        return config.peak_learning_rate * (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, steps - config.warmup_steps)
    return config.peak_learning_rate * SCHEDULES[config.schedule](done)


def open_optimiser(model: Phi, config: TrainConfig) -> Optimizer:
    """AdamW; the matrices of the layers and of the head are decayed, nothing else is."""
    import torch

    named = dict(model.named_parameters())
    decayed = [p for name, p in named.items() if p.ndim > 1 and not name.startswith("embed")]
    kept = [p for name, p in named.items() if p.ndim == 1 or name.startswith("embed")]
    groups = [{"params": decayed, "weight_decay": config.weight_decay}, {"params": kept, "weight_decay": 0.0}]
    betas = (config.adam_beta1, config.adam_beta2)
    return torch.optim.AdamW(groups, config.peak_learning_rate, betas, config.adam_epsilon, fused=True)


def training_state(model: Phi, optimiser: Optimizer) -> dict[str, Tensor]:
    """Weights, both moments of AdamW, and its count of updates, by name."""
    import torch

    state: dict[str, Tensor] = {"updates": torch.zeros(())}
    for name, parameter in model.named_parameters():
        moments = optimiser.state.get(parameter, {})
        state[f"weight.{name}"] = parameter
        state |= {f"{m}.{name}": moments.get(m, torch.zeros_like(parameter)) for m in MOMENTS}
        state["updates"] = moments.get("step", state["updates"])
    return state


def restore(model: Phi, optimiser: Optimizer, state: dict[str, Tensor]) -> None:
    """Put weights and optimiser back to where training_state found them."""
    import torch

    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(state[f"weight.{name}"])
            moments = {moment: state[f"{moment}.{name}"].to(parameter.device) for moment in MOMENTS}
            optimiser.state[parameter] = {"step": state["updates"].to(parameter.device).clone(), **moments}
