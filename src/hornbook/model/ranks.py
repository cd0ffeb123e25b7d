"""Where this process stands among those that train one model; alone, it is rank 0 of 1."""

from __future__ import annotations

import torch
from torch import distributed


def joined() -> bool:
    """Whether this process trains together with others."""
    return distributed.is_available() and distributed.is_initialized()


def rank() -> int:
    return distributed.get_rank() if joined() else 0


def world() -> int:
    """Processes in all, on every machine."""
    return distributed.get_world_size() if joined() else 1


def wait() -> None:
    """Go on when every process has come here."""
    if world() > 1:
        distributed.barrier()


def added(value: torch.Tensor) -> torch.Tensor:
    """The sum of every process's value."""
    if world() > 1:
        distributed.all_reduce(value)
    return value


def agreed(value: float, device: str) -> float:
    """Rank 0's value, in every process."""
    shared = torch.tensor(value, dtype=torch.float64, device=device)
    if world() > 1:
        distributed.broadcast(shared, 0)
    return shared.item()
