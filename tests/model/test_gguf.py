"""A GGUF file in the runtime that will read it: llama.cpp, in this process."""

from __future__ import annotations

import json
import random
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import torch

from hornbook.core.errors import InputError
from hornbook.model.checkpoint import save_model
from hornbook.model.generate import generate
from hornbook.model.gguf import save_gguf
from hornbook.model.phi import Phi, PhiConfig
from hornbook.model.sampling import Sampling
from hornbook.model.tokenizer import Tokenizer, load_tokenizer

pytest.importorskip("gguf", reason="the package gguf is not installed")
xllamacpp = pytest.importorskip("xllamacpp")

ALPHABET = "ab Z09_.(:'\t \n\r\x0b\x0c\x1c\x1f\x7f\x85éπ漢🙂\u00a0\u2028²\u0301s"


class Server:
    """One GGUF file behind llama.cpp's own server on loopback."""

    def __init__(self, file: Path) -> None:
        params = xllamacpp.CommonParams()
        params.model.path = str(file)
        params.n_ctx, params.n_parallel = 256, 1
        params.cpuparams.n_threads = 1
        params.warmup, params.verbosity = False, -1
        self.server = xllamacpp.Server(params)

    def tokenize(self, text: str) -> list[int]:
        body = json.dumps({"content": text, "add_special": False}).encode()
        request = urllib.request.Request(
            f"{self.server.listening_address}/tokenize", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as reply:
            tokens: list[int] = json.load(reply)["tokens"]
        return tokens

    def complete(self, prompt: str, tokens: int) -> str:
        ask = {"prompt": prompt, "max_tokens": tokens, "temperature": 0, "cache_prompt": False}
        reply: dict[str, Any] = self.server.handle_completions(ask)
        text: str = reply["choices"][0]["text"]
        return text


@pytest.fixture(scope="module")
def longer(tokenizer: Tokenizer) -> Phi:
    """Random weights large enough that logits differ clearly, with room for real prompts."""
    config = PhiConfig(
        layers=2, width=64, heads=2, mlp_width=256, rotary_dims=16,
        vocabulary_rows=tokenizer.vocabulary + 3, context_tokens=256,
    )  # fmt: skip
    made = Phi(config).initialise(seed=3).eval()
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
        made.head.bias[tokenizer.vocabulary :] = -1e9  # rows that no token has are never drawn
    return made


@pytest.fixture(scope="module")
def server(longer: Phi, tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Server:
    folder = tmp_path_factory.mktemp("model")
    save_model(folder, longer, tokenizer)
    save_gguf(folder, folder / "model.gguf", "f32")
    assert [path.name for path in folder.iterdir() if "partial" in path.name] == []
    return Server(folder / "model.gguf")


def test_llama_cpp_reads_text_as_the_model_learnt_it(
    server: Server, tokenizer: Tokenizer, source_text: str
) -> None:
    draw = random.Random(3)
    texts = ["".join(draw.choices(ALPHABET, k=draw.randrange(1, 30))) for _ in range(500)]
    texts += [source_text[start : start + 4000] for start in range(0, 40_000, 4000)]
    for text in texts:
        assert server.tokenize(text) == tokenizer.encode(text), repr(text)


def test_llama_cpp_writes_what_we_write_on_twenty_prompts(
    server: Server, longer: Phi, tokenizer: Tokenizer, source_text: str
) -> None:
    prompts = [source_text[start : start + 150] for start in range(0, 20_000, 1000)]
    ours = [made.text for made in generate(longer, tokenizer, prompts, Sampling(max_new_tokens=24))]
    assert [server.complete(prompt, 24) for prompt in prompts] == ours
    assert len(set(ours)) > 10


@pytest.mark.parametrize(("precision", "bytes_a_weight"), [("f16", 2), ("bf16", 2), ("q8_0", 34 / 32)])
def test_smaller_precisions_load_and_write(
    precision: Any, bytes_a_weight: float, longer: Phi, tokenizer: Tokenizer, tmp_path: Path
) -> None:
    save_model(tmp_path, longer, tokenizer)
    save_gguf(tmp_path, tmp_path / "model.gguf", precision)
    weights = (tmp_path / "model.safetensors").stat().st_size / 4
    size = (tmp_path / "model.gguf").stat().st_size
    assert size == pytest.approx(weights * bytes_a_weight, rel=0.25)
    assert Server(tmp_path / "model.gguf").complete("def f(x):\n", 8)


def test_a_folder_is_no_place_for_a_file(longer: Phi, tokenizer: Tokenizer, tmp_path: Path) -> None:
    save_model(tmp_path, longer, tokenizer)
    before = sorted(tmp_path.parent.iterdir())
    with pytest.raises(InputError, match=r"is a folder; give the name of a file, as .*model\.gguf"):
        save_gguf(tmp_path, tmp_path)
    assert sorted(tmp_path.parent.iterdir()) == before


def test_a_tokenizer_that_llama_cpp_cannot_follow_is_refused(longer: Phi, tmp_path: Path) -> None:
    from tokenizers import Tokenizer as Core
    from tokenizers import models, pre_tokenizers

    core = Core(models.BPE({"<|endoftext|>": 0, "a": 1, "b": 2, "ab": 3}, [("a", "b")]))
    core.pre_tokenizer = pre_tokenizers.Whitespace()
    core.add_special_tokens(["<|endoftext|>"])
    save_model(tmp_path, longer, Tokenizer(core))
    with pytest.raises(InputError, match="cannot cut text like"):
        save_gguf(tmp_path, tmp_path / "model.gguf")
    assert not (tmp_path / "model.gguf").exists()


def test_a_tokenizer_of_gpt2s_kind_is_known(longer: Phi, source_text: str, tmp_path: Path) -> None:
    from tokenizers import ByteLevelBPETokenizer

    trained = ByteLevelBPETokenizer()
    trained.train_from_iterator([source_text], 500, special_tokens=["<|endoftext|>"], show_progress=False)
    trained.save(str(tmp_path / "gpt2.json"))
    gpt2 = load_tokenizer(tmp_path / "gpt2.json")
    save_model(tmp_path, longer, gpt2)
    save_gguf(tmp_path, tmp_path / "model.gguf", "f32")
    server = Server(tmp_path / "model.gguf")
    for start in range(0, 20_000, 2000):
        text = source_text[start : start + 2000]
        assert server.tokenize(text) == gpt2.encode(text)
