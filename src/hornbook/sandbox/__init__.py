"""Runs programs nobody has read: `with Sandbox() as sandbox: sandbox.verdict(Program(code, tests, name))`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hornbook.sandbox.program import Limits, Program, Verdict

if TYPE_CHECKING:
    from hornbook.sandbox.sandbox import Sandbox

__all__ = ["Limits", "Program", "Sandbox", "Verdict"]


def __getattr__(name: str) -> Any:
    """Sandbox on first use: wardens, which are forked for every program, must not carry what it imports."""
    if name != "Sandbox":
        raise AttributeError(f"module {__name__} has no attribute {name}")
    from hornbook.sandbox.sandbox import Sandbox

    return Sandbox
