"""The models that can be evaluated: one protocol, and a table that says how each kind is opened."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import Field, SecretStr

from hornbook.core.errors import ConfigError, InputError
from hornbook.core.fs import commit_of, moving
from hornbook.core.hashing import file_hash
from hornbook.core.machine import EndpointPlace
from hornbook.core.settings import Config
from hornbook.core.shards import read_json
from hornbook.model import precision
from hornbook.model.precision import DTYPES, Precision, Taking
from hornbook.model.sampling import Completion, Sampling, Score

if TYPE_CHECKING:
    from hornbook.model.hf import ForeignModel
    from hornbook.model.phi import Phi
    from hornbook.model.tokenizer import Tokenizer
ONE_THREAD_BELOW_PARAMETERS = 20_000_000
HORNBOOK_FILE = "model.json"
MODEL_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer*.json",
    "vocab.*",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
    "*.safetensors",
    "*.bin",
    "*.model",
)
"""What can change what a folder's model writes."""
Kind = Literal["auto", "hornbook", "huggingface", "endpoint"]


class ModelConfig(Config):
    """A model made elsewhere, evaluated beside the run's own."""

    source: str = Field(min_length=1)
    """A model folder, a Hugging Face Hub id, or what an OpenAI-compatible server calls its model."""
    kind: Kind = "auto"
    """hornbook, huggingface or endpoint; auto looks at the folder, and takes the Hub where there is none."""
    revision: str = ""
    """A commit or tag of the Hub; for a server, which weights answer as far as you know."""
    precision: Precision = "auto"
    """The numbers that a transformers model computes in; auto, the default, takes what the machine is fast in, as in
    training. Models that hornbook trained are evaluated in fp32."""
    begin_with: Literal["tokenizer", "bos", "nothing"] = "tokenizer"
    """What a transformers model sees before every text: what its tokenizer puts there, its bos token, or nothing."""


class Model(Protocol):
    """Goes on from prompts and says how likely texts are; nothing is loaded before the first call.

    `fingerprint` changes whenever the same prompt may be answered differently.
    """

    @property
    def fingerprint(self) -> str: ...

    def complete(
        self, prompts: Sequence[str], sampling: Sampling, seeds: Sequence[int]
    ) -> Iterator[tuple[int, Completion]]:
        """(place of the prompt, what was written after it), in any order; one seed a prompt."""
        ...

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[Score] | None:
        """The likelihood of each (prompt, completion); None where the model does not tell."""
        ...


@dataclass(frozen=True)
class Surroundings:
    """Where a model is and how it is reached: nothing of it changes what the model writes."""

    name: str = ""
    device: str = "auto"
    places: Mapping[str, EndpointPlace] = field(default_factory=dict)
    keys: Mapping[str, SecretStr] = field(default_factory=dict)


def open_model(config: ModelConfig, around: Surroundings) -> Model:
    """The model, unloaded; InputError or ConfigError where it cannot be one."""
    return MODELS[_kind(config)](config, around)


def identify(config: ModelConfig) -> str:
    """The contents of a model's folder, or its name and commit where it lies elsewhere."""
    folder = Path(config.source).expanduser()
    if folder.is_dir():
        return folder_hash(folder)
    return f"{config.source}@{_commit(config) if _kind(config) == 'huggingface' else config.revision}"


def revisions(config: ModelConfig) -> Mapping[str, str]:
    """The branch of the Hub that a model is taken at, and its commit."""
    on_hub = _kind(config) == "huggingface" and not Path(config.source).expanduser().is_dir()
    return moving(config.source, config.revision or "main") if on_hub else {}


def settled(config: ModelConfig, taking: Taking) -> ModelConfig:
    """The config with the precision that is taken, for a kind of model that has one."""
    return precision.settled(config, taking) if _kind(config) == "huggingface" else config


def _commit(config: ModelConfig) -> str:
    return commit_of(config.source, config.revision or "main")


def folder_hash(folder: Path) -> str:
    """A hash of all files that can change what a folder's model writes."""
    paths = sorted({path for pattern in MODEL_FILES for path in folder.glob(pattern)})
    if not paths:
        raise InputError(f"{folder} holds no model: no config.json and no weights")
    named = "".join(f"{path.name}:{file_hash(path)}\n" for path in paths)
    return hashlib.sha256(named.encode()).hexdigest()[:32]


def _kind(config: ModelConfig) -> str:
    if config.kind != "auto":
        return config.kind
    return "hornbook" if (Path(config.source).expanduser() / HORNBOOK_FILE).exists() else "huggingface"


class Checkpoint:
    """A model that hornbook trained."""

    def __init__(self, folder: Path, device: str = "auto") -> None:
        self.folder, self.device = folder, device

    @cached_property
    def fingerprint(self) -> str:
        return f"hornbook:{folder_hash(self.folder)}"

    @property
    def trained_in(self) -> str:
        """The precision of its last training; empty if its folder does not say."""
        record = read_json(self.folder / HORNBOOK_FILE) if (self.folder / HORNBOOK_FILE).exists() else {}
        return str(record.get("training", {}).get("precision", ""))

    @cached_property
    def _loaded(self) -> tuple[Phi, Tokenizer]:
        from hornbook.model.checkpoint import load_model
        from hornbook.model.plan import find_device

        return load_model(self.folder, find_device(self.device))

    def complete(
        self, prompts: Sequence[str], sampling: Sampling, seeds: Sequence[int]
    ) -> Iterator[tuple[int, Completion]]:
        from hornbook.model.generate import generate

        model, tokenizer = self._loaded
        with _threads(model):
            yield from enumerate(generate(model, tokenizer, prompts, sampling, seeds))

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[Score] | None:
        from hornbook.model.generate import score

        model, tokenizer = self._loaded
        with _threads(model):
            return score(model, tokenizer, pairs)


@contextmanager
def _threads(model: Phi) -> Iterator[None]:
    """One thread for a small model: two gain 1.6x on idle cores, and lose 4x as soon as one is not idle."""
    import torch

    before = torch.get_num_threads()
    if model.config.parameters < ONE_THREAD_BELOW_PARAMETERS:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Transformers:
    """A causal language model of transformers, from a folder or the Hugging Face Hub."""

    def __init__(self, config: ModelConfig, device: str = "auto") -> None:
        self.config, self.device = config, device

    @cached_property
    def folder(self) -> Path:
        from hornbook.model.hf import fetch

        folder = Path(self.config.source).expanduser()
        return folder if folder.is_dir() else fetch(self.config.source, _commit(self.config))

    @cached_property
    def fingerprint(self) -> str:
        dtype, begin_with = DTYPES[self.config.precision], self.config.begin_with
        return f"huggingface:{folder_hash(self.folder)}:{dtype}:{begin_with}"

    @cached_property
    def _loaded(self) -> ForeignModel:
        from hornbook.model.hf import ForeignModel
        from hornbook.model.plan import find_device

        device = find_device(self.device)
        dtype, begin_with = DTYPES[self.config.precision], self.config.begin_with
        return ForeignModel.load(self.folder, dtype, begin_with, device)

    def complete(
        self, prompts: Sequence[str], sampling: Sampling, seeds: Sequence[int]
    ) -> Iterator[tuple[int, Completion]]:
        yield from enumerate(self._loaded.complete(prompts, sampling, seeds))

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[Score] | None:
        return self._loaded.score(pairs)


def _checkpoint(config: ModelConfig, around: Surroundings) -> Model:
    folder = Path(config.source).expanduser()
    if not (folder / "config.json").exists():
        raise InputError(f"{folder} holds no config.json: not a model folder")
    return Checkpoint(folder, around.device)


def _transformers(config: ModelConfig, around: Surroundings) -> Model:
    return Transformers(config, around.device)


def _endpoint(config: ModelConfig, around: Surroundings) -> Model:
    from hornbook.stages.evaluate.endpoint_model import CompletionEndpoint

    place: Any = around.places.get(around.name)
    if place is None:
        raise ConfigError(
            f"nothing says where the model {around.name!r} answers; set "
            f'[models."{around.name}"] url = "<an OpenAI-compatible server>" in the machine file'
        )
    return CompletionEndpoint(config, place, around.keys.get(around.name, SecretStr("")))


MODELS: dict[str, Callable[[ModelConfig, Surroundings], Model]] = {
    "hornbook": _checkpoint,
    "huggingface": _transformers,
    "endpoint": _endpoint,
}
"""Kind of model -> what opens it."""
