"""Settings: frozen, strict, never repaired; and the Machine, which never changes a result."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import orjson
from pydantic import (
    BaseModel,
    ConfigDict,
    ValidationError,
)

from hornbook.core.errors import ConfigError, InputError


class Config(BaseModel):
    """A frozen set of settings; an unknown key or a value out of range is an error, never a guess."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


C = TypeVar("C", bound=BaseModel)


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file; ConfigError with line and column if it is not TOML."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist") from error
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error


def parse(kind: type[C], values: dict[str, Any], where: str) -> C:
    """Values as a config; ConfigError names `where`, key, value and what is allowed."""
    try:
        return kind.model_validate_json(orjson.dumps(values))  # JSON mode: an array is a tuple
    except ValidationError as error:
        problems = error.errors()
        causes = [p for p in problems if not any(_inside(other["loc"], p["loc"]) for other in problems)]
        lines = [_explain(problem, kind) for problem in causes]
        said = f" {lines[0]}" if len(lines) == 1 else "".join(f"\n  {line}" for line in lines)
        raise ConfigError(f"{where}:{said}") from error


def _inside(loc: tuple[Any, ...], outer: tuple[Any, ...]) -> bool:
    """Whether a place lies inside another, whose own complaint then only follows from it."""
    return len(loc) > len(outer) and loc[: len(outer)] == outer


def _explain(problem: Any, kind: type[BaseModel]) -> str:
    parts, inside = _walk(kind, problem["loc"])
    key = ".".join(parts)
    if problem["type"] == "extra_forbidden":
        known = list(inside.model_fields) if inside else []
        near = difflib.get_close_matches(parts[-1], known, 1, 0.5)
        hint = f"did you mean {near[0]}?" if near else f"known keys: {', '.join(sorted(known))}"
        return f"unknown key {key}; {hint}"
    if problem["type"] in ("missing", "union_tag_not_found"):
        tag = problem.get("ctx", {}).get("discriminator", "").strip("'")
        return f"{key}{'.' * bool(tag)}{tag} is missing"
    if problem["type"] == "union_tag_invalid":
        tag, context = problem["ctx"]["discriminator"].strip("'()"), problem["ctx"]
        return f"{key}.{tag} is {context['tag']!r}; it should be one of {context['expected_tags']}"
    said = problem["msg"].removeprefix("Value error, ").removeprefix("Input ").removeprefix("String ")
    return (
        f"{key} is {problem['input']!r}; it {said}"
        if said.startswith("should")
        else f"{key}: {said}".removeprefix(": ")
    )


def _walk(kind: Any, loc: tuple[Any, ...]) -> tuple[list[str], type[BaseModel] | None]:
    """The keys that a person wrote on the way to `loc`, and the config that the last of them stands in.

    Where one of several configs was chosen by its tag (`source = "grammar"`), pydantic puts the tag into the way.
    """
    parts: list[str] = []
    inside = None
    for part in (part for part in loc if part != "[key]"):  # pydantic's word for the name of an entry
        choices = [] if get_origin(kind) in (dict, list, tuple) else _configs(kind)
        tagged = [choice for choice in choices if len(choices) > 1 and part in _tags(choice)]
        if tagged:
            kind = tagged[0]
            continue
        parts.append(str(part))
        inside = choices[0] if len(choices) == 1 else None
        field = inside.model_fields.get(part) if inside else None
        inner = [argument for argument in get_args(kind) if argument is not ...]
        kind = field.annotation if field else next(reversed(inner), None)
    return parts, inside


def _configs(annotation: Any) -> list[type[BaseModel]]:
    """The config classes inside X, X | None, X | Y or Annotated[X | Y, ...]."""
    if isinstance(annotation, type) and not get_args(annotation):
        return [annotation] if issubclass(annotation, BaseModel) else []
    return [config for argument in get_args(annotation) for config in _configs(argument)]


def _tags(config: type[BaseModel]) -> set[Any]:
    """The values that a config may be chosen by: those of its fields that are one literal."""
    return {
        value
        for field in config.model_fields.values()
        if get_origin(field.annotation) is Literal and len(get_args(field.annotation)) == 1
        for value in get_args(field.annotation)
    }
