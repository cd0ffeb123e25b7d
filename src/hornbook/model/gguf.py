"""A model as one GGUF file, which llama.cpp and what is built on it (Ollama, LM Studio) load."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import orjson

from hornbook.core.errors import ConfigError, InputError
from hornbook.core.store import explained
from hornbook.model.checkpoint import load_model
from hornbook.model.config import PhiConfig
from hornbook.model.tokenizer import GGUF_PRETOKENIZER, Tokenizer, cuts_by_line_pattern

if TYPE_CHECKING:
    from torch import Tensor

Precision = Literal["f32", "f16", "bf16", "q8_0"]
ARCHITECTURE = "phi2"
"""llama.cpp's name for the architecture that phi-1, phi-1.5 and phi-2 share."""

OUTER = {"embed": "token_embd", "norm": "output_norm", "head": "output"}
INNER = {"norm": "attn_norm", "dense": "attn_output", "fc2": "ffn_down"}
BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True}
"""The pre-tokenizer of GPT-2, and so of codegen's tokenizer."""


def save_gguf(folder: Path, file: Path, precision: Precision = "f16", name: str = "") -> None:
    """Write the model of `folder` (save_model's, or a PhiForCausalLM's) to `file`, whole or not at all.

    Matrices are stored in `precision`, biases and norms in f32. InputError where llama.cpp cannot cut text as the
    model's tokenizer does; ConfigError where the package gguf is missing.
    """
    try:
        import gguf
    except ImportError as error:
        raise ConfigError("a GGUF file needs the package gguf; install hornbook[gguf]") from error
    model, tokenizer = load_model(folder)
    vocabulary = _vocabulary(tokenizer, folder)
    if file.is_dir():
        raise InputError(f"{file} is a folder; give the name of a file, as {file / 'model.gguf'}")
    partial = file.with_name(f".{file.name}.partial")
    with explained(file):
        file.parent.mkdir(parents=True, exist_ok=True)
        writer = gguf.GGUFWriter(partial, ARCHITECTURE)
        writer.add_name(name or folder.name)
        _describe(
            writer,
            model.config,
            gguf.LlamaFileType[f"MOSTLY_{precision.upper()}"] if precision != "f32" else 0,
        )
        _add_tokens(writer, vocabulary, tokenizer, model.config.vocabulary_rows)
        kind = gguf.GGMLQuantizationType[precision.upper()]
        for tensor_name, tensor in _tensors(model.state_dict(), model.config):
            values = tensor.float().numpy()
            stored = kind if values.ndim == 2 else gguf.GGMLQuantizationType.F32
            writer.add_tensor(tensor_name, gguf.quants.quantize(values, stored), raw_dtype=stored)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        partial.replace(file)


def _describe(writer: Any, config: PhiConfig, file_type: int) -> None:
    writer.add_file_type(file_type)
    writer.add_context_length(config.context_tokens)
    writer.add_embedding_length(config.width)
    writer.add_feed_forward_length(config.mlp_width)
    writer.add_block_count(config.layers)
    writer.add_head_count(config.heads)
    writer.add_head_count_kv(config.heads)
    writer.add_layer_norm_eps(config.norm_epsilon)
    writer.add_rope_dimension_count(config.rotary_dims)
    writer.add_rope_freq_base(config.rotary_base)


def _tensors(state: Mapping[str, Tensor], config: PhiConfig) -> Iterator[tuple[str, Tensor]]:
    """Our state under llama.cpp's names; what reads the normalised input is cut into q, k, v together and the MLP."""
    for name, tensor in state.items():
        module, kind = name.rsplit(".", 1)
        if module in OUTER:
            yield f"{OUTER[module]}.{kind}", tensor
            continue
        _, index, part = module.split(".")
        if part == "qkv_fc1":
            yield f"blk.{index}.attn_qkv.{kind}", tensor[: 3 * config.width]
            yield f"blk.{index}.ffn_up.{kind}", tensor[3 * config.width :]
        else:
            yield f"blk.{index}.{INNER[part]}.{kind}", tensor


def _vocabulary(tokenizer: Tokenizer, folder: Path) -> dict[str, Any]:
    """The tokenizer.json of a byte-level BPE with, as `pre`, llama.cpp's name for how it cuts text."""
    made: dict[str, Any] = orjson.loads(tokenizer.core.to_str())
    is_bpe = made["model"]["type"] == "BPE" and made["normalizer"] is None
    for pre, fits in PRETOKENIZERS.items():
        if is_bpe and fits(tokenizer, made["pre_tokenizer"] or {}):
            return {**made, "pre": pre}
    raise InputError(
        f"{folder} has a tokenizer that llama.cpp cannot cut text like, so a GGUF file would read other tokens than "
        "the model learnt; GGUF is for hornbook's own tokenizers and GPT-2's kind (codegen): export --to hf instead"
    )


def _is_gpt2(_: Tokenizer, steps: Mapping[str, Any]) -> bool:
    return {key: steps.get(key) for key in BYTE_LEVEL} == BYTE_LEVEL


PRETOKENIZERS: dict[str, Callable[[Tokenizer, Mapping[str, Any]], bool]] = {
    GGUF_PRETOKENIZER: lambda tokenizer, _: cuts_by_line_pattern(tokenizer.core),
    "gpt-2": _is_gpt2,
}
"""llama.cpp's name for a way to cut text -> whether a tokenizer cuts so."""


def _add_tokens(writer: Any, vocabulary: Mapping[str, Any], tokenizer: Tokenizer, rows: int) -> None:
    """Every row of the embedding as a token; rows beyond the tokenizer's are named and unused."""
    import gguf

    kinds = gguf.TokenType
    tokens = [f"[PAD{row}]" for row in range(rows)]
    types = [kinds.UNUSED] * rows
    for token, row in vocabulary["model"]["vocab"].items():
        tokens[row], types[row] = token, kinds.NORMAL
    for added in vocabulary["added_tokens"]:
        tokens[added["id"]] = added["content"]
        types[added["id"]] = kinds.CONTROL if added["special"] else kinds.USER_DEFINED
    merges = vocabulary["model"]["merges"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(vocabulary["pre"])
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    writer.add_bos_token_id(tokenizer.end_of_text)
    writer.add_eos_token_id(tokenizer.end_of_text)
    writer.add_add_bos_token(True)  # generate() puts end-of-text in front, too
