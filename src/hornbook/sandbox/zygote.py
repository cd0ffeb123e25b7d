"""A process with the usual modules imported that forks one child a program, watches it and reports how it ended."""

from __future__ import annotations

import gc
import json
import os
import random
import select
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Any, NoReturn

from hornbook.sandbox import roles, seccomp
from hornbook.sandbox.isolation import Cell
from hornbook.sandbox.kernel import LINUX, bare_fork

STOP = b"."
"""Sent to a zygote: kill the child you are watching."""
SHORTEST_NAP_SECONDS = 0.005
LONGEST_NAP_SECONDS = 0.5


def serve(control: socket.socket, cell: Cell) -> NoReturn:
    """Fork, watch and report for each order until the warden is gone; never returns."""
    wake, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    random.seed(0)
    if cell.filtered:
        seccomp.program_filter(0)  # what every program's filter is made from is built once
    gc.collect()
    gc.freeze()
    while True:
        data, descriptors, _, _ = socket.recv_fds(control, 4096, 3)
        if not data:
            os._exit(0)
        if not (data := data.lstrip(STOP)):
            continue
        order = json.loads(data)
        child = bare_fork()
        if child == 0:
            _become(order, descriptors, cell)
        for descriptor in descriptors:
            os.close(descriptor)
        control.sendall(json.dumps(_watch(child, control, wake, order["cpu_seconds"])).encode())
        if not _tidy(cell):
            os._exit(1)


def _become(order: dict[str, Any], descriptors: list[int], cell: Cell) -> NoReturn:
    """Turn this fork into the role that was ordered: its own descriptors, limits and filters, nothing else."""
    try:
        signal.set_wakeup_fd(-1)
        job, output, *line = descriptors
        for at, source in enumerate((output, job, *line), start=1):
            os.dup2(source, 100 + at)
        os.dup2(101, 1)
        os.dup2(0, 2)
        os.closerange(3, 102)
        os.closerange(102 + len(descriptors) - 1, 4096)
        cell.confine(order["cpu_seconds"])
        sockets = [
            socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, 102 + at)
            for at in range(len(descriptors) - 1)
        ]
        gc.enable()
    except BaseException:
        os._exit(4)
    roles.play(order["role"], sockets[0], sockets[1] if len(sockets) > 1 else None)
    os._exit(5)


def _cpu_used(pid: int) -> float:
    """CPU seconds of a process so far (CPUCLOCK_SCHED of linux/posix-timers.h); elsewhere RLIMIT_CPU alone counts."""
    return time.clock_gettime((~pid << 3) | 2) if LINUX else 0.0


def _watch(child: int, control: socket.socket, wake: int, cpu_seconds: float) -> dict[str, Any]:
    """Wait for the child; kill it when its CPU time is over or the warden says so."""
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(wake, select.POLLIN)
    cause = ""
    while True:
        pid, status, usage = os.wait4(child, os.WNOHANG)
        if pid:
            return {"status": status, "cpu": usage.ru_utime + usage.ru_stime, "cause": cause}
        left = cpu_seconds - _cpu_used(child)
        if left <= 0 and not cause:
            cause = "cpu"
            os.kill(child, signal.SIGKILL)
        nap = min(max(left, SHORTEST_NAP_SECONDS), LONGEST_NAP_SECONDS)
        for descriptor, _ in poll.poll(nap * 1000):
            if descriptor == wake:
                os.read(wake, 512)
            elif not control.recv(1):
                os._exit(0)
            else:
                cause = cause or "stopped"
                os.kill(child, signal.SIGKILL)


def _tidy(cell: Cell) -> bool:
    """Leave nothing of one program to the next: no process, no file; False where that failed."""
    if os.getpid() == 1:
        cell.kill_others()
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass
    try:
        with os.scandir(cell.box) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    import shutil

                    shutil.rmtree(entry.path)
                else:
                    Path(entry.path).unlink()
    except (OSError, RecursionError):
        return False
    return True
