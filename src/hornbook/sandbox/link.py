"""The line between a program and its grader: calls and plain data cross it, in both directions, one at a time."""

from __future__ import annotations

import builtins
import importlib
import json
import operator
import socket
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from hornbook.sandbox import plain, wire

Operation = Callable[..., Any]

CANDIDATE_OPERATIONS: dict[str, Operation] = {
    "call": lambda target, *args, **kwargs: target(*args, **kwargs),
    "get": getattr,
    "set": setattr,
    "iter": iter,
    "next": next,
    "len": len,
    "item": operator.getitem,
    "put": operator.setitem,
    "has": operator.contains,
    "text": str,
    "which": lambda target, names: [name for name in names if hasattr(target, name)],
}
"""What the grader may ask of the program."""


class Remote:
    """Something that stays on the other side of the link; what is done to it is done there."""

    __slots__ = ("_link", "_name", "_reference")

    def __init__(self, link: Link, reference: int, name: str) -> None:
        for slot, value in zip(("_link", "_reference", "_name"), (link, reference, name), strict=True):
            object.__setattr__(self, slot, value)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._link.ask("call", self._reference, args, kwargs)

    def __getattr__(self, name: str) -> Any:
        if name == "__name__":
            return self._name
        if name.startswith("_"):
            raise AttributeError(f"{self._name} has no {name} on this side of the sandbox")
        return self._link.ask("get", self._reference, (name,))

    def __setattr__(self, name: str, value: Any) -> None:
        self._link.ask("set", self._reference, (name, value))

    def __iter__(self) -> Any:
        return self._link.ask("iter", self._reference)

    def __next__(self) -> Any:
        return self._link.ask("next", self._reference)

    def __len__(self) -> int:
        return int(self._link.ask("len", self._reference))

    def __getitem__(self, key: Any) -> Any:
        return self._link.ask("item", self._reference, (key,))

    def __setitem__(self, key: Any, value: Any) -> None:
        self._link.ask("put", self._reference, (key, value))

    def __contains__(self, item: Any) -> bool:
        return bool(self._link.ask("has", self._reference, (item,)))

    def __bool__(self) -> bool:
        return True

    def __str__(self) -> str:
        return str(self._link.ask("text", self._reference))


class Link:
    """One side of the line; `operations` are what the other side may do to what was handed to it."""

    def __init__(self, sock: socket.socket, operations: Mapping[str, Operation]) -> None:
        self.sock = sock
        self.operations = operations
        self.exports: list[Any] = []
        self.broken = ""
        self._decoder = json.JSONDecoder(object_hook=plain.unpacker(self._resolve))

    def ask(self, operation: str, reference: int, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        """Have the other side do something; its exception is raised here, its changes to arguments are made here."""
        kwargs = kwargs or {}
        self._send(
            ["do", operation, reference, self._packed(args), list(kwargs), self._packed(kwargs.values())]
        )
        while True:
            message = self.receive()
            if message[0] == "do":
                self._send(self.reply(message))
            elif message[0] == "end" and operation == "next":
                raise StopIteration
            elif message[0] == "end":  # it would end a loop of the tests early, as if all were checked
                self.broken = "an end where none can be"
                raise wire.WireError(self.broken)
            else:
                break
        for old, new in zip((*args, *kwargs.values()), message[2] or (), strict=False):
            plain.restore(old, new)
        if message[0] == "raise":
            raise _exception(message[1])
        return message[1]

    def loaded(self) -> None:
        """Wait until the program has run to its end; raises what it raised."""
        message = self.receive()
        if message[0] == "raise":
            raise _exception(message[1])

    def receive(self) -> Any:
        """The next message; remembers that the line is broken, whatever a caller does with the exception."""
        try:
            message = wire.receive(self.sock, self._decoder)
            if not (
                isinstance(message, list)
                and len(message) >= 3
                and message[0] in ("do", "value", "raise", "end")
            ):
                raise wire.WireError("not a message")
            return message
        except wire.WireError as error:
            self.broken = str(error)
            raise

    def serve(self) -> None:
        """Answer until the other side closes the line."""
        while True:
            try:
                message = self.receive()
            except wire.WireError:
                return
            self._send(self.reply(message))

    def reply(self, message: list[Any]) -> list[Any]:
        """Do what a message asks for and say what came of it, with the arguments where they were changed."""
        _, operation, reference, args, names, values = message
        operands = [*args, *values]
        before = None if plain.SCALARS.issuperset(map(type, operands)) else json.dumps(self._packed(operands))
        try:
            value = self.operations[operation](
                self.exports[reference], *args, **dict(zip(names, values, strict=True))
            )
            answer = ["value", plain.pack(value, self._refer)]
        except StopIteration as error:
            answer = ["end" if operation == "next" else "raise", describe(error)]
        except BaseException as error:
            answer = ["raise", describe(error)]
        after = None if before is None else self._packed(operands)
        return [*answer, after if after is not None and json.dumps(after) != before else None]

    def _send(self, message: list[Any]) -> None:
        try:
            wire.send(self.sock, message)
        except RecursionError:
            wire.send(
                self.sock,
                ["raise", ["RecursionError", "a value is nested too deeply to be plain data", 0], None],
            )

    def _packed(self, values: Any) -> list[Any]:
        return [plain.pack(value, self._refer) for value in values]

    def _refer(self, value: Any) -> Any:
        if type(value) is Remote:
            return {"back": value._reference}
        if isinstance(value, ModuleType):
            return {"module": value.__name__}
        self.exports.append(value)
        return {"remote": [len(self.exports) - 1, getattr(value, "__name__", type(value).__name__)]}

    def _resolve(self, tag: str, value: Any) -> Any:
        if tag == "remote":
            return Remote(self, int(value[0]), str(value[1]))
        if tag == "back":
            return self.exports[value]
        if tag == "module":
            return importlib.import_module(value)
        raise wire.WireError(f"unknown tag {tag[:20]}")


def describe(error: BaseException) -> list[Any]:
    """An exception as plain data: its nearest builtin kind, its text, its errno."""
    kind = next(k.__name__ for k in type(error).__mro__ if k.__module__ == "builtins")
    try:
        text = str(error)[:2000]
    except BaseException:
        text = ""
    name = type(error).__name__
    number = getattr(error, "errno", 0)
    return [kind, text if name == kind else f"{name}: {text}", number if isinstance(number, int) else 0]


def _exception(described: list[Any]) -> BaseException:
    """The exception a description stands for; one that would end a loop silently becomes a RuntimeError."""
    name, text, number = described
    kind = getattr(builtins, str(name), None)
    if not (isinstance(kind, type) and issubclass(kind, BaseException)):
        kind = RuntimeError
    if issubclass(kind, StopIteration | StopAsyncIteration | GeneratorExit):
        return RuntimeError(f"{name}: {text}")
    try:
        return kind(number, text) if issubclass(kind, OSError) and number else kind(text)
    except TypeError:
        return ValueError(f"{name}: {text}")
