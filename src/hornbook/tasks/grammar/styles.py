"""Solution styles: the same plan written as a comprehension, a loop, a recursion, ..."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from hornbook.tasks.grammar.concepts import Fold, Piece, Source, operand

INDENT = "    "


@dataclass(frozen=True)
class Plan:
    """One exercise before it is written: where elements come from, what is done with them, and the names in use."""

    name: str
    source: Source
    params: tuple[str, ...]
    steps: tuple[Piece, ...]
    """Predicates, transforms and orders in the order they are applied."""
    sink: Piece
    variable: str
    local: str
    """A free name for intermediate lists."""
    key: Piece | None = None
    """The transform that a keyed sink is keyed by."""
    source_spelling: int = 0
    noun: int = 0
    where: int = 0
    """Which of the source's wordings are used."""

    @property
    def items(self) -> str:
        """The expression that the elements come from."""
        code = self.source.code[self.source_spelling % len(self.source.code)]
        v, *rest = self.params
        return code.format(v=v, w=rest[0] if rest else "")


Style = Callable[[Plan], list[str] | None]
"""The lines of a body without indentation, or None where the style cannot express the plan."""


@dataclass
class _Elements:
    """The elements at some point of a body: `expression` for `variable` in `items` where all `conditions` hold."""

    variable: str
    items: str
    is_list: bool
    expression: str = ""
    conditions: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        self.expression = self.expression or self.variable

    def take(self, piece: Piece) -> None:
        if piece.concept.kind == "predicate":
            self.conditions = (*self.conditions, piece.of(self.expression))
        else:
            self.expression = piece.of(self.expression)

    @property
    def bare(self) -> bool:
        return self.expression == self.variable and not self.conditions

    @property
    def clause(self) -> str:
        """`variable in items if conditions`."""
        parts = [
            condition if len(self.conditions) == 1 else _conjunct(condition) for condition in self.conditions
        ]
        return f"{self.variable} in {self.items}" + (f" if {' and '.join(parts)}" if parts else "")

    @property
    def generator(self) -> str:
        return self.items if self.bare else f"{self.expression} for {self.clause}"

    @property
    def as_list(self) -> str:
        if not self.bare:
            return f"[{self.generator}]"
        return self.items if self.is_list else f"list({self.items})"


def _has_order(plan: Plan) -> bool:
    return any(step.concept.kind == "order" for step in plan.steps)


def _conjunct(condition: str) -> str:
    return f"({condition})" if " or " in condition and not condition.startswith("(") else condition


def _apply(piece: Piece, elements: _Elements, local: str) -> tuple[list[str], str]:
    """Lines that must come first, and the expression of an order or reduction over the elements."""
    code = piece.code
    simple = elements.bare and elements.is_list
    lines = []
    if ("{xs}" in code or len(re.findall(r"{(?:gen|arg|xs)}", code)) > 1) and not simple:
        lines = [f"{local} = {elements.as_list}"]
        elements = _Elements(elements.variable, local, True)
    generator = elements.generator
    argument = generator if elements.bare else f"({generator})"
    return lines, code.format(gen=generator, arg=argument, xs=elements.as_list, k=piece.k)


def _start(plan: Plan) -> tuple[list[str], _Elements]:
    """The source bound to a local name where it is long, and the elements it gives."""
    if plan.source.local:
        return [f"{plan.source.local} = {plan.items}"], _Elements(plan.variable, plan.source.local, True)
    return [], _Elements(plan.variable, plan.items, plan.source.hints[0].startswith("list"))


def _up_to_order(plan: Plan) -> tuple[list[str], _Elements, tuple[Piece, ...]]:
    """The lines up to the last order among the steps, the elements it gives, and the steps after it."""
    lines, elements = _start(plan)
    last = max((i for i, step in enumerate(plan.steps) if step.concept.kind == "order"), default=-1)
    for step in plan.steps[: last + 1]:
        if step.concept.kind == "order":
            before, expression = _apply(step, elements, plan.local)
            lines += [*before, f"{plan.local} = {expression}"]
            elements = _Elements(plan.variable, plan.local, True)
        else:
            elements.take(step)
    return lines, elements, plan.steps[last + 1 :]


def comprehension(plan: Plan) -> list[str] | None:
    """Expressions, with a local name only where a list is used more than once."""
    if not plan.sink.concept.code:
        return None
    lines, elements, steps = _up_to_order(plan)
    for step in steps:
        elements.take(step)
    if plan.key:
        code = plan.sink.code.format(v=plan.variable, y=plan.key.of(plan.variable), source=elements.clause)
        return [*lines, f"return {code}"]
    before, expression = _apply(plan.sink, elements, plan.local)
    return [*lines, *before, f"return {expression}"]


def named_steps(plan: Plan) -> list[str] | None:
    """One list with a name of its own for each step."""
    if not plan.sink.concept.code or len(plan.steps) < 2 or plan.key:
        return None
    lines, elements = _start(plan)
    taken = {*plan.params, plan.variable, plan.source.local}
    for step in plan.steps:
        name = _free(step.concept.title, taken)
        taken.add(name)
        if step.concept.kind == "order":
            before, expression = _apply(step, elements, name)
        else:
            elements.take(step)
            before, expression = [], elements.as_list
        lines += [*before, f"{name} = {expression}"]
        elements = _Elements(plan.variable, name, True)
    before, expression = _apply(plan.sink, elements, plan.local)
    return [*lines, *before, f"return {expression}"]


def _free(name: str, taken: set[str]) -> str:
    """The name, with "_items" behind it while it is taken or a builtin's."""
    while name in taken or name in _BUILTINS:
        name = f"{name}_items"
    return name


_BUILTINS = frozenset(
    {"list", "set", "tuple", "sum", "max", "min", "reversed", "sorted", "any", "all", "len"}
)


def functional(plan: Plan) -> list[str] | None:
    """filter and map with lambdas."""
    if not plan.sink.concept.code or plan.key or _has_order(plan) or not plan.steps:
        return None
    lines, elements = _start(plan)
    variable, stream = plan.variable, elements.items
    for step in plan.steps:
        call = "filter" if step.concept.kind == "predicate" else "map"
        stream = f"{call}(lambda {variable}: {step.of(variable)}, {stream})"
    before, expression = _apply(plan.sink, _Elements(variable, stream, False), plan.local)
    return [*lines, *before, f"return {expression}"]


def loop(plan: Plan) -> list[str] | None:
    """A for loop with nested ifs around an accumulator."""
    return _loop(plan, _nested)


def _nested(lines: list[str], condition: str) -> list[str]:
    return [f"if {condition}:", *_indented(lines)]


def guarded_loop(plan: Plan) -> list[str] | None:
    """A for loop that skips what does not qualify with continue."""
    if not any(step.concept.kind == "predicate" for step in plan.steps):
        return None
    return _loop(plan, lambda lines, condition: [f"if not ({condition}):", f"{INDENT}continue", *lines])


def _loop(plan: Plan, guard: Callable[[list[str], str], list[str]]) -> list[str] | None:
    fold = plan.sink.concept.fold or _collecting(plan.sink)
    if fold is None:
        return None
    lines, elements, steps = _up_to_order(plan)
    head = [_say(fold.start, plan), f"for {plan.variable} in {elements.items}:"]
    body = _loop_body(plan, steps, fold.step, guard)
    return [*lines, *head, *_indented(body), f"return {_say(fold.done, plan)}"]


def _loop_body(
    plan: Plan, steps: tuple[Piece, ...], last: str, guard: Callable[[list[str], str], list[str]]
) -> list[str]:
    """What the loop does with one element, innermost first."""
    expression = plan.variable
    conditions: list[str] = []
    for step in steps:
        if step.concept.kind == "predicate":
            conditions.append(step.of(expression))
        else:
            expression = step.of(expression)
    body = _step(last, expression, plan)
    for condition in reversed(conditions):
        body = guard(body, condition)
    return body


def _step(step: str, expression: str, plan: Plan) -> list[str]:
    """The accumulating lines; a long expression that is used more than once gets a name."""
    first = []
    if len(re.findall(r"{[xe]}", step)) > 1 and not expression.isidentifier():
        first, expression = [f"value = {expression}"], "value"
    y = plan.key.of(expression) if plan.key else ""
    text = step.format(x=operand(expression), e=expression, k=plan.sink.k, v=expression, y=y)
    return [*first, *text.split("\n")]


def _say(text: str, plan: Plan) -> str:
    return text.format(k=plan.sink.k)


def _collecting(sink: Piece) -> Fold | None:
    """Any reduction of a list as a loop that collects the list first."""
    if not sink.concept.code or sink.concept.kind == "keyed":
        return None
    done = sink.code.format(gen="result", arg="result", xs="result", k=sink.k)
    result = done if done != "list(result)" else "result"
    return Fold("result = []", "result.append({e})", result.replace("{", "{{").replace("}", "}}"))


def while_loop(plan: Plan) -> list[str] | None:
    """The loop with an index, for lists and tuples."""
    lines = loop(plan)
    if (
        lines is None
        or plan.source.hints[0][:4] not in ("list", "tupl")
        or plan.source.local
        or _has_order(plan)
    ):
        return None
    head = lines.index(f"for {plan.variable} in {plan.items}:")
    body = [f"{INDENT}{plan.variable} = {plan.items}[index]", *lines[head + 1 : -1], f"{INDENT}index += 1"]
    return [*lines[:head], "index = 0", f"while index < len({plan.items}):", *body, lines[-1]]


def recursion(plan: Plan) -> list[str] | None:
    """The first element, and the function itself for the rest."""
    fold = plan.sink.concept.fold
    sliceable = plan.source.hints in (
        ("list[int]",),
        ("list[str]",),
        ("tuple[int, ...]",),
        ("tuple[str, ...]",),
    )
    if fold is None or not fold.rest or not sliceable or _has_order(plan):
        return None
    (param,) = plan.params
    base = plan.sink.apply([])
    body = _loop_body(plan, plan.steps, f"return {fold.rest}".replace("{rest}", "rest"), _nested)
    untouched = [] if body[-1].startswith("return") else ["return rest"]
    split = [f"{plan.variable} = {param}[0]", f"rest = {plan.name}({param}[1:])"]
    return [f"if not {param}:", f"{INDENT}return {base!r}", *split, *body, *untouched]


def inner_function(plan: Plan) -> list[str] | None:
    """The transform as a function inside the function."""
    places = [i for i, step in enumerate(plan.steps) if step.concept.kind == "transform"]
    if not places:
        return None
    step = plan.steps[places[0]]
    name = _free(step.concept.name, {*plan.params, plan.variable, plan.local, plan.name, plan.source.local})
    call = replace(step.concept, code=(f"{name}({{e}})",), values=())
    steps = (*plan.steps[: places[0]], Piece(call), *plan.steps[places[0] + 1 :])
    rest = comprehension(replace(plan, steps=steps)) or loop(replace(plan, steps=steps))
    if rest is None:
        return None
    return [f"def {name}({plan.variable}):", f"{INDENT}return {step.of(plan.variable)}", "", *rest]


def _indented(lines: list[str]) -> list[str]:
    return [INDENT + line if line else line for line in lines]


STYLES: Mapping[str, Style] = {
    "comprehension": comprehension,
    "loop": loop,
    "named_steps": named_steps,
    "guarded_loop": guarded_loop,
    "functional": functional,
    "while_loop": while_loop,
    "recursion": recursion,
    "inner_function": inner_function,
}
