"""Runs programs nobody has read: `with Sandbox() as sandbox: sandbox.verdict(Program(code, tests, name))`."""

from hornbook.sandbox.program import Limits, Program, Verdict
from hornbook.sandbox.sandbox import Sandbox

__all__ = ["Limits", "Program", "Sandbox", "Verdict"]
