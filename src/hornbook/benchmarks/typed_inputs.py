"""JSON knows no tuple, set or complex number: which of a benchmark's inputs were some is learnt from its asserts."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from hornbook.benchmarks.function_form import tree

SEQUENCES: dict[str, Callable[[Any], Any]] = {
    "list": list,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
}


@dataclass
class Shape:
    """What stands at one depth of one argument: its kind when empty, when not, and the shape of what is inside."""

    empty: str = ""
    full: str = ""
    inner: Shape | None = None
    fields: list[Shape] = field(default_factory=list)
    """The shapes of the elements by position."""
    scalars: set[str] = field(default_factory=set)
    """The kinds of the plain values that stood here."""
    numbers_as_text: bool = False
    """Whether a string here is a number that JSON cannot write."""

    def learn(self, plain: Any, real: Any) -> None:
        """Take one example in: a value as JSON has it beside the value that the assert has."""
        kind = type(real).__name__
        if not isinstance(plain, list | dict):
            self.scalars.add(kind)
        elif isinstance(plain, list):
            if plain:
                self.full = self.full or kind
            else:
                self.empty = self.empty or kind
        if isinstance(plain, list) and isinstance(real, list | tuple):
            self._learn_inner(list(zip(plain, real, strict=True)))
        elif isinstance(plain, dict) and isinstance(real, dict):
            self._learn_inner(list(zip(plain.values(), real.values(), strict=True)), by_position=False)

    def _learn_inner(self, pairs: list[tuple[Any, Any]], by_position: bool = True) -> None:
        self.inner = self.inner or Shape()
        while by_position and len(self.fields) < len(pairs):
            self.fields.append(Shape())
        for at, (plain, real) in enumerate(pairs):
            self.inner.learn(plain, real)
            if by_position:
                self.fields[at].learn(plain, real)

    def apply(self, plain: Any, nested: bool = False) -> Any:
        """A value of JSON as what it stands for; `nested` where this depth repeats the one above.

        Below the depth that was seen, what nested goes on nesting and anything else stays as JSON has it.
        """
        if isinstance(plain, str):
            return self._from_text(plain)
        if isinstance(plain, dict):
            inner = self.inner or Shape()
            return {key: inner.apply(value) for key, value in plain.items()}
        if not isinstance(plain, list):
            return plain
        kind = (self.full or self.empty) if plain else (self.empty or self.full)
        if kind == "dict" and not plain:
            return {}
        return SEQUENCES.get(kind, list)([self._element(at, value, nested) for at, value in enumerate(plain)])

    def _element(self, at: int, value: Any, nested: bool) -> Any:
        inner = self.fields[at] if at < len(self.fields) and self.fields[at].known() else self.inner
        if inner is None or not inner.known():
            inner = self if nested and isinstance(value, list) else Shape()
        return inner.apply(value, nested=bool(inner.full) and inner.full == self.full)

    def _from_text(self, text: str) -> Any:
        if not self.numbers_as_text:
            return text
        return complex(text) if "complex" in self.scalars or "j" in text else float(text)

    def known(self) -> bool:
        return bool(self.empty or self.full)


def typed(
    base: Sequence[Sequence[Any]], extra: Sequence[Sequence[Any]], asserts: str, name: str
) -> tuple[list[list[Any]], list[list[Any]]]:
    """Both lists of inputs with the types that the asserts' calls of `name` show, argument by argument."""
    shapes: list[Shape] = []
    for plain, real in zip(base, calls(asserts, name), strict=False):
        if real is None or len(real) != len(plain):
            continue
        while len(shapes) < len(plain):
            shapes.append(Shape())
        for shape, one, other in zip(shapes, plain, real, strict=False):
            if _fits(one, other):
                shape.learn(one, other)

    for at, shape in enumerate(shapes):
        texts = [inputs[at] for inputs in (*base, *extra) if isinstance(inputs[at], str)]
        shape.numbers_as_text = "str" not in shape.scalars and all(map(_is_number, texts))

    def convert(inputs: Sequence[Any]) -> list[Any]:
        return [shapes[at].apply(value) if at < len(shapes) else value for at, value in enumerate(inputs)]

    return [convert(inputs) for inputs in base], [convert(inputs) for inputs in extra]


def calls(asserts: str, name: str) -> Iterator[list[Any] | None]:
    """The arguments of each call of `name`, in order; None where they are not literals."""
    for node in ast.walk(tree(asserts)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name:
            try:
                yield [ast.literal_eval(argument) for argument in node.args]
            except ValueError:
                yield None


def _is_number(text: str) -> bool:
    try:
        complex(text)
    except ValueError:
        return False
    return True


def _fits(plain: Any, real: Any) -> bool:
    """Whether a value of JSON and one of an assert are the same but for their types."""
    if isinstance(plain, list) and isinstance(real, list | tuple):
        return len(plain) == len(real) and all(map(_fits, plain, real))
    if isinstance(plain, list):
        return isinstance(real, set | frozenset | dict) and len(plain) == len(real)
    if isinstance(plain, dict) and isinstance(real, dict):
        return len(plain) == len(real) and all(map(_fits, plain.values(), real.values()))
    return plain == real or (isinstance(plain, str) and isinstance(real, int | float | complex))
