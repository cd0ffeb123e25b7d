"""Comparisons: paired over problems, spread over runs, and no claim that either does not carry."""

from __future__ import annotations

import random
from typing import Any

import pytest

from hornbook.report.compare import comparisons, in_order, pairs, replicas, run_interval

RECIPE = {
    "arms": {
        **{f"raw-{n}": {"mix": "raw", "finetune": None, "seed": n} for n in range(3)},
        **{f"book-{n}": {"mix": "book", "finetune": None, "seed": n} for n in range(3)},
    }
}


def _scores(mean: float, tells: bool = True) -> dict[str, Any]:
    draw = random.Random(7)
    rows = {f"p/{n}": {"passed": 0, "character_probability": mean + draw.gauss(0, 0.02)} for n in range(80)}
    triple = [mean, mean, mean] if tells else None
    values = {"character_probability": triple, "bits_per_byte": None, "pass_at_1": None, "by_problem": rows}
    return {"benchmarks": {"humaneval": values}}


def _told(raw: list[float], book: list[float]) -> dict[str, Any]:
    models = {f"raw-{n}.base": _scores(mean) for n, mean in enumerate(raw)}
    models |= {f"book-{n}.base": _scores(mean) for n, mean in enumerate(book)}
    found = comparisons(models, replicas(RECIPE, models), seed=0)
    assert len(found) == 1
    return found[0]


def test_models_that_differ_in_their_seed_are_one() -> None:
    models = [f"{arm}-{n}.base" for arm in ("raw", "book") for n in range(3)]
    assert replicas(RECIPE, [*models, "other"]) == {
        "raw-0.base": models[:3],
        "book-0.base": models[3:],
        "other": ["other"],
    }


def test_a_difference_that_every_run_shows_is_believed() -> None:
    told = _told([0.200, 0.202, 0.198], [0.250, 0.248, 0.252])
    assert told["runs"] == [3, 3]
    assert told["verdict"] == "better"
    assert told["over_runs"][0] == pytest.approx(0.05)


def test_models_trained_in_different_precisions_are_not_compared() -> None:
    models = {"raw-0.base": _scores(0.2), "book-0.base": _scores(0.25)}
    for (_, scores), precision in zip(models.items(), ("bf16", "fp32"), strict=True):
        scores["trained_in"] = precision
    [told] = comparisons(models, replicas(RECIPE, models), seed=0)
    assert told["verdict"] == "cannot tell"
    assert told["refused"] == "trained in bf16 and fp32, which are not compared"


def test_a_difference_within_the_spread_of_runs_cannot_be_told() -> None:
    told = _told([0.20, 0.26, 0.18], [0.22, 0.28, 0.20])
    assert told["difference"][1] > 0  # over problems alone it would be believed
    assert told["over_runs"][1] < 0 < told["over_runs"][2]
    assert told["verdict"] == "cannot tell"


def test_a_single_run_borrows_the_spread_of_the_other_side() -> None:
    assert _told([0.2], [0.25])["over_runs"] is None
    assert _told([0.2], [0.25, 0.251, 0.249])["verdict"] == "better"
    assert _told([0.2], [0.25, 0.35, 0.15])["verdict"] == "cannot tell"


def test_students_interval_is_the_textbooks() -> None:
    found = run_interval([1.0, 2.0, 3.0], [0.0, 1.0, 2.0])
    assert found is not None
    # s = 1, standard error = sqrt(2/3), t(.975, 4) = 2.776
    assert (found.value, found.low) == pytest.approx((1.0, 1.0 - 2.776 * (2 / 3) ** 0.5), abs=1e-3)


def test_models_made_elsewhere_stand_against_the_last_of_ours() -> None:
    names = ["raw.base", "book.base", "book.finetuned", "mine", "yours"]
    assert list(pairs(names)) == [
        ("book.base", "raw.base"),
        ("book.finetuned", "book.base"),
        ("book.finetuned", "mine"),
        ("book.finetuned", "yours"),
    ]


def test_what_a_model_does_not_tell_is_not_compared() -> None:
    models = {"raw-0.base": _scores(0.2), "mine": _scores(0.3, tells=False)}
    assert comparisons(models, replicas(RECIPE, models), 0) == []


def test_models_without_a_problem_in_common_are_not_compared() -> None:
    models = {"raw-0.base": _scores(0.2), "mine": _scores(0.3)}
    suite = models["mine"]["benchmarks"]["humaneval"]
    suite["by_problem"] = {f"other/{id_}": row for id_, row in suite["by_problem"].items()}
    assert comparisons(models, replicas(RECIPE, models), 0) == []


def test_other_peoples_benchmarks_come_first() -> None:
    assert in_order(["emergence", "mbpp", "heldout", "humaneval"]) == [
        "humaneval",
        "mbpp",
        "heldout",
        "emergence",
    ]
