"""The trusted process between hornbook and the zygotes: starts them, passes programs in, decides what was proved."""

from __future__ import annotations

import importlib
import json
import os
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from hornbook.sandbox import wire
from hornbook.sandbox.isolation import MAP, enter, map_users
from hornbook.sandbox.program import Limits
from hornbook.sandbox.zygote import STOP, serve

USUAL_MODULES = (
    "abc", "array", "base64", "bisect", "calendar", "cmath", "collections", "copy", "ctypes", "datetime", "decimal",
    "enum", "fractions", "functools", "heapq", "io", "itertools", "json", "math", "numbers", "operator",
    "random", "re", "statistics", "string", "struct", "textwrap", "threading", "time", "traceback", "typing",
)  # fmt: skip
"""Imported before the first fork: a program's own import of them costs nothing.

Each forked page and mapping costs every program a little, so what brings large libraries with it is left out: hashlib,
secrets, shutil, subprocess.
"""
GRACE_SECONDS = 1.0
"""For a program to flush and leave once its verdict is known."""
IDLE_CHECK_SECONDS = 2.0
STARVED_SHARE = 0.5
"""A program that ran or wanted to run for this share of the wall time was slowed by others, not asleep."""


@dataclass
class Child:
    """One forked role of the program being judged, seen from here."""

    control: socket.socket
    job: socket.socket
    message: Any = None
    report: dict[str, Any] | None = None

    def stop(self) -> None:
        if self.report is None:
            with suppress(OSError):
                self.control.send(STOP)


@dataclass
class Zygote:
    """A running zygote: the socket that orders go down, and its process id in this namespace."""

    control: socket.socket
    pid: int
    layers: list[str] = field(default_factory=list)


def main() -> None:
    """Serve one worker of a Sandbox over the socket named on the command line, until the Sandbox is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    parent = socket.socket(fileno=int(sys.argv[2]))
    order = wire.receive(parent)
    try:
        _serve(parent, order)
    except wire.WireError:
        return
    finally:
        import shutil

        shutil.rmtree(order["box"], ignore_errors=True)


def _serve(parent: socket.socket, order: dict[str, Any]) -> None:
    parent_pid = os.getppid()
    for name in (*USUAL_MODULES, *order["preload"]):
        importlib.import_module(name)
    roles = ("candidate", "grader") if order["mode"] == "strict" else ("candidate",)
    zygotes = {role: start_zygote(role, order, parent) for role in roles}
    held = [name for name in zygotes["candidate"].layers if all(name in z.layers for z in zygotes.values())]
    wire.send(parent, ["ready", held])
    limits = Limits(**order["limits"])
    while True:
        while not select.select([parent], [], [], IDLE_CHECK_SECONDS)[0]:
            if os.getppid() != parent_pid:
                return
        program = wire.receive(parent)
        wire.send(parent, Trial(zygotes, limits.stretched(program.pop("cpu_seconds")), parent).run(program))


def start_zygote(role: str, order: dict[str, Any], parent: socket.socket) -> Zygote:
    """A zygote behind the strongest layers it can have: with namespaces, else without."""
    box = os.path.join(order["box"], role)  # noqa: PTH118
    os.mkdir(box)  # noqa: PTH102
    for separate in (True, False):
        if zygote := _try_zygote(Limits(**order["limits"]), box, separate, parent):
            return zygote
    sys.exit("no program can run behind any layer here")


def _try_zygote(limits: Limits, box: str, separate: bool, parent: socket.socket) -> Zygote | None:
    """Fork a zygote into a cell of its own and wait until it says which layers hold; None if it died first."""
    control, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        try:
            control.close()
            parent.close()
            cell = enter(limits, theirs, box, separate)
            theirs.sendall(json.dumps(cell.layers).encode())
            serve(theirs, cell)
        finally:
            os._exit(1)
    theirs.close()
    said = control.recv(4096)
    if said == MAP:
        with suppress(OSError):
            map_users(pid)
            control.sendall(MAP)
            said = control.recv(4096)
    if said and said != MAP:
        return Zygote(control, pid, json.loads(said))
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    control.close()
    return None


class Trial:
    """One program judged once."""

    def __init__(self, zygotes: dict[str, Zygote], limits: Limits, parent: socket.socket) -> None:
        self.zygotes, self.limits, self.parent = zygotes, limits, parent
        self.token = os.urandom(16).hex()
        self.children: dict[str, Child] = {}
        self.output = bytearray()
        self.cause = ""

    def run(self, program: dict[str, str]) -> dict[str, Any]:
        """The fields of the program's Verdict, and whether load may be to blame for a timeout."""
        reading = self._start(program)
        try:
            self._wait(reading)
        finally:
            os.close(reading)
            for child in self.children.values():
                child.job.close()
        outcome, reason = self._outcome()
        return {
            "outcome": outcome,
            "reason": reason,
            "cpu_seconds": max((child.report or {}).get("cpu", 0.0) for child in self.children.values()),
            "output": self.output.decode("utf-8", "replace"),
            "cause": self.cause if outcome == "timeout" else "",
        }

    def _start(self, program: dict[str, str]) -> int:
        """Have the children forked and give each what it may know; the end to read their output from."""
        reading, writing = os.pipe()
        split = "grader" in self.zygotes and program["tests"]
        line = socket.socketpair() if split else ()
        parts = (
            {"candidate": ("code",), "grader": ("tests", "entry_point")}
            if split
            else {"whole": tuple(program)}
        )
        for at, (role, names) in enumerate(parts.items()):
            order = {name: program[name] for name in names}
            if role == "grader":
                order["token"] = self.token
            self._fork(role, order, writing if at == 0 else None, line[at] if line else None)
        os.close(writing)
        for end in line:
            end.close()
        return reading

    def _fork(self, role: str, order: dict[str, str], output: int | None, line: socket.socket | None) -> None:
        place = self.zygotes["grader" if role == "grader" else "candidate"]
        job, theirs = socket.socketpair()
        sink = output if output is not None else os.open(os.devnull, os.O_WRONLY)
        descriptors = [theirs.fileno(), sink, (line or theirs).fileno()]
        try:
            socket.send_fds(place.control, [f"{role} {self.limits.cpu_seconds}".encode()], descriptors)
        except OSError:
            raise wire.WireError("a zygote is gone") from None
        theirs.close()
        if output is None:
            os.close(sink)
        self.children[role] = Child(place.control, job)
        with suppress(wire.WireError):
            wire.send(job, order)
            if role == "whole":
                wire.send(job, self.token)

    def _wait(self, reading: int) -> None:
        """Until every child is reported dead: collect messages, reports and output, and hold the wall limit."""
        poll = select.poll()
        for descriptor in (reading, self.parent.fileno()):
            poll.register(descriptor, select.POLLIN)
        owners = {}
        for child in self.children.values():
            for sock in (child.job, child.control):
                poll.register(sock, select.POLLIN)
                owners[sock.fileno()] = child
        deadline = time.monotonic() + self.limits.wall_seconds
        while any(child.report is None for child in self.children.values()):
            left = deadline - time.monotonic()
            if left <= 0:
                self.cause = self.cause or ("" if self._decided() else self._wall_cause())
                self._stop_all()
                deadline += GRACE_SECONDS
                continue
            for descriptor, _ in poll.poll(left * 1000):
                if descriptor == self.parent.fileno():
                    raise wire.WireError("hornbook is gone")
                if descriptor == reading:
                    self._read_output(poll, reading)
                else:
                    self._read_child(poll, owners[descriptor], descriptor)
            if self._decided():
                deadline = min(deadline, time.monotonic() + GRACE_SECONDS)
        self._drain(reading)

    def _decided(self) -> bool:
        """Whether nothing that can still happen changes the verdict."""
        judge = list(self.children.values())[-1]
        return judge.message is not None or judge.report is not None

    def _read_child(self, poll: select.poll, child: Child, descriptor: int) -> None:
        if descriptor == child.control.fileno():
            data = child.control.recv(4096)
            if not data:
                raise wire.WireError("a zygote is gone")
            status, cpu, cause = data.decode().split(" ")
            child.report = {"status": int(status), "cpu": float(cpu), "cause": cause}
            poll.unregister(descriptor)
            return
        with suppress(wire.WireError):
            child.job.settimeout(GRACE_SECONDS)
            child.message = wire.receive(child.job)
        poll.unregister(descriptor)

    def _read_output(self, poll: select.poll, reading: int) -> None:
        data = os.read(reading, 1 << 16)
        if not data:
            poll.unregister(reading)
        self.output += data[: self.limits.output_bytes - len(self.output)]

    def _drain(self, reading: int) -> None:
        """What the dead had still written."""
        os.set_blocking(reading, False)
        with suppress(BlockingIOError):
            while data := os.read(reading, 1 << 16):
                self.output += data[: self.limits.output_bytes - len(self.output)]

    def _stop_all(self) -> None:
        for child in self.children.values():
            child.stop()

    def _wall_cause(self) -> str:
        """Whether a program that used up the wall time was kept from running (load) or would not run (asleep)."""
        busy = sum(_wanted_seconds(zygote.pid) for zygote in self.zygotes.values())
        return "load" if busy > STARVED_SHARE * self.limits.wall_seconds else "asleep"

    def _outcome(self) -> tuple[str, str]:
        judge = list(self.children.values())[-1]
        message = judge.message
        if isinstance(message, list) and message[:2] == [self.token, "passed"]:
            return "passed", ""
        if self.cause:
            return "timeout", f"wall time: {self.limits.wall_seconds:g} s ({self.cause})"
        for role, child in self.children.items():
            report = child.report or {}
            if report.get("cause") == "cpu" or _signal_of(report) == signal.SIGXCPU:
                self.cause = "cpu"
                return "timeout", f"cpu time: {role} used {self.limits.cpu_seconds:g} s"
        for role, child in self.children.items():
            report = child.report or {}
            if report.get("cause") != "stopped" and (ended := _ended(report)):
                return ended[0], f"{role} {ended[1]}" if role == "grader" else ended[1]
        if isinstance(message, list) and len(message) == 3 and message[1] != "passed":
            return str(message[1]), str(message[2])
        return "failed", "the program ended before its tests did"


def _signal_of(report: dict[str, Any]) -> int:
    return os.WTERMSIG(report["status"]) if report and os.WIFSIGNALED(report["status"]) else 0


def _ended(report: dict[str, Any]) -> tuple[str, str] | None:
    """What a death by signal means."""
    number = _signal_of(report)
    if not number:
        return None
    if number == signal.SIGKILL:
        return "memory", "killed by the kernel"
    outcome = "forbidden" if number == signal.SIGSYS else "crashed"
    return outcome, signal.strsignal(number) or f"signal {number}"


def _wanted_seconds(zygote_pid: int) -> float:
    """Seconds that the tasks below a zygote ran or stood in line to run (proc(5), schedstat)."""
    total, waiting = 0, [zygote_pid]
    with suppress(OSError, ValueError):
        while waiting:
            pid = waiting.pop()
            for task in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208
                with open(f"/proc/{pid}/task/{task}/schedstat") as file:  # noqa: PTH123
                    ran, stood, _ = file.read().split()
                with open(f"/proc/{pid}/task/{task}/children") as file:  # noqa: PTH123
                    children = [int(child) for child in file.read().split()]
                waiting += children
                total += 0 if children else int(ran) + int(stood)
    return total / 1e9
