"""The precision that `auto` stands for on a machine, by what it reports and one timed layer; kept in the cache."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import xxhash

from hornbook.core.errors import ConfigError
from hornbook.core.shards import read_json, write_json

if TYPE_CHECKING:
    from hornbook.core.machine import Machine
    from hornbook.model.phi import Phi

Precision = Literal["auto", "bf16", "fp16", "fp32"]
DTYPES = {"bf16": "bfloat16", "fp16": "float16", "fp32": "float32"}
"""Precision -> torch's name for it."""
Taking = Callable[[str], str]
"""A precision that a recipe names -> the one that is taken."""

FILE = "precision.json"
FASTER = 1.3
"""bf16 is taken on a CPU if a layer runs this many times faster in it than in fp32; an insisted precision that takes
this many times as long as the choice is called slow."""
AMPERE = (8, 0)
SECONDS = 0.4
ROUNDS = 8
LAYER = {"cpu": (256, 512), "cuda": (2048, 2048)}
"""Width and tokens of the timed layer: a pass takes 30 to 60 ms on one core with AVX512-BF16."""
EMULATED_TOKENS = 64
"""Tokens of the timed layer if bf16 is emulated, which then takes 80 ms in place of 700."""
LIMITS = ("ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA", "ATEN_CPU_CAPABILITY", "CUDA_VISIBLE_DEVICES")
"""Environment variables by which torch and oneDNN see less than the machine has; they read them by themselves."""

C = TypeVar("C", bound=Any)


@dataclass(frozen=True)
class Choice:
    """What `auto` stands for here; `seconds` is what the timed layer took in each precision that was measured."""

    precision: str
    kind: str
    """Of device: cpu, cuda, or another name of torch's."""
    why: str
    seconds: dict[str, float]

    def times_as_long(self, precision: str) -> float:
        """How many times as long as in the choice the layer takes; 1 if that was not measured."""
        known = precision in self.seconds and self.precision in self.seconds
        return self.seconds[precision] / self.seconds[self.precision] if known else 1.0


def choose(machine: Machine, keep: bool = False) -> Choice:
    """The choice for this machine: the cached one, else measured in at most a second or two, torch's import included.

    It is cached under the machine's root if that exists, or with `keep` in any case.
    """
    path, key = Path(machine.root) / "cache" / FILE, _key(machine.device)
    known: dict[str, Any] = {}
    with suppress(OSError, ValueError):
        known = dict(read_json(path))
    if key in known:
        return Choice(**known[key])
    choice = _measured(machine.device)
    if keep or Path(machine.root).exists():
        with suppress(OSError):  # what needs to write there says so itself
            path.parent.mkdir(parents=True, exist_ok=True)
            write_json(path, {**known, key: asdict(choice)})
    return choice


def take(wanted: str, machine: Machine, keep: bool = False) -> str:
    """The precision that is taken: for `auto` the machine's choice; ConfigError if the device cannot compute in it."""
    if wanted == "auto":
        return choose(machine, keep).precision
    if wanted == "fp16" and (kind := choose(machine, keep).kind) != "cuda":
        raise ConfigError(
            f'precision is "fp16", which needs a CUDA GPU, and the device here is {kind}; set precision to "auto", '
            '"bf16" or "fp32"'
        )
    return wanted


def settled(config: C, taking: Taking) -> C:
    """The config with the precision that is taken in place of `auto`."""
    taken: C = config.model_copy(update={"precision": taking(config.precision)})
    return taken


def warning(precision: str, machine: Machine) -> str:
    """A line about a precision in which this machine is slow; empty if it is not."""
    choice = choose(machine)
    longer = choice.times_as_long(precision)
    if longer < FASTER:
        return ""
    return (
        f"precision is {precision}, which is slow on this machine: a layer takes {longer:.1f} times as long as in "
        f'{choice.precision}, which precision = "auto" takes'
    )


def _measured(wanted: str) -> Choice:
    import torch

    from hornbook.model.plan import find_device

    device = find_device(wanted)
    kind = device.partition(":")[0]
    if kind == "cuda":
        half = "bf16" if torch.cuda.get_device_capability(device) >= AMPERE else "fp16"
        seconds = _layer_seconds(device, ("fp32", half), *LAYER["cuda"])
        return Choice(half, kind, f"{torch.cuda.get_device_name(device)} has it natively", seconds)
    if kind != "cpu":
        return Choice("fp32", kind, "nothing else is known to run here", {})
    native, (width, tokens) = _has_bf16(), LAYER["cpu"]
    seconds = _layer_seconds(device, ("fp32", "bf16"), width, tokens if native else EMULATED_TOKENS)
    speed = seconds["fp32"] / seconds["bf16"]
    said = f"a layer in bf16 has {speed:.2f} times the speed of fp32"
    if not native:
        said = f"no native bf16; {said}"
    return Choice("bf16" if native and speed >= FASTER else "fp32", kind, said, seconds)


def _has_bf16() -> bool:
    """Whether this processor has bf16 instructions, and oneDNN may use them.

    oneDNN calls AVX512 without them enough, so the processor is asked too.
    """
    import torch

    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return False
    if platform.machine().lower() in ("aarch64", "arm64"):
        return True
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def _layer_seconds(device: str, precisions: tuple[str, str], width: int, tokens: int) -> dict[str, float]:
    """The least that one layer took forward and backward in each precision, in turn, after a first pass that warms up.

    On a CPU in one thread and in its own time, so that what else runs on the machine counts little.
    """
    import torch

    from hornbook.model.phi import Phi, PhiConfig

    before = torch.get_num_threads()
    shape = PhiConfig(
        layers=1,
        width=width,
        heads=width // 64,
        mlp_width=4 * width,
        vocabulary_rows=64,
        context_tokens=tokens,
    )
    torch.set_num_threads(1)
    try:
        model = Phi(shape).initialise(seed=0).to(device)
        least = {precision: _pass_seconds(model, device, precision) for precision in precisions}  # warms up
        begun = time.perf_counter()
        for turn in range(ROUNDS):
            found = {precision: _pass_seconds(model, device, precision) for precision in precisions}
            least = {p: min(found[p], least[p]) if turn else found[p] for p in precisions}
            if time.perf_counter() - begun > SECONDS:
                break
    finally:
        torch.set_num_threads(before)
    return least


def _pass_seconds(model: Phi, device: str, precision: str) -> float:
    import torch

    kind, tokens = device.partition(":")[0], torch.zeros(1, model.config.context_tokens, dtype=torch.long)
    clock = time.thread_time if kind == "cpu" else time.perf_counter
    tokens = tokens.to(device)
    begun = clock()
    with torch.autocast(kind, getattr(torch, DTYPES[precision]), enabled=precision != "fp32"):
        read = model.hidden(tokens)
    read.float().sum().backward()  # type: ignore[no-untyped-call]
    if kind == "cuda":
        torch.cuda.synchronize(device)
    return clock() - begun


def _key(device: str) -> str:
    """What the choice depends on: processor and its flags, GPUs, torch, device, and what limits torch's view."""
    limits = [f"{name}={os.environ[name]}" for name in LIMITS if name in os.environ]
    return "; ".join([*_processor(), *_gpus(), f"torch {version('torch')}", f"device {device}", *limits])


def _processor() -> list[str]:
    """Its name, and a hash of all the flags that the kernel reports."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return [platform.processor() or platform.machine()]
    pairs = [line.partition(":") for line in lines if ":" in line]
    facts = {name.strip(): value.strip() for name, _, value in reversed(pairs)}  # of the first core
    flags = facts.get("flags", facts.get("Features", ""))
    return [
        facts.get("model name", facts.get("CPU part", platform.machine())),
        xxhash.xxh3_64_hexdigest(flags.encode()),
    ]


def _gpus() -> list[str]:
    """NVIDIA's GPUs as their driver names them, without the time that torch's import takes."""
    found = []
    for path in sorted(Path("/proc/driver/nvidia/gpus").glob("*/information")):
        with suppress(OSError):
            found.append(path.read_text(encoding="utf-8").splitlines()[0].partition(":")[2].strip())
    return found
