"""A process with the usual modules imported that forks one child a program, watches it and reports how it ended."""

from __future__ import annotations

import gc
import os
import random
import select
import signal
import socket
import sys
import time
from array import array
from pathlib import Path
from typing import NoReturn

from hornbook.sandbox import roles
from hornbook.sandbox.isolation import Cell
from hornbook.sandbox.kernel import LINUX, bare_fork

STOP = b"."
"""Sent to a zygote: kill the child you are watching."""
SHORTEST_NAP_SECONDS = 0.005
LONGEST_NAP_SECONDS = 0.5
LONGEST_ORDER_BYTES = 64
ANCILLARY_BYTES = socket.CMSG_LEN(3 * array("i").itemsize)


def serve(control: socket.socket, cell: Cell) -> NoReturn:
    """Fork, watch and report for each order until the warden is gone; never returns.

    An order is a role and its CPU seconds, with the descriptors of its job, its output and its line; a report is the
    child's wait status, its CPU seconds and why it was killed. What can be made before the fork is: after it each
    page that zygote or child writes to is copied, and to use an object is to write to it.
    """
    for place in (roles.JOB, roles.LINE):
        os.dup2(control.fileno(), place)  # held until a fork puts its own there
    stage = roles.Stage()
    wake, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    random.seed(0)
    poll = select.poll()
    for descriptor in (control.fileno(), wake):
        poll.register(descriptor, select.POLLIN)
    gc.collect()
    gc.freeze()
    while True:
        data, ancillary, _, _ = control.recvmsg(LONGEST_ORDER_BYTES, ANCILLARY_BYTES)
        if not data:
            os._exit(0)
        if not (data := data.lstrip(STOP)):
            continue
        role, seconds = data.decode().split()
        descriptors = array("i", ancillary[0][2])
        cpu_seconds = float(seconds)
        child = bare_fork()
        if child == 0:
            _become(role, cpu_seconds, descriptors, cell, stage)
        for descriptor in descriptors:
            os.close(descriptor)
        control.sendall(_watch(child, control, wake, poll, cpu_seconds))
        if not _tidy(cell):
            os._exit(1)


def _become(
    role: str, cpu_seconds: float, descriptors: array[int], cell: Cell, stage: roles.Stage
) -> NoReturn:
    """Turn this fork into the role that was ordered: its own descriptors, limits and filters, nothing else."""
    try:
        signal.set_wakeup_fd(-1)
        job, output, line = descriptors
        os.dup2(output, 1)
        os.dup2(0, 2)
        os.dup2(job, roles.JOB)
        os.dup2(line, roles.LINE)
        os.closerange(3, roles.JOB)
        os.closerange(roles.LINE + 1, 4096)
        cell.confine(cpu_seconds)
        gc.enable()
    except BaseException:
        os._exit(4)
    roles.play(role, stage)
    os._exit(5)


def _cpu_used(pid: int) -> float:
    """CPU seconds of a process so far (CPUCLOCK_SCHED of linux/posix-timers.h); elsewhere RLIMIT_CPU alone counts."""
    return time.clock_gettime((~pid << 3) | 2) if LINUX else 0.0


def _watch(child: int, control: socket.socket, wake: int, poll: select.poll, cpu_seconds: float) -> bytes:
    """Wait for the child; kill it when its CPU time is over or the warden says so."""
    cause, left = "", cpu_seconds
    while True:
        nap = min(max(left, SHORTEST_NAP_SECONDS), LONGEST_NAP_SECONDS)
        for descriptor, _ in poll.poll(nap * 1000):
            if descriptor == wake:
                os.read(wake, 512)
            elif not control.recv(1):
                os._exit(0)
            else:
                cause = cause or "stopped"
                os.kill(child, signal.SIGKILL)
        pid, status, usage = os.wait4(child, os.WNOHANG)
        if pid:
            return f"{status} {usage.ru_utime + usage.ru_stime} {cause}".encode()
        left = cpu_seconds - _cpu_used(child)
        if left <= 0 and not cause:
            cause = "cpu"
            os.kill(child, signal.SIGKILL)


def _tidy(cell: Cell) -> bool:
    """Leave nothing of one program to the next: no process, no file; False where that failed."""
    try:
        # the first process of a namespace inherits all others: where it has no child, there is none
        os.waitpid(-1, os.WNOHANG)
        if os.getpid() == 1:
            cell.kill_others()
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
