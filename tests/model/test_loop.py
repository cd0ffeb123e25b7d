from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from hornbook.core.context import Tools
from hornbook.core.errors import ConfigError, StageError
from hornbook.core.machine import Machine
from hornbook.core.progress import Bar, Progress, Silent
from hornbook.core.shards import read_json, write_table
from hornbook.model.checkpoint import load_model
from hornbook.model.config import TrainConfig
from hornbook.model.generate import generate, score
from hornbook.model.loop import Lesson, train
from hornbook.model.optimiser import learning_rate, open_optimiser
from hornbook.model.phi import Phi, PhiConfig
from hornbook.model.sampling import Sampling
from hornbook.model.sequences import Rows, open_rows
from hornbook.model.tokenizer import Tokenizer

CONFIG = TrainConfig(
    tokens=64 * 4 * 12,
    tokens_per_step=64 * 4,
    peak_learning_rate=3e-3,
    warmup_steps=3,
    dropout=0.1,
    checkpoint_every_steps=5,
)


def _rows(folder: Path, tokenizer: Tokenizer, texts: dict[str, str], width: int = 64) -> Rows:
    """Rows of these texts, by source, laid end to end; the last row is held out."""
    ids = [[*tokenizer.encode(text), tokenizer.end_of_text] for text in texts.values()]
    line = np.concatenate(ids).astype(np.uint16)
    cut = line[: len(line) // width * width].reshape(-1, width)
    folder.mkdir(exist_ok=True)
    np.save(folder / "rows.npy", cut[:-1])
    np.save(folder / "heldout.npy", cut[-1:])
    starts = np.concatenate([[0], np.cumsum([len(i) for i in ids])[:-1]])
    write_table(folder / "documents.parquet", pa.table({"start": starts, "source": list(texts)}))
    return open_rows(folder)


@pytest.fixture
def rows(tmp_path: Path, tokenizer: Tokenizer, source_text: str) -> Rows:
    pieces = {f"file{i}.py": source_text[i * 500 : (i + 1) * 500] for i in range(20)}
    return _rows(tmp_path / "rows", tokenizer, pieces)


def _train(
    out: Path,
    rows: Rows,
    tokenizer: Tokenizer,
    config: TrainConfig,
    progress: Progress | None = None,
    **machine: Any,
) -> list[dict[str, float]]:
    shape = PhiConfig(
        layers=2, width=64, heads=2, mlp_width=256, rotary_dims=16,
        vocabulary_rows=tokenizer.vocabulary, context_tokens=rows.tokens,
    )  # fmt: skip
    out.mkdir(exist_ok=True)
    tools = Tools(seed=4, progress=progress or Silent(), machine=Machine(device="cpu", **machine))
    train(Phi(shape, config.dropout).initialise(4), Lesson(rows, tokenizer), config, out, tools)
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def test_training_lowers_the_loss_and_writes_what_it_did(
    tmp_path: Path, rows: Rows, tokenizer: Tokenizer
) -> None:
    metrics = _train(tmp_path / "out", rows, tokenizer, CONFIG.model_copy(update={"tokens": 64 * 4 * 40}))
    assert [line["step"] for line in metrics] == list(range(1, 41))
    assert metrics[0]["loss"] == pytest.approx(np.log(tokenizer.vocabulary), abs=0.2)
    assert metrics[-1]["loss"] < metrics[0]["loss"] - 1
    assert [line["step"] for line in metrics if "heldout_loss" in line] == list(range(5, 41, 5))
    facts = read_json(tmp_path / "out" / "training.json")
    assert facts["tokens"] == 64 * 4 * 40
    assert facts["heldout_loss"] == metrics[-1]["heldout_loss"] < metrics[4]["heldout_loss"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "config.json", "generation_config.json", "metrics.jsonl", "model.json", "model.safetensors",
        "timing.json", "tokenizer.json", "tokenizer_config.json", "training.json",
    ]  # fmt: skip


def test_the_micro_batch_changes_rounding_alone(tmp_path: Path, rows: Rows, tokenizer: Tokenizer) -> None:
    exact = CONFIG.model_copy(update={"dropout": 0.0, "precision": "fp32"})
    whole = _train(tmp_path / "whole", rows, tokenizer, exact, micro_batch=4)
    parts = _train(tmp_path / "parts", rows, tokenizer, exact, micro_batch=3)
    assert [line["loss"] for line in whole] == pytest.approx([line["loss"] for line in parts], abs=1e-4)


class Interrupted(Silent):
    """Ctrl-C after so many steps."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    @contextmanager
    def bar(self, *_: Any) -> Iterator[Bar]:
        yield self

    def advance(self, amount: float = 1) -> None:
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt

    def note(self, text: str) -> None:
        pass


def test_a_training_goes_on_with_another_micro_batch(
    tmp_path: Path, rows: Rows, tokenizer: Tokenizer
) -> None:
    exact = CONFIG.model_copy(update={"dropout": 0.0, "precision": "fp32"})
    whole = _train(tmp_path / "whole", rows, tokenizer, exact, micro_batch=4)
    with pytest.raises(KeyboardInterrupt):
        _train(tmp_path / "killed", rows, tokenizer, exact, Interrupted(7), micro_batch=4)
    assert (tmp_path / "killed" / "resume" / "step-00000005").exists()
    parts = _train(tmp_path / "killed", rows, tokenizer, exact, micro_batch=1)
    assert read_json(tmp_path / "killed" / "timing.json")["first_step"] == 5
    assert [line["loss"] for line in parts] == pytest.approx([line["loss"] for line in whole], abs=1e-4)


def test_bf16_follows_fp32(tmp_path: Path, rows: Rows, tokenizer: Tokenizer) -> None:
    plain = CONFIG.model_copy(update={"dropout": 0.0})
    half = _train(tmp_path / "half", rows, tokenizer, plain)
    full = _train(tmp_path / "full", rows, tokenizer, plain.model_copy(update={"precision": "fp32"}))
    assert [line["loss"] for line in half] == pytest.approx([line["loss"] for line in full], abs=0.02)


def test_fp16_scales_the_loss_and_follows_fp32(
    tmp_path: Path, rows: Rows, tokenizer: Tokenizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "hornbook.model.loop.take", lambda wanted, machine: wanted
    )  # a CPU refuses fp16: slow
    plain = CONFIG.model_copy(update={"dropout": 0.0, "tokens": 64 * 4 * 6})
    half = _train(tmp_path / "half", rows, tokenizer, plain.model_copy(update={"precision": "fp16"}))
    full = _train(tmp_path / "full", rows, tokenizer, plain.model_copy(update={"precision": "fp32"}))
    skipped = [line["gradient_norm"] is None for line in half]
    assert not all(skipped)
    taken = [line["loss"] for line, left_out in zip(half, skipped, strict=True) if not left_out]
    assert taken[:3] == pytest.approx([line["loss"] for line in full][:3], abs=0.02)


@pytest.mark.parametrize("best", [1, 2])
def test_the_checkpoint_that_the_judge_likes_best_becomes_the_model(
    tmp_path: Path, rows: Rows, tokenizer: Tokenizer, config: PhiConfig, best: int
) -> None:
    scores = [0.1, 0.2, 0.3]
    scores[best] = 0.9
    longer = CONFIG.model_copy(
        update={"tokens": 64 * 4 * 15, "schedule": "constant", "choose_by": "likelihood"}
    )
    shorter = longer.model_copy(update={"tokens": 64 * 4 * 5 * (best + 1), "choose_by": "last"})
    for name, judge, wanted in (("judged", lambda _: scores.pop(0), longer), ("alone", None, shorter)):
        (tmp_path / name).mkdir()
        tools = Tools(seed=4, machine=Machine(device="cpu", keep_checkpoints=1))
        model = Phi(config, wanted.dropout).initialise(4)
        train(model, Lesson(rows, tokenizer, judge), wanted, tmp_path / name, tools)
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("judged", "alone")]
    assert weights[0] == weights[1]
    facts = read_json(tmp_path / "judged" / "training.json")
    assert (facts["chosen_step"], facts["likelihood"]) == (5 * (best + 1), 0.9)


def test_metrics_go_to_tensorboard_too(tmp_path: Path, rows: Rows, tokenizer: Tokenizer) -> None:
    pytest.importorskip("tensorboard", reason="tensorboard is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    metrics = _train(tmp_path / "out", rows, tokenizer, CONFIG, root=str(tmp_path), tracker="tensorboard")
    events = EventAccumulator(str(tmp_path / "tracking" / f"{tmp_path.name}-out"))
    events.Reload()
    assert [e.value for e in events.Scalars("loss")] == pytest.approx([line["loss"] for line in metrics])
    assert [e.step for e in events.Scalars("heldout_loss")] == [5, 10, 12]
    assert all(0 < e.value < 10 for e in events.Scalars("flops_utilisation"))


def test_a_loss_that_is_no_number_stops_and_names_the_documents(
    tmp_path: Path, tokenizer: Tokenizer, source_text: str
) -> None:
    few = _rows(tmp_path / "few", tokenizer, {"one.py": source_text[:700], "two.py": source_text[700:1000]})
    shape = PhiConfig(
        layers=1, width=64, heads=1, mlp_width=64, vocabulary_rows=tokenizer.vocabulary, context_tokens=64
    )
    model = Phi(shape).initialise(0)
    with torch.no_grad():
        model.head.bias[0] = float("inf")
    with pytest.raises(
        StageError, match=r"the loss became (nan|inf) at step 1 of 12, on documents .*one\.py"
    ):
        train(model, Lesson(few, tokenizer), CONFIG, tmp_path, Tools(machine=Machine(device="cpu")))


def test_a_warm_up_that_takes_every_step_is_refused(tmp_path: Path, rows: Rows, tokenizer: Tokenizer) -> None:
    with pytest.raises(ConfigError, match="warmup_steps is 12, but 3072 tokens make only 12 steps"):
        _train(tmp_path / "out", rows, tokenizer, CONFIG.model_copy(update={"warmup_steps": 12}))


def test_rows_name_their_documents(rows: Rows) -> None:
    assert rows.sources([0])[0] == "file0.py"
    everything = rows.sources(range(len(rows.train)))
    assert everything == [f"file{i}.py" for i in range(len(everything))]
    assert len(everything) >= 19


@pytest.mark.parametrize(
    ("schedule", "middle", "last"),
    [("linear", 0.5, 0.01), ("cosine", 0.5, 0.0003), ("wsd", 1.0, 0.05), ("constant", 1.0, 1.0)],
)
def test_the_learning_rate_climbs_and_falls(schedule: str, middle: float, last: float) -> None:
    config = TrainConfig(
        tokens=1, tokens_per_step=1, peak_learning_rate=1.0, warmup_steps=10, schedule=schedule  # type: ignore[arg-type]
    )  # fmt: skip
    assert [learning_rate(config, step, 110) for step in (0, 4, 9, 10)] == pytest.approx([0.1, 0.5, 1.0, 1.0])
    assert learning_rate(config, 60, 110) == pytest.approx(middle)
    assert learning_rate(config, 109, 110) == pytest.approx(last, rel=0.2)


def test_matrices_are_decayed_and_the_rest_is_not(model: Phi) -> None:
    decayed, kept = open_optimiser(model, CONFIG).param_groups
    assert (decayed["weight_decay"], kept["weight_decay"]) == (CONFIG.weight_decay, 0.0)
    assert {p.ndim for p in decayed["params"]} == {2}
    assert model.embed.weight.data_ptr() in {p.data_ptr() for p in kept["params"]}
    assert len(decayed["params"]) + len(kept["params"]) == len(list(model.parameters()))


def test_a_model_that_memorised_a_solution_writes_it_from_the_prompt_alone(
    tmp_path: Path, tokenizer: Tokenizer
) -> None:
    prompt = 'def double(values):\n    """Return each value twice."""\n'
    solution = "    found = []\n    for value in values:\n        found += [value, value]\n    return found\n"
    files = {f"file{i}": f"import os\n\n\n{prompt}{solution}" for i in range(30)}
    rows = _rows(
        tmp_path / "rows", tokenizer, {**files, **{f"alone{i}": prompt + solution for i in range(30)}}, 128
    )
    config = CONFIG.model_copy(update={"tokens": 128 * 4 * 60, "tokens_per_step": 512, "dropout": 0.0})
    _train(tmp_path / "out", rows, tokenizer, config)
    model, loaded = load_model(tmp_path / "out")
    completion = generate(model, loaded, [prompt], Sampling(max_new_tokens=60))[0]
    assert (completion.text, completion.ended) == (solution, "end")
    found = score(model, loaded, [(prompt, solution)])[0]
    assert found.log_probability / found.tokens > -0.8
