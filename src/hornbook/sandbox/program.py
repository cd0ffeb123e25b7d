"""What goes into the sandbox and what comes out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Outcome = Literal["passed", "failed", "timeout", "memory", "crashed", "forbidden"]
Mode = Literal["strict", "fast"]


@dataclass(frozen=True, slots=True)
class Program:
    """Source text and what it must fulfil; without tests the only question is whether it runs to its end.

    `tests` is HumanEval style (`def check(candidate): ...` with asserts) or plain asserts; `entry_point` names what
    `check` receives.
    """

    code: str
    tests: str = ""
    entry_point: str = ""
    cpu_seconds: float = 0.0
    """CPU seconds of its own, where a calibrated limit is known; 0 takes the sandbox's. Wall seconds grow with it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one program may use; CPU seconds hold whatever else the machine does, wall seconds are only a loose cap."""

    cpu_seconds: float = 3.0
    wall_seconds: float = 15.0
    memory_bytes: int = 1 << 30
    """Address space beyond what an idle interpreter takes."""
    processes: int = 32
    """Threads; further processes are never allowed where seccomp holds."""
    file_bytes: int = 32 << 20
    """The largest file, and all files together where the root is private."""
    output_bytes: int = 64 * 1024

    def stretched(self, cpu_seconds: float) -> Limits:
        """The same limits with other CPU seconds (0: none of its own), wall seconds in proportion but never fewer."""
        if not cpu_seconds:
            return self
        wall = max(self.wall_seconds, self.wall_seconds * cpu_seconds / self.cpu_seconds)
        return replace(self, cpu_seconds=cpu_seconds, wall_seconds=wall)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was proved about a program: the outcome, why, its CPU seconds and what it printed (capped).

    The CPU seconds are those of the busier of its two processes where it was graded in two.
    """

    outcome: Outcome
    reason: str = ""
    cpu_seconds: float = 0.0
    output: str = ""

    @property
    def passed(self) -> bool:
        return self.outcome == "passed"
