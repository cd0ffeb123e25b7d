"""Layers are named only where they hold, degrade by name, and leave nothing behind when anyone dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hostile_world import processes_below

from hornbook.core.errors import SandboxError
from hornbook.sandbox import Limits, Program, Sandbox

linux = pytest.mark.skipif(sys.platform != "linux", reason="layers of the Linux kernel")

ORDINARY = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
{before}
from hornbook.sandbox import Sandbox, Program
with Sandbox(workers=1) as sandbox:
    verdict = sandbox.verdict(Program("def f(x): return x", "def check(c): assert c(1) == 1", "f"))
    print(os.getuid(), verdict.passed, ",".join(sandbox.isolation))
    print(sandbox.verdict(Program("import os; os.fork()")).outcome)
    print(sandbox.verdict(Program("open('f', 'w').write('x')")).outcome)
    print(sandbox.verdict(Program(f"open({{sys.argv[1]!r}}).read()")).outcome)
"""
BECOME_ORDINARY = """
user, group = os.geteuid(), os.getegid()
assert libc.unshare(0x10000000) == 0
open("/proc/self/setgroups", "w").write("deny")
open("/proc/self/gid_map", "w").write(f"1000 {group} 1")
open("/proc/self/uid_map", "w").write(f"1000 {user} 1")
assert libc.capset(b"\\x22\\x05\\x08\\x20\\0\\0\\0\\0", bytes(24)) == 0
"""
REFUSE_NAMESPACES = """
import struct
refuse = [(0x20, 0, 0, 0), (0x15, 0, 1, {unshare}), (0x06, 0, 0, 0x00050001), (0x06, 0, 0, 0x7FFF0000)]
code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in refuse))
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, struct.pack("HxxxxxxP", len(refuse), ctypes.addressof(code)), 0, 0) == 0
"""


def judged(before: str, secret: Path) -> list[str]:
    """What a fresh interpreter, prepared by `before`, says about its Sandbox."""
    secret.write_text("x")
    command = [sys.executable, "-c", ORDINARY.format(before=before), str(secret)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    if "assert libc.unshare" in done.stderr:
        pytest.skip("this machine gives no user namespaces")
    assert done.returncode == 0, done.stderr
    return done.stdout.split("\n")


@linux
def test_an_ordinary_user_has_every_layer(tmp_path: Path) -> None:
    first, *outcomes = judged(BECOME_ORDINARY, tmp_path / "secret")
    uid, passed, layers = first.split(" ", 2)
    assert (uid, passed) == ("1000", "True")
    assert {"user namespace", "private root", "landlock", "seccomp", "no capabilities"} <= set(
        layers.split(",")
    )
    assert outcomes[:3] == ["forbidden", "passed", "failed"]


@linux
def test_without_namespaces_the_rest_still_holds_and_says_so(tmp_path: Path) -> None:
    unshare = {"x86_64": 272, "aarch64": 97}.get(os.uname().machine)
    if not unshare:
        pytest.skip("no table of system calls for this machine")
    before = REFUSE_NAMESPACES.format(unshare=unshare)
    first, *outcomes = judged(before, tmp_path / "secret")
    _, passed, layers = first.split(" ", 2)
    assert passed == "True"
    assert "namespace" not in layers
    assert {"seccomp", "no capabilities", "limits"} <= set(layers.split(","))
    assert outcomes[:2] == ["forbidden", "passed"]
    if "landlock" in layers:
        assert outcomes[2] == "forbidden"


def test_a_layer_that_does_not_hold_is_refused() -> None:
    with (
        pytest.raises(SandboxError, match="isolation moat was asked for, but moat cannot be had"),
        Sandbox(require_isolation="moat"),
    ):
        pass


def test_a_closed_sandbox_says_so() -> None:
    with pytest.raises(SandboxError, match="not open"):
        Sandbox().verdict(Program("1"))


PARENT = """
import os, sys, threading, time
from hornbook.sandbox import Sandbox, Program, Limits
with Sandbox(Limits(cpu_seconds=60, wall_seconds=90), workers=2) as sandbox:
    programs = [Program("while True: pass", "def check(c): pass", "f")] * 2
    threading.Thread(target=lambda: (time.sleep(0.4), print("ready", flush=True))).start()
    list(sandbox.verdicts(programs))
"""


@linux
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
def test_nothing_outlives_the_parent(how: signal.Signals, tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    assert parent.stdout
    assert parent.stdout.readline() == b"ready\n"
    below = processes_below(parent.pid)
    assert len(below) >= 8
    parent.send_signal(how)
    parent.communicate(timeout=20)
    deadline = time.monotonic() + 10
    while (left := [pid for pid in below if is_running(pid)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left == []
    assert list(tmp_path.iterdir()) == []


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


@linux
def test_a_killed_worker_is_replaced() -> None:
    with Sandbox(Limits(), workers=1) as sandbox:
        for pid in processes_below(os.getpid()):
            if "hornbook.sandbox.warden" in Path(f"/proc/{pid}/cmdline").read_text():
                os.kill(pid, signal.SIGKILL)
        assert sandbox.verdict(Program("x = 1")).passed


def test_a_module_that_cannot_be_preloaded_is_named() -> None:
    with (
        pytest.raises(SandboxError, match="no_such_module"),
        Sandbox(preload=["no_such_module"]),
    ):
        pass
