"""Settings: frozen, strict, never repaired; and the Machine, which never changes a result."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hornbook.core.errors import ConfigError, InputError


class Config(BaseModel):
    """A frozen set of settings; an unknown key or a value out of range is an error, never a guess."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


C = TypeVar("C", bound=BaseModel)


class TeacherPlace(Config):
    """Where one model answers from; what it answers does not depend on it."""

    kind: Literal["local", "canned"] = "local"
    path: str = ""
    """A GGUF file (local; empty: the embedded model) or a JSONL of scripted answers (canned)."""
    concurrency: int = Field(8, ge=1, le=1024)
    """Asks in flight at once."""


class Machine(Config):
    """Where and how fast: nothing in here enters a fingerprint."""

    root: str = "hornbook-data"
    """Folder that holds store/, runs/ and cache/."""
    workers: int = Field(0, ge=0, le=4096)
    """Worker processes; 0 means one a processor."""
    store: str = ""
    """An fsspec URL (s3://bucket/store) where finished work is published and fetched from; empty: only under root."""
    engine: Literal["serial", "pool", "ray"] = "pool"
    """One process; worker processes here; or a Ray cluster, the one RAY_ADDRESS names or a new one here."""
    device: str = "auto"
    """A torch device (cpu, cuda, cuda:1); auto takes CUDA where there is one."""
    micro_batch: int = Field(0, ge=0)
    """Sequences a forward pass; 0 chooses by device."""
    compile: bool | None = None
    """torch.compile for training; unset: where the run is long enough to repay it."""
    require_isolation: str = ""
    """Refuse to execute anything below this sandbox level; empty takes the best that holds here."""
    teachers: dict[str, TeacherPlace] = Field(default_factory=dict)
    """Model name (as recipes call it) -> where it answers."""


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
        lines = [_explain(problem, kind) for problem in error.errors()]
        raise ConfigError(f"{where}: " + "; ".join(lines)) from error


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
        tag, context = problem["ctx"]["discriminator"].strip("'"), problem["ctx"]
        return f"{key}.{tag} is {context['tag']!r}; it should be one of {context['expected_tags']}"
    said = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{key} is {problem['input']!r}; it {said}" if said.startswith("should") else f"{key}: {said}"


def _walk(kind: Any, loc: tuple[Any, ...]) -> tuple[list[str], type[BaseModel] | None]:
    """The keys that a person wrote on the way to `loc`, and the config that the last of them stands in.

    Where one of several configs was chosen by its tag (`source = "grammar"`), pydantic puts the tag into the way.
    """
    parts: list[str] = []
    inside = None
    for part in loc:
        choices = [] if get_origin(kind) in (dict, list, tuple) else _configs(kind)
        tagged = [choice for choice in choices if len(choices) > 1 and part in _tags(choice)]
        if tagged:
            kind = tagged[0]
            continue
        parts.append(str(part))
        inside = choices[0] if len(choices) == 1 else None
        field = inside.model_fields.get(part) if inside else None
        kind = field.annotation if field else next(iter(get_args(kind)[-1:]), None)
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
        if get_origin(field.annotation) is Literal and field.is_required()
        for value in get_args(field.annotation)
    }
