from __future__ import annotations

import inspect
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hornbook.core.context import Tools
from hornbook.core.machine import Machine
from hornbook.core.records import Document
from hornbook.core.shards import read_json, shard_name, write_shard
from hornbook.model.tokenizer import train_tokenizer
from hornbook.stages.tokenize import pack
from hornbook.stages.train import finetune
from hornbook.stages.train.finetune import FinetuneConfig
from hornbook.stages.train.pretrain import PretrainConfig, run

CONFIG = PretrainConfig(
    size="nano",
    tokens=32 * 4 * 14,
    tokens_per_step=32 * 4,
    warmup_steps=2,
    dropout=0.1,
    checkpoint_every_steps=2,
)
PROGRAM = """
import os, sys
from pathlib import Path
from hornbook.core.machine import Machine
from hornbook.core.context import Tools
from hornbook.stages.train.pretrain import PretrainConfig, run
if __name__ == "__main__":
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: int(sys.argv[5])])
    inputs = {"rows": Path(sys.argv[2]), "tokenizer": Path(sys.argv[3])}
    tools = Tools(seed=7, machine=Machine(device="cpu"))
    run(PretrainConfig.model_validate_json(sys.argv[1]), inputs, Path(sys.argv[4]), tools)
"""


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small tensors gain nothing from two threads, and wait for each other on a busy machine."""
    monkeypatch.setattr("hornbook.model.plan.available_cpus", lambda: 1)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("inputs")
    text = inspect.getsource(inspect)
    documents = [Document(text[i : i + 400], f"inspect.py:{i}", "code") for i in range(0, 40_000, 400)]
    train_tokenizer([text], 400).save(folder / "tokenizer")
    write_shard(folder / "documents", shard_name(0), documents)
    config = pack.PackConfig(parts={"code": 1.0}, tokens=6400, row_tokens=32, heldout_share=0.05)
    pack.run(
        config,
        {"tokenizer": folder / "tokenizer", "part.code": folder / "documents"},
        folder / "rows",
        Tools(),
    )
    return {"rows": folder / "rows", "tokenizer": folder / "tokenizer"}


def _start(inputs: dict[str, Path], out: Path, processors: int) -> subprocess.Popen[bytes]:
    out.mkdir(exist_ok=True)
    arguments = [
        CONFIG.model_dump_json(),
        str(inputs["rows"]),
        str(inputs["tokenizer"]),
        str(out),
        str(processors),
    ]
    return subprocess.Popen([sys.executable, "-c", PROGRAM, *arguments])


def _bytes(out: Path) -> dict[str, bytes]:
    """What must not differ from run to run: everything but the timing."""
    files = [path for path in out.rglob("*") if path.is_file() and path.name != "timing.json"]
    return {str(path.relative_to(out)): path.read_bytes() for path in files}


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="needs Linux to choose processors")
@pytest.mark.parametrize("processors", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_killed_and_resumed_it_ends_with_the_same_bytes(
    inputs: dict[str, Path], tmp_path: Path, processors: int
) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert _start(inputs, whole, processors).wait() == 0
    for lines in sorted(random.sample(range(3, 13), 2)):
        process = _start(inputs, killed, processors)
        metrics = killed / "metrics.jsonl"
        while process.poll() is None and (not metrics.exists() or metrics.read_bytes().count(b"\n") < lines):
            time.sleep(0.001)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert not (killed / "model.json").exists()
    assert (killed / "resume" / "step-00000002").exists() or len(
        list((killed / "resume").glob("step-*"))
    ) == 2
    assert _start(inputs, killed, processors).wait() == 0
    assert read_json(killed / "timing.json")["first_step"] >= 2
    assert _bytes(whole) == _bytes(killed)
    assert len((whole / "metrics.jsonl").read_text().splitlines()) == 14


def test_counts_and_files_say_what_was_trained(inputs: dict[str, Path], tmp_path: Path) -> None:
    counts = run(CONFIG, inputs, tmp_path, Tools(seed=7, machine=Machine(device="cpu")))
    facts = read_json(tmp_path / "model.json")
    assert counts["parameters"] == facts["parameters"] == 4 * 198_016 + 256 + 2 * 400 * 128 + 400
    assert facts["config"]["context_tokens"] == 32
    assert counts["steps"] == 14
    assert counts["heldout_loss"] < 6


def test_finetuning_goes_on_from_a_checkpoint(inputs: dict[str, Path], tmp_path: Path) -> None:
    tools = Tools(seed=7, machine=Machine(device="cpu"))
    before = run(CONFIG, inputs, tmp_path / "base", tools)
    config = FinetuneConfig(
        tokens=32 * 4 * 10, tokens_per_step=32 * 4, warmup_steps=2, dropout=0.0, choose_by="last"
    )
    after = finetune.run(config, {**inputs, "checkpoint": tmp_path / "base"}, tmp_path / "tuned", tools)
    assert after["heldout_loss"] < before["heldout_loss"]
    first = (tmp_path / "tuned" / "metrics.jsonl").read_text().splitlines()[0]
    assert abs(float(first.split('"loss":')[1].split(",")[0]) - before["loss"]) < 0.5
