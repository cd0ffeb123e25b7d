"""What the runner hands to a stage; a stage can reach nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import SecretStr

from hornbook.core.machine import Machine
from hornbook.core.progress import Progress, Silent
from hornbook.core.workers import Serial, Workers


@dataclass(frozen=True)
class Tools:
    """A stage's seed and the means to work: worker processes, progress, teacher, machine settings."""

    seed: int = 0
    workers: Workers = field(default_factory=Serial)
    progress: Progress = field(default_factory=Silent)
    machine: Machine = field(default_factory=Machine)
    teacher: Callable[[], Any] | None = None
    """Opens the recipe's teacher (a context manager) on first need; None where the stage has no teacher."""
    sandbox: Callable[..., Any] | None = None
    """Opens a sandbox (a context manager): `sandbox(mode=..., limits=...)`."""
    keys: Mapping[str, SecretStr] = field(default_factory=dict)
    """Models made elsewhere -> the key of the server that they answer from."""
    cache: Path = Path(".cache")
    """A folder for what is paid for once and shared by all runs."""
