"""Every hostile program is contained, none passes, and none is noticed by the next."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile_world import RIGHT, TESTS, WRONG, World, processes_below
from own_hostile import PROGRAMS, forged

from hornbook.core.errors import SandboxError
from hornbook.sandbox import Limits, Program, Sandbox

MOST_RESIDENT_MB = 300


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    try:
        limits = Limits(cpu_seconds=0.5, wall_seconds=2.0)
        with Sandbox(limits, workers=1, require_isolation="full") as opened:
            yield opened
    except SandboxError as error:
        pytest.skip(f"dangerous programs run only behind every layer: {error}")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def contained(sandbox: Sandbox, world: World, programs: dict[str, str]) -> list[str]:
    """What went wrong, program by program."""
    idle = len(processes_below(os.getpid()))
    wrong = []
    for name, code in programs.items():
        verdict = sandbox.verdict(Program(world.fill(code), TESTS, "add"))
        right, bad = (sandbox.verdict(Program(after, TESTS, "add")) for after in (RIGHT, WRONG))
        found = ["false pass"] if verdict.passed else []
        found += [] if right.passed and bad.outcome == "failed" else [f"next verdicts {right}, {bad}"]
        found += [] if len(processes_below(os.getpid())) == idle else ["a process was left"]
        wrong += [f"{name}: {what}" for what in found + world.harm()]
    return wrong


def test_published_hostile_programs_are_contained(sandbox: Sandbox, world: World, shared_rows) -> None:
    rows = shared_rows("hostile.jsonl")
    assert contained(sandbox, world, {row["id"]: row["code"] for row in rows}) == []


def test_our_own_hostile_programs_are_contained(sandbox: Sandbox, world: World) -> None:
    assert contained(sandbox, world, PROGRAMS) == []


LOOPS = (
    "assert all(map(lambda n: candidate(n, n) == 2 * n, [1, 2]))",
    "for got, right in zip(map(candidate, [1, 2], [1, 2]), [2, 4]): assert got == right",
    "assert [n for n in filter(lambda n: candidate(n, n) != 2 * n, [1, 2])] == []",
    "assert next((False for n in [1, 2] if candidate(n, n) != 2 * n), True)",
)
"""Tests that StopIteration from the call would end before they have checked anything."""


@pytest.mark.parametrize("loop", LOOPS)
def test_an_end_that_is_forged_ends_no_loop_of_the_tests(sandbox: Sandbox, loop: str) -> None:
    tests = f"def check(candidate):\n    {loop}\n"
    assert sandbox.verdict(Program(RIGHT, tests, "add")).passed
    for message in (b'["end",null,null]', b'["end",["StopIteration","",0],null]'):
        verdict = sandbox.verdict(Program(forged(repr(message)), tests, "add"))
        assert verdict.outcome == "failed", verdict


def test_memory_of_the_trusted_processes_stays_small(sandbox: Sandbox) -> None:
    flood = "import os\nfor _ in range(300): os.write(1, b'x' * (1 << 20))\nprint('y' * (50 << 20))"
    verdict = sandbox.verdict(Program(flood))
    assert len(verdict.output) == sandbox.limits.output_bytes
    peaks = [
        int(re.findall(r"VmHWM:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[0]) / 1024
        for pid in processes_below(os.getpid())
        if "python" in Path(f"/proc/{pid}/cmdline").read_text()
        and "warden" in Path(f"/proc/{pid}/cmdline").read_text()
    ]
    assert peaks
    assert max(peaks) < MOST_RESIDENT_MB


def test_nothing_is_handed_from_one_program_to_the_next(sandbox: Sandbox) -> None:
    leave = (
        "import os, sys, builtins\nopen('note', 'w').write('x')\nos.mkdir('d')\n"
        "sys.modules['json'] = None\ndel builtins.len"
    )
    assert sandbox.verdict(Program(leave)).passed
    assert sandbox.verdict(Program("import os, json\nassert os.listdir('.') == [] and len('x') == 1")).passed


def test_no_environment_or_descriptor_is_inherited(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "x")
    code = """
import os
assert set(os.environ) <= {"PATH", "LC_ALL", "PYTHONHASHSEED", "HOME", "TMPDIR"}, dict(os.environ)
for fd in range(3, 256):
    try: os.fstat(fd)
    except OSError: continue
    import stat
    assert stat.S_ISSOCK(os.fstat(fd).st_mode), fd
"""
    assert sandbox.verdict(Program(code)).passed
