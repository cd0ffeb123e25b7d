"""The report's section on what stands beside a pass, and models made elsewhere, in a run that has all of it."""

from __future__ import annotations

from typing import Any

import pytest
from synthetic_run import MODELS, RECIPE, SyntheticRun

from hornbook.core.context import Tools
from hornbook.core.shards import read_json, write_json
from hornbook.report import step as report

HOSTILE = "<script>alert(2)</script>"


def _beside(number: int) -> dict[str, Any]:
    drop = {"before": 0.27, "after": 0.25, "drop": [0.02, 0.01, 0.03]}
    kinds = {
        "longer": {"problems": 20, "pass_at_1": drop, "character_probability": drop},
        "reordered": {"problems": 0},
    }
    grades = {
        "problems": 30,
        "repeats": 3,
        "failed": {"no_json": 1},
        "understanding": [4.1, 3.5, 4.7],
        "logic": [2.0 + number, 1.5, 2.5],
        "score": [30.5, 25.0, 36.0],
        "agreement": None if number else 0.83,
    }
    return {
        "robustness": {
            "humaneval": {"problems": 20, "kinds": kinds},
            "layers": {
                "problems": 20,
                "kinds": {"4_layers": {**kinds["longer"], "pass_at_1": {**drop, "drop": None}}},
            },
        },
        "grades": {"grader": HOSTILE, "humaneval": grades},
        "emergence": {
            "libraries": {"pygame": 0, "csv": 12},
            "absent": ["pygame"],
            "executed": 0,
            "read": 3,
            "reading": {"syntax": 0.67, "unused": 0.33, "invented": 0.5},
        },
    }


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> str:
    root = tmp_path_factory.mktemp("beyond")
    run = SyntheticRun(root / "steps")
    for number, name in enumerate(MODELS):
        path = run.folders[f"evaluate/{name}"] / "scores.json"
        scores = read_json(path) | _beside(number)
        suite = scores["benchmarks"]["humaneval"]
        margin = {
            "problems": 150,
            "mutants": 440,
            "chance": 0.25,
            "choice": [0.4, 0.33, 0.47],
            "over_mutants": [0.71, 0.66, 0.75],
            "margin_bits": [-0.02, -0.04, 0.01],
        }
        suite |= {"margin": margin, "over_mutants": margin["over_mutants"]}
        suite["pass_at"] = {"1": [0.1, 0.05, 0.15], "10": [0.3, 0.2, 0.4]}
        suite["boundaries"] = {b: suite | {"boundaries": {}} for b in ("as_is", "stripped")}
        for row in suite["by_problem"].values():
            row["over_mutants"] = 0.5
        write_json(path, scores)
    other = run._step("evaluate/llama", {"problems": 164}, 9.0)
    scores = read_json(run.folders["evaluate/raw.base"] / "scores.json")
    for name in ("robustness", "grades", "emergence"):
        del scores[name]
    for suite in scores["benchmarks"].values():
        suite |= {"bits_per_byte": None, "character_probability": None, "boundaries": {}}
        suite["by_problem"] = {id_: {"passed": 0} for id_ in suite["by_problem"]}
        suite.pop("margin", None)
        suite.pop("over_mutants", None)
    write_json(other / "scores.json", scores)
    for path in (run.folders["evaluate/raw.base"] / "attempts").rglob("*.parquet"):
        target = other / path.relative_to(run.folders["evaluate/raw.base"])
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    out = root / "out"
    out.mkdir()
    recipe = {**RECIPE, "models": {"llama": {"source": "somewhere/llama"}}}
    report.run(report.ReportConfig(recipe=recipe), run.folders, out, Tools(seed=7))
    return (out / "report.html").read_text()


def test_each_part_has_its_numbers(page: str) -> None:
    for said in (
        "Right against nearly right",
        "−0.020 <small>−0.040 to +0.010</small>",
        "0.270 → 0.250",
        "In other words",
        "Tasks of three layers",
        "4 layers",
        "30 × 3",
        "83.0%",
        "csv <small>12</small>",
        "pass@10",
        "prompt ends",
    ):
        assert said in page, said
    assert "reordered" not in page


def test_a_grader_with_a_hostile_name_is_escaped(page: str) -> None:
    assert HOSTILE not in page
    assert "&lt;script&gt;alert(2)" in page


def test_a_model_made_elsewhere_stands_with_the_others(page: str) -> None:
    assert page.count("llama") > 5
    assert "llama, elsewhere" not in page
    assert "in the run" not in page
