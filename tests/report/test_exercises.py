"""The report's sections on exercises and dials, of what the real stages leave."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from hornbook.core.context import Tools
from hornbook.core.machine import CannedPlace
from hornbook.core.progress import Silent
from hornbook.core.shards import read_json, write_json
from hornbook.report import step as report
from hornbook.sandbox import Sandbox
from hornbook.stages.corrupt import step as degrade
from hornbook.stages.exercises import step as exercises
from hornbook.stages.exercises.grammar_source import GrammarConfig
from hornbook.stages.exercises.teacher import TeacherConfig
from hornbook.teachers import open_teacher

TOOLS = Tools(seed=3, sandbox=Sandbox)


def step(folder: Path, stage: str, counts: Any) -> Path:
    manifest = {"stage": stage, "version": 1, "config": {}, "seed": 3, "identity": {}, "inputs": {}}
    write_json(folder / "manifest.json", {**manifest, "counts": dict(counts)})
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str]:
    root = tmp_path_factory.mktemp("steps")
    config = GrammarConfig(source="grammar", count=60, heldout_count=0, breadth="full", mutated=20)
    step(root / "good", "exercises", exercises.run(config, {}, root / "good", TOOLS))
    turned = degrade.DegradeConfig(dataset="exercises/grammar", wrong_solutions=0.2, redundancy=0.1)
    counts = degrade.run(turned, {"documents": root / "good"}, root / "bad", TOOLS)
    step(root / "bad", "degrade", counts)
    folders = {"exercises/grammar": root / "good", "degrade/bad": root / "bad"}
    report.run(report.ReportConfig(recipe={"name": "data"}), folders, root / "out", TOOLS)
    return read_json(root / "out" / "results.json"), (root / "out" / "report.html").read_text()


def test_coverage_difficulty_and_mutation_score_are_told_with_an_interval(
    made: tuple[dict[str, Any], str],
) -> None:
    found = made[0]["exercises"]["sets"]["exercises/grammar"]
    assert found["exercises"] == 60
    assert found["concepts"]["known"] > 190
    assert 40 < found["concepts"]["covered"] < found["concepts"]["known"]
    often, seldom = ([n for _, n in found["concepts"][key]] for key in ("often", "seldom"))
    assert often == sorted(often, reverse=True)
    assert min(often) >= max(seldom)
    value, low, high = found["mutation"]["score"]
    assert 0.5 < low < value < high <= 1
    assert value == found["mutation"]["killed"] / found["mutation"]["mutants"]
    assert f"{value:.1%}" in made[1]
    assert "grammar: how hard" in made[1]


def test_only_the_dials_that_were_turned_are_told_each_with_a_record(
    made: tuple[dict[str, Any], str],
) -> None:
    dials = made[0]["exercises"]["dials"]["degrade/bad"]["dials"]
    assert {name: dial["records"] for name, dial in dials.items()} == {"wrong_solutions": 12, "redundancy": 6}
    assert "degrade/bad, wrong solutions" in made[1]
    assert "a copy of" in made[1]
    assert "misleading docstrings" not in made[1]


def test_a_set_of_which_nothing_survived_is_told_too(tmp_path: Path) -> None:
    (tmp_path / "script.jsonl").write_text('{"match": "", "text": "No."}\n')
    place = CannedPlace(kind="canned", path=str(tmp_path / "script.jsonl"))
    teacher = partial(open_teacher, "canned", place, tmp_path / "cache", Silent())
    tools = Tools(seed=3, sandbox=Sandbox, teacher=teacher)
    counts = exercises.run(TeacherConfig(source="teacher", asks=3), {}, tmp_path / "none", tools)
    folders = {"exercises/teacher": step(tmp_path / "none", "exercises", counts)}
    report.run(report.ReportConfig(recipe={"name": "data"}), folders, tmp_path / "out", tools)
    (found,) = read_json(tmp_path / "out" / "results.json")["exercises"]["sets"].values()
    assert (found["exercises"], found["mutation"]["score"]) == (0, None)
    assert "0 of 16" in (tmp_path / "out" / "report.html").read_text()
