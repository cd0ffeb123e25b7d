"""Bootstrapping: a filter judges by the model that the raw arm trained, and a second arm learns from what it keeps."""

from __future__ import annotations

import json
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

RECIPE = """
name = "bootstrap"
teacher = "scripted"
row_tokens = 64
[read]
shard_bytes = 150_000
sources = [{ kind = "folder", path = "CORPUS", name = "corpus" }]
[dedup]
[annotate]
labels = 24
[filters.self]
features = ["statistics", "checkpoint:raw"]
trees = 20
good_share = 0.4
keep_share = KEEP
[decontaminate]
[tokenizer]
vocabulary = 512
sample_bytes = 200_000
[mixes]
raw = { tokens = 6_400, parts = { dedup = 1.0 } }
chosen = { tokens = 6_400, parts = { "filter.self" = 1.0 } }
[pretrain]
size = "nano"
tokens = 6_400
tokens_per_step = 640
warmup_steps = 2
dropout = 0.0
checkpoint_every_steps = 10
[evaluate]
max_answer_tokens = 4
[arms]
raw = { mix = "raw" }
chosen = { mix = "chosen" }
"""
MACHINE = '[teachers.scripted]\nkind = "canned"\npath = "ANSWERS"\n'
ANSWERS = (
    {"match": "def |class ", "text": "Yes", "logprobs": [{"Yes": -y, "No": -1.0} for y in (0.2, 0.6, 2.0)]},
    {"match": "", "text": "No", "logprobs": [{"Yes": -0.9, "No": -0.5}, {"Yes": -1.4, "No": -0.3}]},
)
MODULES = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of modules of the standard library, a scripted teacher, and the recipe run once."""
    folder = tmp_path_factory.mktemp("bootstrap")
    (folder / "corpus").mkdir()
    found = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("[a-z]*.py"))
    for source in [path for path in found if 2_000 < path.stat().st_size < 20_000][:MODULES]:
        (folder / "corpus" / source.name).write_bytes(source.read_bytes())
    (folder / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in ANSWERS))
    (folder / "machine.toml").write_text(MACHINE.replace("ANSWERS", str(folder / "answers.jsonl")))
    hornbook(folder, "run", str(recipe(folder, 0.5)), "--machine", str(folder / "machine.toml"), "--quiet")
    return folder


def recipe(folder: Path, keep_share: float) -> Path:
    path = folder / f"keep-{keep_share}.toml"
    path.write_text(RECIPE.replace("CORPUS", str(folder / "corpus")).replace("KEEP", str(keep_share)))
    return path


def hornbook(folder: Path, *words: str) -> str:
    command = [sys.executable, "-m", "hornbook", *words, "--root", str(folder / "root")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_second_arm_learns_from_what_the_first_one_s_model_chose(folder: Path) -> None:
    run = folder / "root" / "runs" / "bootstrap"
    lock = json.loads((run / "lock.json").read_text())
    assert lock["features.self"]["inputs"]["checkpoint.raw"] == lock["pretrain/raw"]["fingerprint"]
    found = json.loads((run / "results.json").read_text())
    assert set(found["filters"]["filter.self"]["importance_by_set"]) == {"statistics", "checkpoint:raw"}
    assert found["filters"]["filter.self"]["importance_by_set"]["checkpoint:raw"] > 0
    assert set(found["feature_costs"]) == {"statistics", "checkpoint:raw"}
    flow = found["curation"]["filter.self"]
    assert flow["kept_share"] == pytest.approx(0.5, abs=0.02)
    assert {name.partition(".")[0] for name in found["models"]} == {"raw", "chosen"}
    assert found["training"]["pretrain/chosen"]["tokens"] == 6_400
    assert "checkpoint:raw" in (run / "report.html").read_text()


def test_a_document_is_explained_by_the_model_without_loading_it(folder: Path) -> None:
    kept = json.loads(hornbook(folder, "show", "bootstrap", "filter.self", "--limit", "1", "--json"))
    why = hornbook(folder, "show", "bootstrap", "filter.self", "--id", kept[0]["id"])
    assert "checkpoint:raw" in why
    measured = json.loads(hornbook(folder, "show", "bootstrap", "features.self", "--limit", "1", "--json"))
    assert len(measured[0]["checkpoint:raw"]) == 128


def test_another_share_measures_and_learns_nothing_again(folder: Path) -> None:
    machine = str(folder / "machine.toml")
    told = json.loads(hornbook(folder, "plan", str(recipe(folder, 0.25)), "--machine", machine, "--json"))
    states = {row["step"]: (row["state"], row["why"]) for row in told["steps"]}
    assert states["features.self"][0] == states["judge.self"][0] == "reuse"
    assert states["filter.self"] == ("build", "keep_share: 0.5 -> 0.25")
    assert states["pretrain/raw"][0] == "reuse"
    assert states["pretrain/chosen"][0] == "build"
