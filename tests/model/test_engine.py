"""fp16's loss scaling: a step that overflows is left out, and a resumed scale goes on as it was."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from hornbook.model.config import TrainConfig
from hornbook.model.engine import Objective, Step, TorchEngine
from hornbook.model.phi import Phi

CONFIG = TrainConfig(
    tokens=1, tokens_per_step=1, peak_learning_rate=1e-2, warmup_steps=0, dropout=0.0, precision="fp16"
)
ROWS = np.arange(256, dtype=np.uint16).reshape(4, 64)
OVERFLOWS = 2.0**40
FITS = 2.0**12


def _engine(model: Phi, scale: float, good_steps: int = 0, precision: str = "fp16") -> TorchEngine:
    config = CONFIG.model_copy(update={"precision": precision})
    made = TorchEngine(Objective(copy.deepcopy(model).train(), config, 0), config, "cpu")
    state = made.scaler.state_dict()
    made.scaler.load_state_dict({**state, "scale": scale, "_growth_tracker": good_steps} if state else {})
    return made


def _step(engine: TorchEngine) -> tuple[float, float]:
    return engine.step(Step([ROWS[:2], ROWS[2:]], 4 * 63, 1e-2))


def _equal(one: TorchEngine, other: TorchEngine) -> bool:
    theirs = other.model.state_dict()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in one.model.state_dict().items())


def test_gradients_that_overflow_change_nothing_but_the_scale(model: Phi) -> None:
    untouched, engine = _engine(model, FITS), _engine(model, OVERFLOWS)
    loss, norm = _step(engine)
    assert math.isfinite(loss)
    assert not math.isfinite(norm)
    assert engine.scaler.get_scale() == OVERFLOWS / 2
    assert _equal(engine, untouched)
    engine.scaler.update(FITS)
    assert _step(engine) == _step(untouched)  # neither moments nor their count know of the step left out
    assert _equal(engine, untouched)


def test_the_scale_falls_until_gradients_fit_and_the_step_is_that_of_fp32(model: Phi) -> None:
    scaled, plain = _engine(model, OVERFLOWS), _engine(model, 1.0, precision="fp32")
    norms = [_step(scaled)[1]]
    while not math.isfinite(norms[-1]):
        norms.append(_step(scaled)[1])
    assert 1 < len(norms) < 40
    assert scaled.scaler.get_scale() == OVERFLOWS / 2 ** (len(norms) - 1)
    assert norms[-1] == pytest.approx(_step(plain)[1], rel=0.01)  # unscaled before it is measured and clipped


def test_the_scale_doubles_after_many_good_steps_and_a_resumed_one_counts_on(
    model: Phi, tmp_path: Path
) -> None:
    engine, resumed = _engine(model, FITS, good_steps=1997), _engine(model, OVERFLOWS)
    _step(engine)
    engine.save(tmp_path)
    resumed.load(tmp_path)
    assert [_step(engine) for _ in range(3)] == [_step(resumed) for _ in range(3)]
    assert engine.scaler.state_dict() == resumed.scaler.state_dict()
    assert (resumed.scaler.get_scale(), resumed.scaler.state_dict()["_growth_tracker"]) == (2 * FITS, 1)
    assert _equal(engine, resumed)
