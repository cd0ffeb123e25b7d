"""Features from models: the mean of real tokens, whatever stands beside them in a batch; and what a recipe may name."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from hornbook.core.errors import InputError
from hornbook.model.checkpoint import load_model, save_model
from hornbook.model.config import PhiConfig
from hornbook.model.phi import Phi
from hornbook.model.tokenizer import train_tokenizer
from hornbook.stages.filter.config import FeaturesConfig
from hornbook.stages.filter.embedding import PACKAGED_ENCODER, Reader, mean_hidden, open_model
from hornbook.stages.filter.feature_sets import (
    Means,
    Spec,
    extract,
    from_table,
    identity,
    is_numbered,
    read_spec,
    set_of,
    to_table,
)

TEXTS = ["def add(a, b):\n    return a + b\n", "x = 1\n", "", "for n in range(10):\n    print(n)\n" * 9]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    tokenizer = train_tokenizer(TEXTS * 20, 300)
    shape = {"layers": 2, "width": 64, "heads": 1, "mlp_width": 128, "vocabulary_rows": 320}
    save_model(folder, Phi(PhiConfig(**shape, context_tokens=128)).initialise(1), tokenizer)
    return folder


@pytest.fixture(scope="module")
def causal(checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _save_causal(tmp_path_factory.mktemp("causal"), checkpoint, seed=0)


def _save_causal(folder: Path, checkpoint: Path, seed: int) -> Path:
    transformers = pytest.importorskip("transformers", reason="the extra hf is not installed")
    config = transformers.CodeGenConfig(
        vocab_size=320,
        n_positions=64,
        n_embd=32,
        n_layer=2,
        n_head=4,
        rotary_dim=4,
        bos_token_id=0,
        eos_token_id=0,
    )
    torch.manual_seed(seed)
    transformers.CodeGenForCausalLM(config).save_pretrained(folder)
    for file in checkpoint.glob("tokenizer*"):
        (folder / file.name).write_bytes(file.read_bytes())
    return folder


def test_a_checkpoint_of_ours_gives_the_mean_of_its_last_hidden_state(checkpoint: Path) -> None:
    found = extract([f"checkpoint:{checkpoint}"], TEXTS, 1000, Means()).matrix
    model, tokenizer = load_model(checkpoint)
    for row, text in zip(found, TEXTS, strict=True):
        ids = [tokenizer.end_of_text, *tokenizer.encode(text)][:128]  # as a document begins in training
        with torch.inference_mode():
            alone = model.hidden(torch.tensor([ids])).mean(1)[0].numpy()
        np.testing.assert_allclose(row, alone, atol=1e-5)


def test_transformers_reads_the_same_from_the_same_checkpoint(checkpoint: Path) -> None:
    pytest.importorskip("transformers", reason="the extra hf is not installed")
    ours = extract([f"checkpoint:{checkpoint}"], TEXTS, 200, Means())
    theirs = extract([f"hidden:{checkpoint}"], TEXTS, 200, Means())
    np.testing.assert_allclose(ours.matrix, theirs.matrix, atol=1e-4)


def test_an_arm_of_the_recipe_is_found_by_its_name(checkpoint: Path) -> None:
    named = extract(["checkpoint:raw"], TEXTS, 200, Means(checkpoints=(("raw", checkpoint),)))
    assert named.names[0] == "checkpoint:raw.0"
    assert (named.matrix == extract([f"checkpoint:{checkpoint}"], TEXTS, 200, Means()).matrix).all()


def test_a_causal_model_ignores_its_neighbours_and_reads_so_far(causal: Path) -> None:
    together = extract([f"hidden:{causal}"], TEXTS, 1000, Means()).matrix
    assert together.shape == (4, 32)
    for row, text in zip(together, TEXTS, strict=True):
        alone = extract([f"hidden:{causal}"], [text], 1000, Means()).matrix[0]
        np.testing.assert_allclose(row, alone, atol=1e-5)
    short = extract([f"hidden:{causal}"], TEXTS, 1000, Means(model_tokens=8)).matrix
    assert np.allclose(short[1], together[1], atol=1e-5)
    assert not np.allclose(short[3], together[3], atol=1e-3)


def test_bf16_says_about_the_same(causal: Path) -> None:
    exact = extract([f"hidden:{causal}"], TEXTS[:2], 1000, Means()).matrix
    quick = extract([f"hidden:{causal}"], TEXTS[:2], 1000, Means(precision="bf16")).matrix
    assert np.abs(exact - quick).max() < 0.05
    assert (exact != quick).any()


def test_sets_stand_side_by_side_and_each_column_knows_its_own(causal: Path, checkpoint: Path) -> None:
    sets = ["statistics", "ngrams", f"hidden:{causal}", f"checkpoint:{checkpoint}"]
    seconds: dict[str, float] = {}
    found = extract(sets, TEXTS, 500, Means(), seconds)
    assert found.matrix.shape == (4, len(found.names))
    assert np.isfinite(found.matrix).all()
    assert [set_of(name) for name in (found.names[0], found.names[-1])] == [sets[0], sets[3]]
    assert {set_of(name) for name in found.names} == set(sets)
    assert list(seconds) == sets
    assert not any(is_numbered(name) for name in found.names if set_of(name) == "statistics")
    assert all(is_numbered(name) for name in found.names if set_of(name) != "statistics")


def test_two_revisions_of_one_model_are_two_sets(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read from a cache laid out as the Hub's own client lays it out."""
    from huggingface_hub import constants

    cached = tmp_path / "models--owner--model"
    for number, revision in enumerate(("v1", "v2.1")):
        (cached / "snapshots" / f"{number:040}").mkdir(parents=True)
        _save_causal(cached / "snapshots" / f"{number:040}", checkpoint, seed=number)
        (cached / "refs").mkdir(exist_ok=True)
        (cached / "refs" / revision).write_text(f"{number:040}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    sets = ["hidden:owner/model@v1", "hidden:owner/model@v2.1"]
    assert FeaturesConfig(features=sets).features == sets
    found = from_table(to_table(list("abcd"), extract(sets, TEXTS, 500, Means())))
    assert found.names == tuple(f"{name}.{column}" for name in sets for column in range(32))
    assert [set_of(name) for name in found.names] == [name for name in sets for _ in range(32)]
    for place, number in enumerate((0, 1)):
        alone = extract([f"hidden:{cached / 'snapshots' / f'{number:040}'}"], TEXTS, 500, Means()).matrix
        np.testing.assert_allclose(found.matrix[:, 32 * place :][:, :32], alone, atol=1e-5)
    assert not np.allclose(found.matrix[:, :32], found.matrix[:, 32:])


def test_batches_are_padded_no_further_than_they_must() -> None:
    shapes: list[tuple[int, int]] = []

    def hidden(ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        shapes.append((ids.shape[0], ids.shape[1]))
        return (ids * mask)[:, :, None].float()

    ids = [[3] * length for length in (1, 4000, 2, 3, 4000, 0)]
    reader = Reader(lambda texts: ids, hidden, columns=1, device="cpu", most_tokens=5000)
    assert mean_hidden(reader, [""] * 6)[:, 0].tolist() == [3, 3, 3, 3, 3, 0]
    assert sum(rows * longest for rows, longest in shapes) <= 8000 + 3 * 4
    assert max(rows * longest for rows, longest in shapes) <= 8192


@pytest.mark.skipif(find_spec(PACKAGED_ENCODER) is None, reason="the extra encoder is not installed")
def test_a_real_sentence_encoder_puts_like_beside_like() -> None:
    pytest.importorskip("transformers", reason="the extra hf is not installed")
    texts = [
        "def mean(values):\n    '''Return the average of numbers.'''\n",
        "def average(xs):\n    '''The arithmetic mean of a list.'''\n",
        "import socket\nserver = socket.socket()\nserver.listen(5)\n",
    ]
    matrix = extract(["sentence"], texts, 500, Means()).matrix
    np.testing.assert_allclose(np.linalg.norm(matrix, axis=1), 1, atol=1e-5)
    alike = matrix @ matrix.T
    assert alike[0, 1] > 0.5 > alike[0, 2]
    assert matrix.shape == (3, 384)


def test_the_identity_of_a_model_is_its_content(checkpoint: Path, tmp_path: Path) -> None:
    before = identity(["statistics", f"checkpoint:{checkpoint}"])
    assert any(name.endswith("model.safetensors") for name in before)
    assert identity(["statistics", "ngrams", f"hidden:owner/model@{'a' * 40}", "checkpoint:raw"]) == {}
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in checkpoint.iterdir():
        (copy / file.name).write_bytes(file.read_bytes() + b" " * (file.name == "config.json"))
    assert sorted(identity([f"checkpoint:{copy}"]).values()) != sorted(before.values())
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no model"):
        identity([f"checkpoint:{tmp_path / 'empty'}"])


def test_a_folder_that_is_no_model_is_one_clear_line(tmp_path: Path) -> None:
    pytest.importorskip("transformers", reason="the extra hf is not installed")
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match="cannot be loaded") as error:
        open_model(str(tmp_path), "", "cpu", "fp32", 100)
    assert "\n" not in str(error.value)


def test_names_of_feature_sets(tmp_path: Path) -> None:
    assert read_spec("hidden:Salesforce/codegen-350M-mono@main") == Spec(
        "hidden", "Salesforce/codegen-350M-mono", "main"
    )
    assert read_spec("sentence") == Spec("sentence")
    assert str(read_spec("hidden:owner/model@v1.2")) == "hidden:owner/model@v1.2"
    for wrong, said in (
        ("hiden:x", "known: statistics"),
        ("checkpoint", "say which"),
        ("statistics:x", "takes no name"),
        ("sentence:owner/model", "@<commit>"),
        ("hidden:owner/model@", "@<commit>"),
        ("hidden:/no/such/model", "there is no folder /no/such/model"),
        ("sentence:~/no/such@main", "there is no folder ~/no/such"),
        ("checkpoint:raw@main", "leave out @main"),
        (f"hidden:{tmp_path}@main", "leave out @main"),
    ):
        with pytest.raises(ValueError, match=said):
            read_spec(wrong)
    at = tmp_path / "model@v2"
    at.mkdir()
    assert read_spec(f"hidden:{at}") == Spec("hidden", str(at))
