"""What a forked process does: be the program, grade it from outside, or both in one."""

from __future__ import annotations

import builtins
import errno
import os
import socket
import sys
from collections.abc import Callable
from types import CodeType, ModuleType
from typing import Any

from hornbook.sandbox import wire
from hornbook.sandbox.link import CANDIDATE_OPERATIONS, Link, Operation, describe

REFUSED = frozenset({errno.EPERM, errno.EACCES, errno.EROFS})
REASON_CHARACTERS = 500
_CLEAN_BUILTINS = dict(vars(builtins))
"""As they are before any program; copied once in the zygote, for a copy touches a page for every few of them."""


JOB, LINE = 101, 102
"""Descriptors of a role, out of a program's way: to the warden, and to the other role."""


class Stage:
    """What the roles use, made once in the zygote."""

    def __init__(self) -> None:
        self.job, self.line = (socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, at) for at in (JOB, LINE))
        self.to_grader = Link(self.line, CANDIDATE_OPERATIONS)
        self.to_candidate = Link(self.line, GRADER_OPERATIONS)


def be_candidate(stage: Stage) -> None:
    """Run the program, then answer the grader's calls; what the grader tests never comes here."""
    order = wire.receive(stage.job)
    line, link = stage.line, stage.to_grader
    try:
        link.exports.append(load(order["code"]))
    except BaseException as error:
        wire.send(line, ["raise", describe(error), None])
        return
    wire.send(line, ["value", None, None])
    link.serve()


def be_grader(stage: Stage) -> None:
    """Run the tests against a program in another process and say, with the token, what they proved."""
    order = wire.receive(stage.job)
    link = stage.to_candidate
    try:
        _grade(link, order["tests"], order["entry_point"])
        outcome, reason = "passed", ""
    except BaseException as error:
        outcome, reason = classify(error, order["tests"])
    if link.broken:
        outcome, reason = "failed", "the program was gone before the tests were over"
    wire.send(stage.job, [order["token"], outcome, reason])


def be_whole(stage: Stage) -> None:
    """Run program and tests in this one process; the token is read only after the last test."""
    job = stage.job
    order = wire.receive(job)
    clean = _CLEAN_BUILTINS
    try:
        _run_whole(order["code"], order["tests"], order["entry_point"], clean)
        outcome, reason = "passed", ""
    except BaseException as error:
        vars(builtins).update(clean)
        outcome, reason = classify(error, order["tests"])
    vars(builtins).update(clean)
    wire.send(job, [wire.receive(job), outcome, reason])


def _run_whole(code: str, tests: str, entry_point: str, clean: dict[str, Any]) -> None:
    """Run the program, then the tests with the builtins as they were before the program touched them."""
    compiled = compile(tests, "<tests>", "exec") if tests else None
    module = load(code)
    if compiled is None:
        return
    names = {**vars(module), "__name__": "tests", "__builtins__": clean}
    names.pop("check", None)
    exec(compiled, names)
    if "check" in names and entry_point:
        names["check"](getattr(module, entry_point))


def load(code: str) -> ModuleType:
    """The program as a real module named `solution`, run to its end."""
    module = ModuleType("solution")
    sys.modules["solution"] = module
    exec(compile(code, "<solution>", "exec"), vars(module))
    return module


def classify(error: BaseException, tests: str = "") -> tuple[str, str]:
    """The outcome and reason that an exception stands for."""
    kind, text, number = describe(error)
    if isinstance(error, AssertionError):
        text = " ".join(filter(None, (_failed_line(error, tests), text)))
    reason = f"{kind}: {text}".removesuffix(": ")[:REASON_CHARACTERS]
    if isinstance(error, MemoryError):
        return "memory", reason
    if isinstance(error, OSError) and number in REFUSED:
        return "forbidden", reason
    return "failed", reason


def _failed_line(error: BaseException, tests: str) -> str:
    """The line of the tests that an exception came from."""
    number, step = 0, error.__traceback__
    while step:
        if step.tb_frame.f_code.co_filename == "<tests>":
            number = step.tb_lineno
        step = step.tb_next
    source = tests.splitlines()
    return source[number - 1].strip() if 0 < number <= len(source) else ""


def _grade(link: Link, tests: str, entry_point: str) -> None:
    code = compile(tests, "<tests>", "exec")
    link.loaded()
    wanted = _names(code).difference(_BUILTIN_NAMES)
    defined = link.ask("which", 0, (sorted(wanted),)) if wanted else []
    names = {name: link.ask("get", 0, (name,)) for name in defined if name in wanted}
    names["__name__"] = "tests"
    candidate = link.ask("get", 0, (entry_point,)) if entry_point else None
    exec(code, names)
    if "check" in names and entry_point:
        names["check"](candidate)


_BUILTIN_NAMES = frozenset(dir(builtins)) | {"__name__", "check"}


def _names(code: CodeType) -> set[str]:
    """Every name that the tests use in any scope; what they do not define themselves they mean the program's own."""
    inner = (_names(constant) for constant in code.co_consts if isinstance(constant, CodeType))
    return set(code.co_names).union(*inner)


def _call(target: Any, *args: Any, **kwargs: Any) -> Any:
    return target(*args, **kwargs)


def _of_tests(target: Any, name: str) -> None:
    """Only instances of classes that the tests define let a program see their public attributes."""
    if name.startswith("_") or type(target).__module__ != "tests":
        raise AttributeError(f"{name} is not to be had across the sandbox")


def _get(target: Any, name: str) -> Any:
    _of_tests(target, name)
    return getattr(target, name)


def _set(target: Any, name: str, value: Any) -> None:
    _of_tests(target, name)
    setattr(target, name, value)


GRADER_OPERATIONS: dict[str, Operation] = {
    "call": _call,
    "next": next,
    "get": _get,
    "set": _set,
    "iter": iter,
}
"""What the program may ask of the tests."""
ROLES: dict[str, Callable[[Stage], None]] = {
    "candidate": be_candidate,
    "grader": be_grader,
    "whole": be_whole,
}


def play(role: str, stage: Stage) -> None:
    """Do one role and leave the process for good, its output flushed."""
    status = 1
    try:
        ROLES[role](stage)
        status = 0
    except BaseException:
        status = 2
    try:
        sys.stdout.flush()
    except BaseException:
        status = 3
    os._exit(status)
