"""The precision of `auto` follows the machine, enters fingerprints, and is kept by a training that was begun in it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from hornbook.core.errors import ConfigError
from hornbook.core.machine import Machine
from hornbook.core.settings import parse
from hornbook.core.store import Store
from hornbook.experiment.plan import Planned, plan
from hornbook.experiment.recipe import Recipe
from hornbook.model import precision
from hornbook.model.precision import Choice, choose, take, warning

LESSER = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2"}
"""What makes a processor with bf16 look like one without."""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "one.py").write_text("x = 1\n")
    return Machine(root=str(tmp_path / "root"), device="cpu")


def _choices(monkeypatch: pytest.MonkeyPatch, taken: str) -> None:
    """Let this machine measure that `taken` is the faster one by ten."""
    seconds = {"bf16": 1.0, "fp32": 1.0, taken: 0.1}
    monkeypatch.setattr(precision, "_measured", lambda _: Choice(taken, "cpu", "measured", seconds))
    monkeypatch.setattr(precision, "_key", lambda _: taken)


def _planned(machine: Machine, **pretrain: object) -> dict[str, Planned]:
    values = {
        "name": "tiny",
        "read": {"sources": [{"kind": "folder", "path": str(Path(machine.root).parent / "corpus")}]},
        "dedup": {},
        "decontaminate": {"benchmarks": []},
        "tokenizer": {"vocabulary": 300},
        "row_tokens": 512,
        "mixes": {"raw": {"tokens": 1000, "parts": {"dedup": 1.0}}},
        "pretrain": {
            "size": "nano",
            "tokens": 1000,
            "tokens_per_step": 512,
            "peak_learning_rate": 1e-3,
            "warmup_steps": 0,
            **pretrain,
        },
        "evaluate": {"benchmarks": ["humaneval"], "heldout_problems": 0},
        "arms": {"raw": {"mix": "raw"}},
    }
    return {item.step.key: item for item in plan(parse(Recipe, values, "tiny.toml"), machine)}


def test_without_bf16_instructions_auto_is_fp32(tmp_path: Path) -> None:
    code = (
        "import sys; from hornbook.core.machine import Machine; from hornbook.model.precision import choose; "
        "print(choose(Machine(root=sys.argv[1], device='cpu'), keep=True).precision)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        env=os.environ | LESSER,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["fp32"]
    [kept] = json.loads((tmp_path / "cache" / precision.FILE).read_text()).values()
    assert kept["precision"] == "fp32"


def test_a_choice_is_measured_once(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    _choices(monkeypatch, "bf16")
    first = choose(machine, keep=True)
    monkeypatch.setattr(precision, "_measured", lambda _: pytest.fail("measured again"))
    assert choose(machine) == first


def test_the_precision_that_is_taken_enters_the_fingerprint_of_a_training_alone(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    prints = {}
    for taken in ("bf16", "fp32"):
        _choices(monkeypatch, taken)
        prints[taken] = {key: item.fingerprint for key, item in _planned(machine).items()}
    changed = {key for key, value in prints["bf16"].items() if prints["fp32"][key] != value}
    assert changed == {"pretrain/raw", "evaluate/raw.base", "report"}
    named = _planned(machine, precision="fp32")["pretrain/raw"].fingerprint
    assert named == prints["fp32"]["pretrain/raw"]


def test_an_unfinished_training_continues_in_the_precision_it_began_with(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    _choices(monkeypatch, "fp32")
    begun = _planned(machine)["pretrain/raw"].fingerprint
    Store(Path(machine.root)).partial("pretrain", begun).mkdir(parents=True)
    _choices(monkeypatch, "bf16")
    found = _planned(machine)["pretrain/raw"]
    assert (found.fingerprint, found.state) == (begun, "resume")
    assert found.why == "left unfinished in fp32, and continued in it (auto is bf16 here now)"


def test_what_the_device_cannot_do_is_refused_and_what_is_slow_is_said(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    _choices(monkeypatch, "fp32")
    with pytest.raises(ConfigError, match=r"pretrain/raw: precision is \"fp16\", which needs a CUDA GPU"):
        _planned(machine, precision="fp16")
    assert take("bf16", machine) == "bf16"
    assert "10.0 times as long as in fp32" in warning("bf16", machine)
    assert warning("fp32", machine) == ""
