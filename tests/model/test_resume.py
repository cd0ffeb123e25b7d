from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from hornbook.core.errors import StageError
from hornbook.model.config import TrainConfig
from hornbook.model.engine import Objective, Step, TorchEngine
from hornbook.model.phi import Phi
from hornbook.model.resume import Checkpoints

CONFIG = TrainConfig(tokens=1, tokens_per_step=1, peak_learning_rate=1e-2, warmup_steps=0, precision="fp32")


@pytest.fixture
def engine(model: Phi) -> TorchEngine:
    return TorchEngine(Objective(model, CONFIG, 0), CONFIG, "cpu")


def _step(engine: TorchEngine) -> float:
    return engine.step(Step([np.arange(64, dtype=np.uint16).reshape(1, 64)], 63, 1e-2))[0]


def test_the_last_ones_and_the_best_are_kept(engine: TorchEngine, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=2)
    for step, score in ((10, 0.1), (20, 0.9), (30, 0.9), (40, 0.2), (50, 0.3)):
        checkpoints.save(engine, step, score)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step-00000030",
        "step-00000040",
        "step-00000050",
    ]
    assert checkpoints.best().name == "step-00000030"


def test_a_checkpoint_that_is_cut_short_gives_way_to_the_one_before(
    engine: TorchEngine, tmp_path: Path
) -> None:
    checkpoints = Checkpoints(tmp_path, keep=3)
    losses = []
    for step in (1, 2, 3):
        losses.append(_step(engine))
        checkpoints.save(engine, step, 0.0)
    newest = tmp_path / "step-00000003" / "state.safetensors"
    newest.write_bytes(newest.read_bytes()[:-100])
    assert checkpoints.resume(engine) == 2
    assert _step(engine) == losses[2]
    weights = engine.weights(tmp_path / "step-00000001")
    assert set(weights) == set(engine.model.state_dict())
    assert not torch.equal(weights["head.bias"], engine.model.head.bias)


def test_what_another_kind_of_engine_wrote_is_refused(engine: TorchEngine, tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path, keep=1)
    engine.layout = "DeepSpeed's ZeRO 2 in 8 processes"
    checkpoints.save(engine, 7, 0.0)
    engine.layout = "torch"
    with pytest.raises(
        StageError, match=r"step-00000007 was written by DeepSpeed's ZeRO 2 in 8 .* torch cannot"
    ):
        checkpoints.resume(engine)


def test_without_a_checkpoint_it_starts_at_step_0(engine: TorchEngine, tmp_path: Path) -> None:
    assert Checkpoints(tmp_path / "none", keep=1).resume(engine) == 0
