"""A rehearsal is the same recipe with little of everything; those of full size run whole, on loopback, as they ship."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import full_size_world
import pytest
from hub import COMMIT, mirror

from hornbook.core.machine import Machine
from hornbook.core.settings import parse, read_toml
from hornbook.experiment.recipe import Recipe
from hornbook.experiment.rehearsal import rehearsal, rehearsed_on
from hornbook.experiment.steps import steps

SHIPPED = {path.stem: path for path in sorted(Path(str(files("hornbook") / "recipes")).glob("*.toml"))}


def shipped(name: str) -> Recipe:
    return parse(Recipe, read_toml(SHIPPED[name]), name)


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, inner in pairs:
            yield from flat(inner, f"{path}.{key}" if path else str(key))
    else:
        yield path, value


@pytest.mark.parametrize("name", SHIPPED)
def test_a_rehearsal_has_the_same_steps_and_less_of_each_amount(name: str) -> None:
    recipe = shipped(name)
    small = rehearsal(recipe)
    assert (small.name, small.rehearses) == (f"{name}-rehearsal", name)
    assert [step.key for step in steps(small)] == [step.key for step in steps(recipe)]
    before, after = dict(flat(recipe.model_dump(mode="json"))), dict(flat(small.model_dump(mode="json")))
    changed = {path for path in before if before[path] != after[path]}
    assert {path for path in changed if isinstance(before[path], str)} == {
        "name",
        "rehearses",
        *(["pretrain.size"] if recipe.pretrain and recipe.pretrain.size != "nano" else []),
    }
    others = {
        path for path in changed if not isinstance(before[path], str) and not path.endswith("first_bytes")
    }
    assert all(after[path] < before[path] for path in others)
    assert not {path for path in before if isinstance(before[path], float)} & changed
    trained = [config for config in (small.pretrain, small.finetune) if config and small.row_tokens]
    assert all(config.tokens // config.tokens_per_step > config.warmup_steps for config in trained)


def test_nothing_that_is_left_of_phi_1_takes_hours() -> None:
    left = dict(flat(rehearsal(shipped("phi-1")).model_dump(mode="json")))
    large = {path: value for path, value in left.items() if isinstance(value, int) and value > 3_000}
    assert set(large) == {
        "read.max_document_bytes",
        "read.max_line_bytes",
        "read.shard_bytes",
        "read.sources.0.first_bytes",
        "read.sources.1.first_bytes",
        "annotate.excerpt_chars",
        "filter.keep_tokens",
        "tokenizer.vocabulary",
        "tokenizer.sample_bytes",
        "mixes.codetextbook.tokens",
        "mixes.codeexercises.tokens",
        "pretrain.tokens",
        "pretrain.tokens_per_step",
        "pretrain.vocabulary_rows",
        "finetune.tokens",
        "finetune.tokens_per_step",
    }


def test_the_recipe_s_own_model_is_trained_where_a_machine_says_it_can_be() -> None:
    recipe = shipped("phi-1")
    small, large = rehearsal(recipe), rehearsal(recipe, step_rows=64, own_size=True)
    assert small.pretrain
    assert large.pretrain
    assert (small.pretrain.size, large.pretrain.size) == ("nano", "phi-1")
    assert large.pretrain.tokens_per_step == 64 * 2048


@pytest.mark.parametrize(("processes", "rows"), [(1, 2), (2, 2), (3, 3), (8, 8)])
def test_every_process_of_a_machine_gets_rows_of_a_step(processes: int, rows: int) -> None:
    small = rehearsed_on(shipped("phi-1"), Machine(device="cpu", launch=processes))
    assert small.pretrain
    assert small.pretrain.tokens_per_step == rows * 2048


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("world")
    full_size_world.build(folder)
    yield folder
    shutil.rmtree(folder)


def hornbook(world: Path, hub: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A command in the folder that holds the dump, with a Hub of one's own and nothing fetched before."""
    env = {
        **os.environ,
        "HF_ENDPOINT": hub,
        "HF_HOME": str(world / "fetched"),
        "HF_HUB_DISABLE_TELEMETRY": "1",
    }
    command = [sys.executable, "-m", "hornbook", *words, "--root", str(world / "root")]
    command += ["--machine", str(world / "machine.toml")]
    return subprocess.run(command, cwd=world, env=env, capture_output=True, text=True, check=False)


NOWHERE = "http://127.0.0.1:9"


def test_a_plan_is_shown_even_where_its_sources_cannot_be_had(world: Path) -> None:
    full_size_world.machine(world, NOWHERE)
    done = hornbook(world, NOWHERE, "plan", "phi-1", "--rehearse")
    assert done.returncode == 3
    known = {row.split()[0]: "not known" not in row for row in done.stdout.splitlines() if " build " in row}
    assert (known["read"], known["evaluate/phi-1.finetuned"], known["exercises/grammar"]) == (
        False,
        False,
        True,
    )
    assert "asks to send" in done.stdout
    assert done.stderr.startswith("error: not all that the recipe names can be had; read: ")
    assert "features: main of the model Salesforce/codegen-350M-mono cannot be looked up" in done.stderr
    assert "Traceback" not in done.stderr
    assert hornbook(world, NOWHERE, "run", "phi-1", "--rehearse").returncode == 3


def test_a_plan_names_the_commits_that_branches_stand_for(world: Path) -> None:
    full_size_world.machine(world, NOWHERE)
    with mirror(world / "hub") as (hub, _):
        done = hornbook(world, hub, "plan", "phi-1", "--rehearse")
        told = hornbook(world, hub, "plan", "phi-1", "--rehearse", "--json")
    assert done.returncode == 0, done.stderr
    for name in ("Salesforce/codegen-350M-mono@main", "bigcode/the-stack-dedup@main"):
        assert f"{name} may move; pin the commit that it stands for today: {COMMIT}" in done.stdout
        assert json.loads(told.stdout)["revisions"][name] == COMMIT


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", ["phi-1", "phi-1-small"])
def test_the_recipes_of_full_size_run_from_the_hub_to_the_report(world: Path, name: str) -> None:
    with mirror(world / "hub") as (hub, _), full_size_world.teaching() as teacher:
        full_size_world.machine(world, teacher)
        done = hornbook(world, hub, "run", name, "--rehearse", "--quiet")
        assert done.returncode == 0, done.stderr
        assert "its numbers mean nothing" in done.stdout
        again = hornbook(world, hub, "run", name, "--rehearse", "--json")
    assert json.loads(again.stdout)["built"] == 0
    run = world / "root" / "runs" / f"{name}-rehearsal"
    found, lock = (json.loads((run / file).read_text()) for file in ("results.json", "lock.json"))
    assert found["headline"]["answer"].startswith(f"A rehearsal of {name}: every step worked here")
    page = (run / "report.html").read_text(encoding="utf-8")
    assert f"Does every step of {name} work here?" in page
    assert "Its numbers mean nothing" in page
    assert set(lock) == {step.key for step in steps(shipped(name))}
    assert lock["read"]["revisions"] == {"bigcode/the-stack-dedup@main": COMMIT}
    assert lock["features"]["identity"]["Salesforce/codegen-350M-mono@main"] == COMMIT
    assert lock["tokenizer"]["identity"]["Salesforce/codegen-350M-mono@main"] == COMMIT
    assert not found["set_aside"]
    for step in ("dedup", "filter", "textbooks", "exercises/teacher", "decontaminate/exercises/teacher"):
        assert found["curation"][step]["kept"] > 0, step
    kinds = {document["kind"] for document in shown(world, name, "read")}
    assert kinds == {"code", "qa"}
    assert any("function" in page["meta"] for page in shown(world, name, "textbooks"))
    for model, scores in found["models"].items():
        assert {"humaneval", "unconventional", "heldout"} <= set(scores["benchmarks"]), model
    for folder in sorted((run / "steps" / "evaluate").iterdir()):
        scores = json.loads((folder / "scores.json").read_text())
        assert {"robustness", "grades", "emergence"} <= set(scores), folder.name
        assert scores["sampling"]["boundaries"] == ["as_is", "stripped"]


def shown(world: Path, name: str, step: str) -> list[dict[str, Any]]:
    words = ("show", f"{name}-rehearsal", step, "--limit", "1000", "--json")
    command = [sys.executable, "-m", "hornbook", *words, "--root", str(world / "root")]
    return list(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))
