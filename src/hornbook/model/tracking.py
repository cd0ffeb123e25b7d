"""Metrics to TensorBoard, Weights & Biases or Trackio, where the machine file names one."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from hornbook.core.errors import InputError, first_line
from hornbook.core.machine import Machine


class Tracker(Protocol):
    """Where the numbers of a training go, a step at a time."""

    def log(self, step: int, numbers: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


class NoTracker:
    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        pass

    def close(self) -> None:
        pass


class TensorBoard:
    """Event files for `tensorboard --logdir`."""

    def __init__(self, run: str, config: Mapping[str, Any], machine: Machine) -> None:
        module = _module("torch.utils.tensorboard", "tensorboard")
        self.writer = module.SummaryWriter(str(Path(machine.root) / "tracking" / run))
        self.writer.add_text("config", "\n".join(f"    {key} = {value}" for key, value in config.items()))

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, step)

    def close(self) -> None:
        self.writer.close()


class Hosted:
    """Weights & Biases or Trackio, whose modules speak alike: a run is gone on with after a kill."""

    def __init__(self, module: Any, run: str, config: Mapping[str, Any], options: Mapping[str, Any]) -> None:
        self.module = module
        with redirect_stdout(sys.stderr):  # standard output is the command's
            module.init(name=run, config=dict(config), resume="allow", **options)

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        self.module.log(dict(numbers), step=step)

    def close(self) -> None:
        with redirect_stdout(sys.stderr):
            self.module.finish()


def _wandb(run: str, config: Mapping[str, Any], machine: Machine) -> Tracker:
    folder = Path(machine.root) / "tracking"
    folder.mkdir(parents=True, exist_ok=True)
    options = {"project": machine.tracker_project, "dir": str(folder), "id": run}
    return Hosted(_module("wandb", "wandb"), run, config, options)


def _trackio(run: str, config: Mapping[str, Any], machine: Machine) -> Tracker:
    return Hosted(_module("trackio", "trackio"), run, config, {"project": machine.tracker_project})


TRACKERS: dict[str, Callable[[str, Mapping[str, Any], Machine], Tracker]] = {
    "none": lambda run, config, machine: NoTracker(),
    "tensorboard": TensorBoard,
    "wandb": _wandb,
    "trackio": _trackio,
}
"""The values of Machine.tracker."""


def open_tracker(machine: Machine, run: str, config: Mapping[str, Any]) -> Tracker:
    """The machine's tracker for a run of this name; InputError where its package is missing or does not start."""
    try:
        return TRACKERS[machine.tracker](run, config, machine)
    except InputError:
        raise
    except Exception as error:  # each package has its own: no key, no server, a name that it refuses
        raise InputError(
            f"tracker is {machine.tracker!r}, but it did not start: {first_line(error)} (docs/training.md has what "
            "each needs; without any: tracker none)"
        ) from error


def _module(name: str, package: str) -> Any:
    try:
        return import_module(name)
    except ImportError as error:
        raise InputError(
            f"tracker is {package!r}, but it is not installed: pip install hornbook[{package}], or set tracker to none"
        ) from error
