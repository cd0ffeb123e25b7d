"""A model as a folder that hornbook and transformers both load, and the state a killed training resumes from."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hornbook.core.errors import InputError
from hornbook.core.shards import read_json, write_bytes, write_json
from hornbook.core.store import explained
from hornbook.model.convert import (
    config_from_transformers,
    from_transformers,
    generation_config,
    to_transformers,
    transformers_config,
)
from hornbook.model.tokenizer import FILE, SETTINGS_FILE, Tokenizer, load_tokenizer

if TYPE_CHECKING:
    from torch import Tensor

    from hornbook.model.phi import Phi
WEIGHTS_FILE = "model.safetensors"
MODEL_FILE = "model.json"
CONFIG_FILE = "config.json"
GENERATION_FILE = "generation_config.json"


def save_model(
    folder: Path, model: Phi, tokenizer: Tokenizer, record: Mapping[str, Any] | None = None
) -> None:
    """Write model.safetensors (float32, transformers' layout), its two configurations, the tokenizer, and model.json.

    `record` is what to remember of how the model was made; model.json holds it beside the configuration.
    """
    from safetensors.torch import save

    state = {name: tensor.detach().float().cpu() for name, tensor in model.state_dict().items()}
    write_bytes(folder / WEIGHTS_FILE, save(to_transformers(state, model.config), {"format": "pt"}))
    write_json(folder / CONFIG_FILE, transformers_config(model.config, tokenizer.end_of_text))
    write_json(folder / GENERATION_FILE, generation_config(tokenizer.end_of_text))
    tokenizer.save(folder)
    facts = {"config": model.config.model_dump(), "parameters": model.config.parameters, **(record or {})}
    write_json(folder / MODEL_FILE, facts)


def load_model(folder: Path, device: str = "cpu") -> tuple[Phi, Tokenizer]:
    """The model, in evaluation mode, and tokenizer of a folder saved by save_model or of a PhiForCausalLM."""
    return load_weights(folder).to(device).eval(), load_tokenizer(folder)


def load_weights(folder: Path, dropout: float = 0.0) -> Phi:
    """The model of a folder, on the CPU, with this dropout for training."""
    import torch
    from safetensors.torch import load_file

    from hornbook.model.phi import Phi

    if not (folder / CONFIG_FILE).exists():
        raise InputError(f"{folder} holds no {CONFIG_FILE}: not a model folder")
    config = config_from_transformers(read_json(folder / CONFIG_FILE))
    named: dict[str, Tensor] = {}
    for path in sorted(folder.glob("*.safetensors")):
        named |= load_file(path)
    with torch.device("meta"):
        model = Phi(config, dropout)
    model = model.to_empty(device="cpu")
    model.load_state_dict({name: tensor.float() for name, tensor in from_transformers(named, config).items()})
    return model.reset_angles()


def save_state(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> None:
    """Write named tensors and facts as one safetensors file, whole or not at all."""
    from safetensors.torch import save_file

    flat = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    partial = path.with_name(f".{path.name}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(flat, partial, dict(facts))
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    partial.replace(path)


def load_state(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and facts of save_state."""
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, dict(file.metadata() or {})  # noqa: SIM118


CARD = "README.md"
EXPORTED = (WEIGHTS_FILE, CONFIG_FILE, GENERATION_FILE, MODEL_FILE, FILE, SETTINGS_FILE)


def save_hf(folder: Path, out: Path, card: str) -> None:
    """Copy the model of `folder` to `out`, whole or not at all, with `card` as its README.md.

    InputError where `out` holds something already.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out} is there already; give the name of a new folder")
    out = out.resolve()  # where `out` is the folder we are in, it has no name
    partial = out.with_name(f".{out.name}.partial")
    with explained(out):
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        for name in EXPORTED:
            if (folder / name).exists():
                shutil.copyfile(folder / name, partial / name)
        (partial / CARD).write_text(card, encoding="utf-8")
        partial.replace(out)
