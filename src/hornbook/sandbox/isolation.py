"""The layers between a program and the machine: set up, proved by trying to break them, and named."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from hornbook.sandbox import kernel, landlock, root, seccomp
from hornbook.sandbox.program import Limits

NAMESPACES = {
    "user": 0x10000000,
    "mount": 0x00020000,
    "pid": 0x20000000,
    "network": 0x40000000,
    "ipc": 0x08000000,
    "uts": 0x04000000,
}
"""Name -> its flag for unshare(2)."""
_FILES = {"user": "user", "mount": "mnt", "pid": "pid", "network": "net", "ipc": "ipc", "uts": "uts"}
NOBODY = 65534

PROCESS = ("process", "limits")
FILTERED = (*PROCESS, "no new privileges", "no capabilities", "landlock", "seccomp")
SPACES = (*(f"{name} namespace" for name in NAMESPACES), "private root")
LEVELS: dict[str, tuple[str, ...]] = {
    "process": PROCESS,
    "filtered": FILTERED,
    "full": (*FILTERED, *SPACES),
}
"""What `require_isolation` may name besides single layers, weakest first."""

OPEN_FILES = 256
ZYGOTE_PROCESSES = 4

MAP = b"m"
"""A zygote asks with this byte for its user map, and is answered with it."""


def level(held: tuple[str, ...]) -> str:
    """The strongest level of LEVELS that these layers make up."""
    return next((name for name in reversed(LEVELS) if not missing_layers(name, held)), "none")


def missing_layers(required: str, held: tuple[str, ...]) -> list[str]:
    """The layers that `required` (a level, a layer, or nothing) stands for and that are not held."""
    wanted = LEVELS.get(required, (required,) if required else ())
    return [layer for layer in wanted if layer not in held]


@dataclass
class Cell:
    """Where programs run: the limits, the writable folder, and the layers that hold around it."""

    limits: Limits
    box: str
    base_bytes: int
    """Address space of an idle zygote."""
    layers: list[str] = field(default_factory=list)
    filtered: bool = False
    limit_processes: bool = True
    program_filter: kernel.PreparedFilter | None = None
    processes: int = 0
    seconds: int = 0
    """The most CPU seconds that the system's own limit leaves."""

    def settle(self) -> None:
        """Set the limits that the zygote can bear itself, so that its forks have them for nothing."""
        for name, value in (
            ("AS", self.base_bytes + self.limits.memory_bytes),
            ("FSIZE", self.limits.file_bytes),
            ("NOFILE", OPEN_FILES),
            *((name, 0) for name in ("CORE", "MEMLOCK", "MSGQUEUE", "NICE", "RTPRIO")),
        ):
            _set_limit(name, value)
        self.processes = _bounded(resource.RLIMIT_NPROC, self.limits.processes + ZYGOTE_PROCESSES)
        self.seconds = _bounded(resource.RLIMIT_CPU, 1 << 30)
        if self.filtered:
            self.program_filter = kernel.PreparedFilter(*seccomp.program_filter())

    def confine(self, cpu_seconds: float) -> None:
        """Bind this process, a fresh fork of the zygote, for good."""
        # kernels count by ticks, some percent too many
        seconds = min(int(1.25 * cpu_seconds) + 2, self.seconds)
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
        if self.limit_processes:
            resource.setrlimit(resource.RLIMIT_NPROC, (self.processes, self.processes))
        os.chdir(self.box)
        if self.program_filter:
            self.program_filter.install()

    def kill_others(self) -> None:
        """As the first process of a namespace: end every other one in it."""
        with suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)


def enter(limits: Limits, control: socket.socket, box: str, separate: bool) -> Cell:
    """Put this process, a fork of the warden, behind every layer that can be had; `separate` asks for namespaces.

    Raises OSError where namespaces were asked for and refused: the caller then tries again without.
    """
    cell = Cell(limits, box, _address_space())
    path = [entry for entry in sys.path if entry.startswith((sys.prefix, sys.base_prefix))]
    places = root.library(path)
    if kernel.LINUX:
        kernel.die_with_parent(signal.SIGKILL)
        if separate:
            _separate(cell, control, places, path)
        _lock(cell, places)
    sys.path[:] = path
    os.environ.update(HOME=cell.box, TMPDIR=cell.box)
    cell.settle()
    cell.layers = ["process", *cell.layers, *_proved(cell)]
    return cell


def _set_limit(name: str, value: int) -> None:
    """Set a resource limit, soft and hard, where this system has it and the hard limit is not lower already."""
    number = getattr(resource, f"RLIMIT_{name}", None)
    if number is not None:
        value = _bounded(number, value)
        refusals = () if kernel.LINUX else (ValueError, OSError)  # macOS names limits that it does not set
        with suppress(*refusals):
            resource.setrlimit(number, (value, value))


def _bounded(number: int, value: int) -> int:
    """A value for a resource limit, no higher than the hard limit of this process."""
    hard = resource.getrlimit(number)[1]
    return value if hard == resource.RLIM_INFINITY else min(value, hard)


def map_users(pid: int) -> None:
    """Give a zygote's new user namespace its users: nobody, and as root also root, to build what nobody lives in."""
    user, group = os.geteuid(), os.getegid()
    rows = "0 0 1\n65534 65534 1\n"
    users, groups = (rows, rows) if user == 0 else (f"{NOBODY} {user} 1\n", f"{NOBODY} {group} 1\n")
    with suppress(OSError):
        Path(f"/proc/{pid}/setgroups").write_text("deny")
    Path(f"/proc/{pid}/gid_map").write_text(groups)
    Path(f"/proc/{pid}/uid_map").write_text(users)


def _separate(cell: Cell, control: socket.socket, places: list[str], path: list[str]) -> None:
    """New namespaces and a new root; the process that goes on is the first one in them."""
    before = _own_namespaces()
    kernel.unshare(sum(NAMESPACES.values()))
    control.sendall(MAP)
    if control.recv(1) != MAP:
        raise OSError("the user map was refused")
    first = os.fork()
    if first:
        control.close()
        os.waitpid(first, 0)
        os._exit(0)
    kernel.die_with_parent(signal.SIGKILL)
    after = _own_namespaces()
    root.build(places, path, cell.limits.file_bytes)
    cell.box = root.BOX
    os.setresgid(NOBODY, NOBODY, NOBODY)
    os.setresuid(NOBODY, NOBODY, NOBODY)
    kernel.die_with_parent(signal.SIGKILL)
    cell.layers = [f"{name} namespace" for name in NAMESPACES if before[name] != after[name]]
    if _root_is_private():
        cell.layers.append("private root")


def _lock(cell: Cell, places: list[str]) -> None:
    """Give up what is left: capabilities, paths, system calls."""
    kernel.drop_capabilities()
    kernel.no_new_privileges()
    with suppress(OSError):
        here = [device for device in root.DEVICES if Path(device).exists()]
        landlock.restrict([place for place in places if Path(place).exists()], [cell.box], here)
    if seccomp.available():
        with suppress(OSError):
            kernel.install_filter(seccomp.zygote_filter())
            cell.filtered = True


def _address_space() -> int:
    """Bytes of address space of this process."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 1 << 30


def _refused(attempt: Callable[[], object]) -> bool:
    """Whether the kernel refuses to do something."""
    try:
        attempt()
    except (PermissionError, ValueError):
        return True
    except OSError:
        return False
    return False


def _fork_is_refused() -> bool:
    try:
        if os.fork() == 0:
            os._exit(0)
    except PermissionError:
        return True
    return False


def _own_namespaces() -> dict[str, str]:
    """Which namespaces this process is in."""
    return {name: str(Path(f"/proc/self/ns/{file}").readlink()) for name, file in _FILES.items()}


def _runs_threads() -> bool:
    try:
        thread = threading.Thread(target=int)
        thread.start()
        thread.join()
    except RuntimeError:
        return False
    return True


def _root_is_private() -> bool:
    try:
        (Path("/") / "hornbook-probe").touch()
    except OSError:
        return not Path("/proc/self").exists()
    return False


_PROVED_LIMIT = resource.RLIMIT_AS if kernel.LINUX else resource.RLIMIT_CPU
_CELL_PROOFS: dict[str, Callable[[], bool]] = {
    "limits": lambda: _refused(lambda: resource.setrlimit(_PROVED_LIMIT, (resource.RLIM_INFINITY,) * 2)),
    "no new privileges": kernel.has_no_new_privileges,
    "no capabilities": lambda: not kernel.has_capabilities(),
    "landlock": lambda: _refused(lambda: os.listdir("/")),  # noqa: PTH208
    "seccomp": lambda: _fork_is_refused() and _refused(socket.socket),
}


def _proved(cell: Cell) -> list[str]:
    """The layers that a fork of the zygote could not break; OSError where programs could not run behind them."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            cell.confine(cell.limits.cpu_seconds)
            Path(json.__file__).read_bytes()
            held = [layer for layer, holds in _CELL_PROOFS.items() if _safely(holds)]
            os.write(writing, json.dumps([_runs_threads(), held]).encode())
        os._exit(0)
    os.close(writing)
    said = os.read(reading, 4096)
    os.close(reading)
    os.waitpid(child, 0)
    if not said:
        raise OSError("a program cannot run behind these layers")
    threads, held = json.loads(said)
    cell.limit_processes = bool(threads)
    return [str(layer) for layer in held]


def _safely(holds: Callable[[], bool]) -> bool:
    try:
        return holds()
    except Exception:
        return False
