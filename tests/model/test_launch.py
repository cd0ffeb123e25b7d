"""Several processes on this machine train one model: the losses are those of one process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file

from hornbook.core.context import Tools
from hornbook.core.errors import ConfigError, StageError
from hornbook.core.machine import DeepSpeedPlace, Machine
from hornbook.core.progress import Silent
from hornbook.core.settings import parse, read_toml
from hornbook.core.shards import read_json, write_table
from hornbook.experiment import execute as execution
from hornbook.experiment import plan as planning
from hornbook.experiment.recipe import Recipe
from hornbook.model.plan import plan_training
from hornbook.model.sequences import open_rows
from hornbook.model.tokenizer import Tokenizer
from hornbook.stages.train.pretrain import PretrainConfig, run

ROW = 32
CONFIG = PretrainConfig(
    size="nano",
    tokens=ROW * 8 * 6,
    tokens_per_step=ROW * 8,
    warmup_steps=2,
    dropout=0.0,
    precision="fp32",
    checkpoint_every_steps=2,
)
BF16 = CONFIG.model_copy(update={"precision": "bf16"})


@pytest.fixture(scope="module")
def inputs(
    tmp_path_factory: pytest.TempPathFactory, source_text: str, tokenizer: Tokenizer
) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("inputs")
    ids = np.array(tokenizer.encode(source_text), np.uint16)
    rows = ids[: len(ids) // ROW * ROW].reshape(-1, ROW)
    np.save(folder / "rows.npy", rows[4:])
    np.save(folder / "heldout.npy", rows[:4])
    write_table(folder / "documents.parquet", pa.table({"start": [0], "source": ["inspect.py"]}))
    tokenizer.save(folder)
    return {"rows": folder, "tokenizer": folder}


def _losses(out: Path) -> list[float]:
    return [orjson.loads(line)["loss"] for line in (out / "metrics.jsonl").read_bytes().splitlines()]


def _train(
    inputs: dict[str, Path], out: Path, config: PretrainConfig = CONFIG, **machine: object
) -> list[float]:
    out.mkdir(exist_ok=True)
    place = Machine(device="cpu", micro_batch=2, **machine)  # type: ignore[arg-type]
    counts = run(config, inputs, out, Tools(seed=7, machine=place))
    assert counts["steps"] == 6
    return _losses(out)


@pytest.fixture(scope="module")
def alone(inputs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("alone")
    _train(inputs, out)
    return out


def _assert_same(out: Path, reference: Path) -> None:
    assert _losses(out) == pytest.approx(_losses(reference), abs=1e-4)
    ours, theirs = (load_file(folder / "model.safetensors") for folder in (out, reference))
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], atol=2e-3, rtol=1e-2)


def test_two_processes_give_the_losses_and_the_model_of_one(
    inputs: dict[str, Path], alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", None)
    _train(inputs, tmp_path / "out", launch=2)
    _assert_same(tmp_path / "out", alone)
    assert [path.name for path in temporary.iterdir() if not path.name.startswith("torchinductor")] == []


@pytest.mark.slow
def test_a_killed_process_ends_the_others_and_the_training_resumes(
    inputs: dict[str, Path], alone: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    killer = threading.Thread(target=_kill_one_at, args=(tmp_path / "metrics.jsonl", 3))
    killer.start()
    with pytest.raises(
        StageError, match=r"process \d of 2 was killed by SIGKILL, and the others were ended; run again"
    ):
        _train(inputs, tmp_path, launch=2)
    killer.join()
    assert "torch/distributed" not in capfd.readouterr().err  # it is said once, in the error
    assert not (tmp_path / "model.safetensors").exists()
    assert list((tmp_path / "resume").glob("step-*"))
    _train(inputs, tmp_path, launch=2)
    _assert_same(tmp_path, alone)


def _kill_one_at(metrics: Path, lines: int) -> None:
    """SIGKILL one training process of this one's once so many steps are done."""
    while not metrics.exists() or metrics.read_bytes().count(b"\n") < lines:
        time.sleep(0.005)
    children = [int(p.name) for p in Path("/proc").iterdir() if p.name.isdigit() and _trains(p)]
    os.kill(max(children), signal.SIGKILL)


def _trains(process: Path) -> bool:
    try:
        parent = int((process / "stat").read_text().rsplit(")", 1)[1].split()[1])
        return parent == os.getpid() and b"spawn_main" in (process / "cmdline").read_bytes()
    except OSError:
        return False


@pytest.mark.parametrize(("world", "rows"), [(1, [[0, 1], [2, 3], [4, 5]]), (3, [[2, 3]])])
def test_processes_share_a_step_evenly_or_refuse(
    inputs: dict[str, Path], world: int, rows: list[list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hornbook.model.ranks.world", lambda: world)
    monkeypatch.setattr("hornbook.model.ranks.rank", lambda: world // 2)
    config = CONFIG.model_copy(update={"tokens_per_step": ROW * 6})
    plan = plan_training(config, open_rows(inputs["rows"]), Machine(device="cpu", micro_batch=2))
    assert [piece.tolist() for piece in plan.pieces(np.arange(6))] == rows
    odd = CONFIG.model_copy(update={"tokens_per_step": ROW * 7})
    if world > 1:
        with pytest.raises(ConfigError, match="7 rows of 32 tokens, which 3 processes cannot share evenly"):
            plan_training(odd, open_rows(inputs["rows"]), Machine(device="cpu"))


@pytest.mark.slow
def test_an_error_of_a_process_is_raised_as_what_it_is(inputs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^warmup_steps is 6, but 1536 tokens make only 6 steps$"):
        _train(inputs, tmp_path, CONFIG.model_copy(update={"warmup_steps": 6}), launch=2)


PLACES = {
    "zero 0": DeepSpeedPlace(zero=0),
    "zero 1": DeepSpeedPlace(zero=1),
    "zero 2": DeepSpeedPlace(zero=2),
    "zero 3": DeepSpeedPlace(zero=3),
    "zero 2, offload": DeepSpeedPlace(zero=2, offload_optimizer="cpu"),
    "zero 3, offload": DeepSpeedPlace(zero=3, offload_optimizer="cpu", offload_parameters="cpu"),
}


@pytest.mark.slow
@pytest.mark.timeout(600)  # DeepSpeed builds a small op the first time
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES)
def test_deepspeed_gives_the_losses_and_the_model_of_one(
    inputs: dict[str, Path], alone: Path, tmp_path: Path, place: DeepSpeedPlace
) -> None:
    pytest.importorskip("deepspeed", reason="the extra deepspeed is not installed")
    _train(inputs, tmp_path, launch=2, deepspeed=place)
    _assert_same(tmp_path, alone)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["torch", *PLACES])
def test_compiled_processes_give_the_losses_and_the_model_of_one(
    inputs: dict[str, Path], alone: Path, tmp_path: Path, name: str
) -> None:
    if name in PLACES:
        pytest.importorskip("deepspeed", reason="the extra deepspeed is not installed")
    _train(inputs, tmp_path, launch=2, deepspeed=PLACES.get(name), compile=True)
    _assert_same(tmp_path, alone)


@pytest.fixture(scope="module")
def alone_in_bf16(inputs: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    return _train(inputs, tmp_path_factory.mktemp("alone_in_bf16"), BF16)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("compiled", [False, True], ids=["plain", "compiled"])
@pytest.mark.parametrize("name", ["torch", *PLACES])
def test_processes_in_bf16_follow_one(
    inputs: dict[str, Path], alone_in_bf16: list[float], tmp_path: Path, name: str, compiled: bool
) -> None:
    if name in PLACES:
        pytest.importorskip("deepspeed", reason="the extra deepspeed is not installed")
    found = _train(inputs, tmp_path, BF16, launch=2, deepspeed=PLACES.get(name), compile=compiled)
    assert found == pytest.approx(alone_in_bf16, abs=2e-3)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    ("name", "compiled"), [("zero 2", False), ("zero 3", False), ("zero 3, offload", True)]
)
def test_deepspeed_resumes_from_what_it_shared_out(
    inputs: dict[str, Path], alone: Path, tmp_path: Path, name: str, compiled: bool
) -> None:
    pytest.importorskip("deepspeed", reason="the extra deepspeed is not installed")
    how = {"launch": 2, "deepspeed": PLACES[name], "compile": compiled}
    killer = threading.Thread(target=_kill_one_at, args=(tmp_path / "metrics.jsonl", 3))
    killer.start()
    with pytest.raises(StageError, match="the others were ended"):
        _train(inputs, tmp_path, **how)
    killer.join()
    with pytest.raises(StageError, match=r"written by DeepSpeed's ZeRO \d in 2 processes, and torch cannot"):
        _train(inputs, tmp_path)
    _train(inputs, tmp_path, **how)
    _assert_same(tmp_path, alone)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_deepspeed_checkpoint_that_is_cut_short_is_named(inputs: dict[str, Path], tmp_path: Path) -> None:
    pytest.importorskip("deepspeed", reason="the extra deepspeed is not installed")
    killer = threading.Thread(target=_kill_one_at, args=(tmp_path / "metrics.jsonl", 3))
    killer.start()
    with pytest.raises(StageError, match="the others were ended"):
        _train(inputs, tmp_path, launch=2, deepspeed=PLACES["zero 1"])
    killer.join()
    newest = max((tmp_path / "resume").glob("step-*"))
    cut = max(newest.rglob("*.pt"), key=lambda path: path.stat().st_size)
    cut.write_bytes(cut.read_bytes()[:-1000])
    with pytest.raises(StageError, match=rf"DeepSpeed cannot read \S+{newest.name} \(.*delete it to go on"):
        _train(inputs, tmp_path, launch=2, deepspeed=PLACES["zero 1"])


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.skipif(not torch.cuda.is_available(), reason="training in fp16 needs a CUDA GPU")
def test_fp16_scales_alike_in_two_processes(inputs: dict[str, Path], tmp_path: Path) -> None:
    """Both leave the same steps out: each sees the sum of the gradients, and whether it overflows."""
    half = CONFIG.model_copy(update={"precision": "fp16"})
    found = _train(inputs, tmp_path / "two", half, launch=2)
    assert found == pytest.approx(_train(inputs, tmp_path / "one", half), abs=2e-3)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_torchrun_trains_a_step_of_a_recipe(tmp_path: Path) -> None:
    """Two processes of torchrun, the first of which publishes; then there is nothing left to do."""
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(RECIPE)
    root = ["--root", str(tmp_path / "root")]
    execute = [sys.executable, "-m", "hornbook"]
    before = subprocess.run(
        [*execute, "train", str(recipe), "pretrain/only", *root], capture_output=True, text=True, check=False
    )
    assert before.returncode == 3
    assert "pretrain/only needs pack/right, tokenizer, not in the store yet" in before.stderr
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    command = [*torchrun, "hornbook", "train", str(recipe), "pretrain/only", *root, "--quiet"]
    _build_inputs(recipe, tmp_path / "root")
    outputs = [
        subprocess.run(
            command, capture_output=True, text=True, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        for _ in range(2)
    ]
    assert [done.returncode for done in outputs] == [0, 0], [done.stderr for done in outputs]
    lines = [line for done in outputs for line in done.stdout.splitlines() if line.startswith("Model: ")]
    assert len(lines) == 2
    assert (Path(lines[0].removeprefix("Model: ")) / "model.safetensors").exists()
    assert lines[0] == lines[1]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_shared_out_weights_are_judged_on_exercises(tmp_path: Path) -> None:
    """ZeRO 3: the checkpoint that finetuning chooses is the one that one process chooses, by the same score."""
    pytest.importorskip("deepspeed", reason="the extra deepspeed is not installed")
    path, found = tmp_path / "tiny.toml", {}
    path.write_text(RECIPE.replace("heldout_count = 0", "heldout_count = 20") + FINETUNE)
    recipe = parse(Recipe, read_toml(path), "tiny")
    for name, places in (("one", {}), ("two", {"launch": 2, "deepspeed": PLACES["zero 3"]})):
        root = tmp_path / name
        _build_inputs(path, root)
        for step in ("pretrain/only", "finetune/only"):
            folder, _ = execution.train(recipe, Machine(root=str(root), **places), step, Silent())  # type: ignore[arg-type]
        found[name] = read_json(folder / "training.json")
    assert found["two"]["chosen_step"] == found["one"]["chosen_step"]
    assert found["two"]["likelihood"] == pytest.approx(found["one"]["likelihood"], abs=0.01)


def _build_inputs(recipe: Path, root: Path) -> None:
    """Build every step before the training."""
    planned = planning.plan(parse(Recipe, read_toml(recipe), "tiny"), Machine(root=str(root), workers=1))
    before = [
        item for item in planned if item.step.stage in ("exercises", "decontaminate", "tokenizer", "pack")
    ]
    execution.build("tiny", Machine(root=str(root), workers=1), before, Silent())


RECIPE = """
name = "tiny"
row_tokens = 32
[exercises.grammar]
source = "grammar"
count = 60
heldout_count = 0
mutated = 0
[decontaminate]
[tokenizer]
vocabulary = 300
[mixes.right]
tokens = 4_000
parts = { "exercises/grammar" = 1.0 }
[pretrain]
size = "nano"
tokens = 1_024
tokens_per_step = 256
warmup_steps = 1
dropout = 0.0
[evaluate]
heldout_problems = 0
max_answer_tokens = 16
[arms.only]
mix = "right"
"""
FINETUNE = """
finetune = "right"
[finetune]
tokens = 1_024
tokens_per_step = 256
warmup_steps = 1
dropout = 0.0
checkpoint_every_steps = 2
"""
