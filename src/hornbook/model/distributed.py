"""Several processes that train one model: started here or by torchrun, with torch alone or with DeepSpeed."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed
from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, record
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from hornbook.core import errors
from hornbook.core.context import Tools
from hornbook.core.errors import ConfigError, HornbookError, InputError, StageError, first_line
from hornbook.core.machine import DeepSpeedPlace, Machine
from hornbook.core.progress import Silent, open_progress
from hornbook.core.scratch import scratch
from hornbook.core.settings import Config
from hornbook.core.shards import Counts
from hornbook.model import ranks
from hornbook.model.engine import Engine, Objective, Step, TorchEngine, on
from hornbook.model.optimiser import open_optimiser
from hornbook.model.plan import find_device

if TYPE_CHECKING:
    from collections.abc import Iterator

    from hornbook.model.config import TrainConfig
    from hornbook.model.plan import Plan
    from hornbook.model.sequences import Ids
Run = Callable[[Any, Mapping[str, Path], Path, Tools], Counts]
TAG = "state"
PATIENCE = timedelta(minutes=30)
"""While one process writes a checkpoint, 17 GB of phi-1, the others wait; NCCL alone would give up after 10 minutes."""


def needs_launch(machine: Machine) -> bool:
    """Whether this process must start those that train: several, or one with DeepSpeed, and is none of them."""
    return not ranks.joined() and (machine.launch > 1 or machine.deepspeed is not None)


def launched(run: Run, config: Config, inputs: Mapping[str, Path], out: Path, tools: Tools) -> Counts:
    """Run a training stage in `Machine.launch` processes on this machine that train together.

    A HornbookError of one of them is raised here; where one dies, the others are ended and StageError says so.
    """
    count = tools.machine.launch
    how = partial(
        LaunchConfig, min_nodes=1, max_nodes=1, nproc_per_node=count, run_id=out.name,
        rdzv_backend="c10d", rdzv_endpoint="127.0.0.1:0", local_addr="127.0.0.1",
        max_restarts=0, monitor_interval=0.1, start_method="spawn",
    )  # fmt: skip
    shown = not isinstance(tools.progress, Silent)
    job = (run, config, dict(inputs), out, (tools.seed, tools.machine, tools.sandbox, shown))
    for name in list(logging.root.manager.loggerDict):  # each has a level of its own
        if name.startswith(("torch.distributed.elastic", "torch.distributed.launcher")):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what went wrong is said once, below
    try:
        with scratch("launch") as logs:  # torch does not remove a folder of its own
            specs = DefaultLogsSpecs(log_dir=str(logs))
            found: dict[int, Counts] = elastic_launch(how(logs_specs=specs), _one_of_many)(*job)
    except ChildFailedError as error:
        raise _explained(error, count) from error
    except SignalException as error:
        raise KeyboardInterrupt from error
    return found[0]


def _explained(failed: ChildFailedError, count: int) -> HornbookError:
    rank, failure = failed.get_first_failure()
    said: Any = failure.message  # a dictionary where the process could tell, whatever torch's annotation says
    name, _, text = str(said["message"] if isinstance(said, dict) else said).partition(": ")
    kind = getattr(errors, name, None)
    if isinstance(kind, type) and issubclass(kind, HornbookError):
        return kind(text)
    how = f"was killed by {failure.signal_name()}" if failure.exitcode < 0 else f"ended with {name}: {text}"
    return StageError(
        f"process {rank} of {count} {how}, and the others were ended; run again to go on from the last checkpoint"
    )


@record
def _one_of_many(
    run: Run,
    config: Config,
    inputs: Mapping[str, Path],
    out: Path,
    shared: tuple[int, Machine, Any, bool],
) -> Counts:
    """One of the processes of a launch."""
    seed, machine, sandbox, shown = shared
    os.dup2(2, 1)  # standard output is the command's, and DeepSpeed writes to it
    with joining(machine):
        progress = open_progress(shown and ranks.rank() == 0)
        return dict(
            run(config, inputs, out, Tools(seed, progress=progress, machine=machine, sandbox=sandbox))
        )


@contextmanager
def joining(machine: Machine) -> Iterator[None]:
    """Train together with the processes that torchrun, or `launched`, has started beside this one."""
    if machine.device not in ("auto", "cpu", "cuda"):
        raise ConfigError(
            f"device is {machine.device!r}; several processes need cpu or cuda, and take a GPU each"
        )
    device = find_device(machine.device)
    cuda = device != "cpu"
    if cuda:
        torch.cuda.set_device(device)
    distributed.init_process_group("nccl" if cuda else "gloo", timeout=PATIENCE)
    try:
        yield
    finally:
        distributed.destroy_process_group()


def started_by_torchrun() -> bool:
    """Whether torchrun started this process."""
    return distributed.is_available() and distributed.is_torchelastic_launched()


def open_engine(objective: Objective, config: TrainConfig, plan: Plan, machine: Machine) -> Engine:
    """DeepSpeed where the machine asks for it, else torch."""
    if machine.deepspeed is None:
        return TorchEngine(objective, config, plan.device)
    return DeepSpeedEngine(objective, config, plan, machine.deepspeed)


class DeepSpeedEngine:
    """ZeRO: optimiser, gradients and weights shared out between processes."""

    def __init__(self, objective: Objective, config: TrainConfig, plan: Plan, place: DeepSpeedPlace) -> None:
        deepspeed = _deepspeed()
        self.plan = plan
        self.layout = f"DeepSpeed's ZeRO {place.zero} in {plan.world} processes"
        optimiser = open_optimiser(objective.model, config)
        self.engine = deepspeed.initialize(
            model=objective, optimizer=optimiser, config=settings(config, plan, place)
        )[0]

    def step(self, step: Step) -> tuple[float, float | None]:
        for group in self.engine.optimizer.param_groups:
            group["lr"] = step.rate
        total = torch.zeros((), device=self.plan.device)
        mean = ranks.world() * len(step.pieces) / step.predicted  # DeepSpeed divides by both
        for tokens in step.pieces:
            loss = self.engine(on(self.plan.device, tokens))
            self.engine.backward(loss * mean)
            self.engine.step()
            total += loss.detach() / step.predicted
        norm = self.engine.get_global_grad_norm()
        return ranks.added(total).item(), None if norm is None else float(norm)

    def loss(self, tokens: Ids) -> Tensor:
        summed: Tensor = self.engine(on(self.plan.device, tokens))
        return summed

    def save(self, folder: Path) -> None:
        self.engine.save_checkpoint(str(folder), tag=TAG)

    def load(self, folder: Path) -> None:
        try:
            found, _ = self.engine.load_checkpoint(str(folder), tag=TAG)
        except Exception as error:  # torch, pickle and DeepSpeed have their own for files that are cut short
            raise _unreadable(folder, first_line(error)) from error
        if found is None:
            raise _unreadable(folder, "it holds no state")

    def weights(self, folder: Path) -> Mapping[str, Tensor]:
        return consolidated(folder)


def _unreadable(folder: Path, why: str) -> StageError:
    return StageError(
        f"DeepSpeed cannot read {folder} ({why}); delete it to go on from the checkpoint before it"
    )


def settings(config: TrainConfig, plan: Plan, place: DeepSpeedPlace) -> dict[str, Any]:
    """DeepSpeed's own configuration for a plan."""
    zero: dict[str, Any] = {"stage": place.zero}
    for name, device in (
        ("offload_optimizer", place.offload_optimizer),
        ("offload_param", place.offload_parameters),
    ):
        if device != "none":
            zero[name] = {"device": device, **({"nvme_path": place.nvme_path} if device == "nvme" else {})}
    return {
        "train_micro_batch_size_per_gpu": plan.micro_batch,
        "gradient_accumulation_steps": plan.micro_batches,
        "gradient_clipping": config.clip_gradient_norm,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "zero_optimization": zero,
        "torch_autocast": {"enabled": config.precision == "bf16", "dtype": "bfloat16"},
        "fp16": {
            "enabled": config.precision == "fp16"
        },  # weights too: its fp16 autocast clips before it unscales
    }


def consolidated(folder: Path) -> dict[str, Tensor]:
    """The float32 weights of a DeepSpeed checkpoint, by their names in Phi: what its processes had shared out."""
    _deepspeed()
    from deepspeed.utils.zero_to_fp32 import get_fp32_state_dict_from_zero_checkpoint

    if list((folder / TAG).glob("*_optim_states.pt")):
        state = get_fp32_state_dict_from_zero_checkpoint(str(folder), TAG)
    else:  # ZeRO 0: every process held all of it
        path = folder / TAG / "mp_rank_00_model_states.pt"
        state = torch.load(path, map_location="cpu", weights_only=False)["module"]
    return {name.removeprefix("model."): tensor.float() for name, tensor in state.items()}


def _deepspeed() -> Any:
    try:
        import deepspeed
    except ImportError as error:
        raise InputError(
            "the machine file asks for deepspeed, which is not installed: pip install hornbook[deepspeed], or leave "
            "its table out to train with torch alone"
        ) from error
    deepspeed.utils.logger.setLevel(logging.WARNING)
    return deepspeed
