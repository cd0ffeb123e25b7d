"""Settings: frozen, strict, never repaired; and the Machine, which never changes a result."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Any, Literal, TypeVar

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
    key = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        known = _known_keys(kind, problem["loc"][:-1])
        near = difflib.get_close_matches(str(problem["loc"][-1]), known, 1, 0.5)
        hint = f"did you mean {near[0]}?" if near else f"known keys: {', '.join(sorted(known))}"
        return f"unknown key {key}; {hint}"
    if problem["type"] == "missing":
        return f"{key} is missing"
    said = problem["msg"].removeprefix("Value error, ").removeprefix("Input ")
    return f"{key} is {problem['input']!r}; it {said}" if said.startswith("should") else f"{key}: {said}"


def _known_keys(kind: Any, loc: tuple[Any, ...]) -> list[str]:
    """The field names of the config that stands at `loc` inside `kind`."""
    for part in loc:
        field = (
            kind.model_fields.get(part) if isinstance(kind, type) and issubclass(kind, BaseModel) else None
        )
        kind = field.annotation if field else _value_config(kind)
        if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
            kind = _value_config(kind) if loc[-1] == part else kind
    return list(kind.model_fields) if isinstance(kind, type) and issubclass(kind, BaseModel) else []


def _value_config(annotation: Any) -> Any:
    """The config class inside dict[str, X], list[X] or X | None."""
    for argument in getattr(annotation, "__args__", ()):
        if isinstance(argument, type) and issubclass(argument, BaseModel):
            return argument
    return annotation
