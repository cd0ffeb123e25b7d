"""Our weights in the layout of transformers' PhiForCausalLM, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hornbook.core.errors import InputError
from hornbook.model.config import PhiConfig

if TYPE_CHECKING:
    from torch import Tensor

OUTER = {
    "embed": "model.embed_tokens",
    "norm": "model.final_layernorm",
    "head": "lm_head",
}
INNER = {
    "norm": "input_layernorm",
    "dense": "self_attn.dense",
    "fc2": "mlp.fc2",
}
FUSED = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.fc1")
"""What our qkv_fc1 holds, in order, along its rows."""


def to_transformers(state: Mapping[str, Tensor], config: PhiConfig) -> dict[str, Tensor]:
    """A Phi's state under PhiForCausalLM's names, the fused matrix cut into its four."""
    import torch

    named: dict[str, Tensor] = {}
    rows = [config.width] * 3 + [config.mlp_width]
    for name, tensor in state.items():
        module, kind = name.rsplit(".", 1)
        if module in OUTER:
            named[f"{OUTER[module]}.{kind}"] = tensor
            continue
        _, index, part = module.split(".")
        parts = (
            zip(FUSED, torch.split(tensor, rows), strict=True)
            if part == "qkv_fc1"
            else [(INNER[part], tensor)]
        )
        for target, piece in parts:
            named[f"model.layers.{index}.{target}.{kind}"] = piece.contiguous()
    return named


def from_transformers(named: Mapping[str, Tensor], config: PhiConfig) -> dict[str, Tensor]:
    """PhiForCausalLM's state under our names; InputError names a tensor that is missing."""
    import torch

    layers = [(f"layers.{index}", f"model.layers.{index}") for index in range(config.layers)]
    parts = {ours: [theirs] for ours, theirs in OUTER.items()}
    parts |= {
        f"{ours}.{name}": [f"{theirs}.{part}"] for ours, theirs in layers for name, part in INNER.items()
    }
    parts |= {f"{ours}.qkv_fc1": [f"{theirs}.{part}" for part in FUSED] for ours, theirs in layers}
    wanted = [
        (ours, kind) for ours in parts for kind in ("weight", "bias") if (ours, kind) != ("embed", "bias")
    ]
    try:
        return {
            f"{ours}.{kind}": torch.cat([named[f"{theirs}.{kind}"] for theirs in parts[ours]])
            for ours, kind in wanted
        }
    except KeyError as error:
        raise InputError(
            f"the weights hold no tensor {error}: not a Phi model of {config.layers} layers"
        ) from error


def transformers_config(config: PhiConfig, end_of_text: int) -> dict[str, Any]:
    """The config.json of the same model as a PhiForCausalLM; read by transformers 4 and 5."""
    rotary_share = config.rotary_dims / config.head_dims
    return {
        "architectures": ["PhiForCausalLM"],
        "model_type": "phi",
        "vocab_size": config.vocabulary_rows,
        "hidden_size": config.width,
        "intermediate_size": config.mlp_width,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.heads,
        "hidden_act": "gelu_new",
        "max_position_embeddings": config.context_tokens,
        "layer_norm_eps": config.norm_epsilon,
        "partial_rotary_factor": rotary_share,
        "rope_theta": config.rotary_base,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": config.rotary_base,
            "partial_rotary_factor": rotary_share,
        },
        "qk_layernorm": False,
        "tie_word_embeddings": False,
        "bos_token_id": end_of_text,
        "eos_token_id": end_of_text,
        "torch_dtype": "float32",
    }


def generation_config(end_of_text: int) -> dict[str, Any]:
    """The generation_config.json that ends a completion at end-of-text, as hornbook does."""
    return {
        "bos_token_id": end_of_text,
        "eos_token_id": end_of_text,
        "pad_token_id": end_of_text,
        "do_sample": False,
    }


def config_from_transformers(values: Mapping[str, Any]) -> PhiConfig:
    """The configuration that a PhiForCausalLM's config.json describes; InputError where ours cannot be that model."""
    heads = values["num_attention_heads"]
    unlike = {
        "model_type": values.get("model_type") != "phi",
        "num_key_value_heads": values.get("num_key_value_heads") not in (None, heads),
        "qk_layernorm": bool(values.get("qk_layernorm")),
        "hidden_act": values.get("hidden_act", "gelu_new") != "gelu_new",
    }
    for key, differs in unlike.items():
        if differs:
            raise InputError(
                f"config.json has {key} = {values.get(key)!r}, which is not the architecture of phi-1"
            )
    rope = values.get("rope_parameters") or {}
    share = rope.get("partial_rotary_factor", values.get("partial_rotary_factor", 0.5))
    return PhiConfig(
        layers=values["num_hidden_layers"],
        width=values["hidden_size"],
        heads=heads,
        mlp_width=values["intermediate_size"],
        vocabulary_rows=values["vocab_size"],
        context_tokens=values["max_position_embeddings"],
        rotary_dims=int(values["hidden_size"] // heads * share),
        rotary_base=rope.get("rope_theta", values.get("rope_theta", 10_000.0)),
        norm_epsilon=values.get("layer_norm_eps", 1e-5),
    )
