"""One optimiser step, and what it takes to go on from it: in one process, or in several with torch alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from hornbook.model import ranks
from hornbook.model.checkpoint import load_state, save_state
from hornbook.model.config import TrainConfig
from hornbook.model.optimiser import open_optimiser, restore, training_state
from hornbook.model.phi import Phi
from hornbook.model.plan import PRECISIONS
from hornbook.model.sequences import Ids

STATE_FILE = "state.safetensors"


@dataclass(frozen=True)
class Step:
    """One optimiser step: this process's micro-batches of token rows, and what all processes share."""

    pieces: Sequence[Ids]
    predicted: int
    """Tokens predicted in the micro-batches of all processes."""
    rate: float


class Engine(Protocol):
    """Steps a model; every process calls the same methods in the same order."""

    layout: str
    """Whose checkpoints `load` can read: those that an engine of this very layout saved."""

    def step(self, step: Step) -> tuple[float, float | None]:
        """Mean loss, in nats a token over all processes, and the gradients' norm before clipping, where it is known."""
        ...

    def loss(self, tokens: Ids) -> Tensor:
        """The summed loss of [B, T] rows."""
        ...

    def save(self, folder: Path) -> None:
        """Write what `load` goes on from."""
        ...

    def load(self, folder: Path) -> None: ...

    def weights(self, folder: Path) -> Mapping[str, Tensor]:
        """The float32 weights, by name, that `save` wrote to `folder`."""
        ...


class Objective(nn.Module):
    """Token rows [B, T] -> their summed loss."""

    def __init__(self, model: Phi, config: TrainConfig, end_of_text: int) -> None:
        super().__init__()
        self.model = model
        self.end_of_text = end_of_text if config.document_mask else None

    def forward(self, tokens: Tensor) -> Tensor:
        return self.model.loss(tokens, self.end_of_text)


def on(device: str, tokens: Ids) -> Tensor:
    """Rows as a tensor there."""
    return torch.from_numpy(tokens.astype(np.int64)).to(device, non_blocking=True)


class TorchEngine:
    """torch's autocast, AdamW and, between processes, DistributedDataParallel."""

    def __init__(self, objective: Objective, config: TrainConfig, device: str) -> None:
        self.model, self.config, self.device = objective.model, config, device
        self.kind = device.split(":", maxsplit=1)[0]
        self.layout = "torch"  # of any number of processes: each holds all of it
        self.optimiser = open_optimiser(self.model, config)
        self.scaler = torch.amp.GradScaler(self.kind, enabled=config.precision == "fp16")
        self.objective = objective
        self.shared = DistributedDataParallel(objective) if ranks.world() > 1 else None

    def step(self, step: Step) -> tuple[float, float]:
        for group in self.optimiser.param_groups:
            group["lr"] = step.rate
        total = torch.zeros((), device=self.device)
        for number, tokens in enumerate(step.pieces, 1):
            with self._gathering(number == len(step.pieces)):
                loss = self.loss(tokens) / step.predicted
                self.scaler.scale(loss * ranks.world()).backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
        self.scaler.unscale_(self.optimiser)
        norm = nn.utils.clip_grad_norm_(self.model.parameters(), self.config.clip_gradient_norm)
        self.scaler.step(self.optimiser)
        self.scaler.update()
        self.optimiser.zero_grad()
        return ranks.added(total).item(), norm.item()

    def loss(self, tokens: Ids) -> Tensor:
        half, kind = PRECISIONS[self.config.precision], self.kind
        learning = self.shared is not None and torch.is_grad_enabled()
        forward = self.shared if self.shared is not None and learning else self.objective
        with torch.autocast(kind, half if half != torch.float32 else None, enabled=half != torch.float32):
            summed: Tensor = forward(on(self.device, tokens))
        return summed

    def _gathering(self, last: bool) -> AbstractContextManager[None]:
        """Gradients of all processes are added up once a step, with its last micro-batch."""
        return nullcontext() if last or self.shared is None else self.shared.no_sync()

    def save(self, folder: Path) -> None:
        if ranks.rank() == 0:
            facts = {"scaler": json.dumps(self.scaler.state_dict())}
            save_state(folder / STATE_FILE, training_state(self.model, self.optimiser), facts)

    def load(self, folder: Path) -> None:
        state, facts = load_state(folder / STATE_FILE)
        restore(self.model, self.optimiser, state)
        self.scaler.load_state_dict(json.loads(facts["scaler"]))

    def weights(self, folder: Path) -> Mapping[str, Tensor]:
        state, _ = load_state(folder / STATE_FILE)
        return {name.removeprefix("weight."): t for name, t in state.items() if name.startswith("weight.")}
