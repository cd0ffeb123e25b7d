from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hornbook.core.errors import InputError
from hornbook.core.shards import read_json, write_json
from hornbook.model.checkpoint import load_model, load_weights, save_model
from hornbook.model.generate import generate
from hornbook.model.phi import Phi, PhiConfig
from hornbook.model.sampling import Sampling
from hornbook.model.tokenizer import Tokenizer

transformers = pytest.importorskip("transformers")


def _tokens(config: PhiConfig) -> torch.Tensor:
    return torch.randint(
        0, config.vocabulary_rows, (3, config.context_tokens), generator=torch.Generator().manual_seed(1)
    )


def test_transformers_loads_what_we_save_and_agrees(model: Phi, tokenizer: Tokenizer, tmp_path: Path) -> None:
    save_model(tmp_path, model, tokenizer)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(str(tmp_path)).eval()
    assert type(theirs).__name__ == "PhiForCausalLM"
    tokens = _tokens(model.config)
    with torch.no_grad():
        torch.testing.assert_close(model(tokens), theirs(tokens).logits, atol=1e-4, rtol=0)


def test_we_load_what_transformers_saves_and_agree(tokenizer: Tokenizer, tmp_path: Path) -> None:
    torch.manual_seed(2)
    shape = transformers.PhiConfig(
        vocab_size=300, hidden_size=96, intermediate_size=200, num_hidden_layers=3, num_attention_heads=3,
        max_position_embeddings=80, partial_rotary_factor=0.25, initializer_range=0.1,
    )  # fmt: skip
    theirs = transformers.PhiForCausalLM(shape).eval()
    theirs.save_pretrained(str(tmp_path))
    tokenizer.save(tmp_path)
    ours, _ = load_model(tmp_path)
    assert ours.config.rotary_dims == 8
    tokens = _tokens(ours.config)
    with torch.no_grad():
        torch.testing.assert_close(ours(tokens), theirs(tokens).logits, atol=1e-4, rtol=0)


def test_gradients_agree_with_transformers(model: Phi, tokenizer: Tokenizer, tmp_path: Path) -> None:
    save_model(tmp_path, model, tokenizer)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(str(tmp_path)).train()
    tokens = _tokens(model.config)
    ours_loss = model.loss(tokens) / (tokens.numel() - len(tokens))
    ours_loss.backward()
    their_loss = theirs(tokens, labels=tokens).loss
    their_loss.backward()
    torch.testing.assert_close(ours_loss, their_loss, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(
        model.embed.weight.grad, theirs.model.embed_tokens.weight.grad, atol=1e-5, rtol=1e-3
    )


def test_a_saved_model_comes_back_bit_for_bit(model: Phi, tokenizer: Tokenizer, tmp_path: Path) -> None:
    save_model(tmp_path, model, tokenizer, {"note": "kept"})
    loaded, loaded_tokenizer = load_model(tmp_path)
    assert loaded.config == model.config
    assert all(
        torch.equal(a, b)
        for a, b in zip(loaded.state_dict().values(), model.state_dict().values(), strict=True)
    )
    assert torch.equal(loaded(_tokens(model.config)), model(_tokens(model.config)))
    assert loaded_tokenizer.end_of_text == tokenizer.end_of_text
    assert read_json(tmp_path / "model.json")["note"] == "kept"


def test_what_is_no_phi_is_refused_by_name(model: Phi, tokenizer: Tokenizer, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no config\.json"):
        load_weights(tmp_path)
    save_model(tmp_path, model, tokenizer)
    settings = read_json(tmp_path / "config.json")
    write_json(tmp_path / "config.json", {**settings, "model_type": "llama"})
    with pytest.raises(InputError, match="model_type = 'llama'"):
        load_weights(tmp_path)
    write_json(tmp_path / "config.json", {**settings, "num_hidden_layers": 5})
    with pytest.raises(InputError, match=r"no tensor 'model\.layers\.2"):
        load_weights(tmp_path)


def test_transformers_generates_what_we_generate(model: Phi, tokenizer: Tokenizer, tmp_path: Path) -> None:
    save_model(tmp_path, model, tokenizer)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(str(tmp_path)).eval()
    reader = transformers.AutoTokenizer.from_pretrained(str(tmp_path))
    prompts = ["def wrap(text):\n", "import re\n\nclass A:\n    pass\n\n", "x"]
    ours = generate(model, tokenizer, prompts, Sampling(max_new_tokens=20))
    for prompt, made in zip(prompts, ours, strict=True):
        ids = reader(prompt, return_tensors="pt", return_token_type_ids=False)
        assert ids["input_ids"][0].tolist() == [tokenizer.end_of_text, *tokenizer.encode(prompt)]
        written = theirs.generate(**ids, max_new_tokens=20)[0, ids["input_ids"].shape[1] :]
        assert reader.decode(written, skip_special_tokens=True) == made.text
