"""Attempts: each drawn once, kept with all that made it, extended, resumed, and judged without the model."""

from __future__ import annotations

from collections.abc import Callable

import orjson
import pytest
from adding import PROBLEMS, Scripted

from hornbook.benchmarks.postprocess import STOP_RULES, cut, shown
from hornbook.core.scores import pass_at_k
from hornbook.stages.evaluate.evaluator import Drawing, Evaluator
from hornbook.stages.evaluate.models import Checkpoint
from hornbook.stages.evaluate.scores import score_suite

Make = Callable[..., Evaluator]


def test_one_attempt_becomes_many_and_none_is_repeated(evaluator: Make) -> None:
    model = Scripted()
    one = evaluator(model, "one", samples=1, temperature=0.8).attempts("adding", PROBLEMS)
    assert model.asked == 3
    many = evaluator(model, "many", samples=20, temperature=0.8).attempts("adding", PROBLEMS)
    assert model.asked == 60
    assert [row for row in many if row["sample"] == 0] == [
        {**row, "rule": row["rule"].replace('"samples":1,', '"samples":20,')} for row in one
    ]
    assert len({row["seed"] for row in many}) == 60


def test_scoring_again_asks_nothing(evaluator: Make) -> None:
    model = Scripted()
    first = evaluator(model, "first").attempts("adding", PROBLEMS)
    model.fail_after = 0
    assert evaluator(model, "second").attempts("adding", PROBLEMS) == first


def test_a_killed_evaluation_goes_on_where_it_was(evaluator: Make) -> None:
    model = Scripted()
    model.fail_after = 7
    with pytest.raises(KeyboardInterrupt):
        evaluator(model, "killed", samples=4, temperature=0.8).attempts("adding", PROBLEMS)
    model.fail_after = None
    rows = evaluator(model, "killed", samples=4, temperature=0.8).attempts("adding", PROBLEMS)
    assert model.asked == 12 == len(rows)


def test_an_attempt_holds_all_that_made_it(evaluator: Make) -> None:
    row = evaluator(Scripted(), top_p=0.9, temperature=0.2).attempts("adding", PROBLEMS[:1])[0]
    assert row["prompt"] == PROBLEMS[0].prompt
    assert row["completion"].endswith("print(1)\n")
    assert row["completion"].startswith(row["judged"])
    rule = orjson.loads(row["rule"])
    assert rule["stops"] == list(STOP_RULES["top_level"].stops)
    assert rule["pattern"] == STOP_RULES["top_level"].pattern
    assert (rule["temperature"], rule["top_p"], rule["max_answer_tokens"]) == (0.2, 0.9, 192)


def test_seeds_belong_to_the_attempt() -> None:
    few, many = Drawing(samples=2, temperature=1), Drawing(samples=5, temperature=1)
    assert many.seeds("a")[:2] == few.seeds("a")
    assert set(many.seeds("a")).isdisjoint(many.seeds("b"))
    assert many.seeds("a") != Drawing(samples=5, temperature=1, seed=1).seeds("a")


def test_what_a_model_writes_does_not_depend_on_its_batch(evaluator: Make, checkpoint: Checkpoint) -> None:
    drawing = {"samples": 3, "temperature": 0.9, "top_p": 0.95, "max_answer_tokens": 16}
    together = evaluator(checkpoint, "a", batch=9, **drawing).attempts("adding", PROBLEMS)
    make = evaluator(checkpoint, "b", batch=1, **drawing)
    with make.completions._database as db:
        db.execute("delete from completions")
    alone = make.attempts("adding", PROBLEMS)
    assert [row["completion"] for row in alone] == [row["completion"] for row in together]
    assert len({row["completion"] for row in together}) > 3


def test_scores_of_many_attempts(evaluator: Make) -> None:
    scored = score_suite(
        "adding", PROBLEMS, evaluator(Scripted(), samples=8, temperature=0.8), [1, 4, 10], ["as_is"]
    )
    assert list(scored["pass_at"]) == ["1", "4"]
    rows = scored["by_problem"].values()
    assert scored["passed"] == sum(row["passes"] for row in rows)
    assert scored["pass_at_1"][0] == pytest.approx(sum(row["passes"] / 8 for row in rows) / 3)
    assert scored["pass_at"]["4"][0] == pytest.approx(sum(pass_at_k(8, row["passes"], 4) for row in rows) / 3)
    assert scored["pass_at"]["4"][1] <= scored["pass_at"]["4"][0] <= scored["pass_at"]["4"][2]
    assert scored["concepts"]["sum"] == [scored["passed"], 24]
    assert sum(scored["failures"].values()) == 24 - scored["passed"]


def test_the_boundary_moves_and_the_program_stays(evaluator: Make) -> None:
    moved = shown(PROBLEMS[0], "stripped")
    assert moved.prompt + moved.solution == PROBLEMS[0].prompt + PROBLEMS[0].solution
    assert not moved.prompt.endswith("\n")
    assert moved.solution.startswith("\n")
    model = Scripted([*PROBLEMS, *(shown(p, "stripped") for p in PROBLEMS)])
    scored = score_suite("adding", PROBLEMS, evaluator(model), [1], ["as_is", "stripped"])
    assert (
        scored["boundaries"]["as_is"]["pass_at_1"][0] == scored["boundaries"]["stripped"]["pass_at_1"][0] == 1
    )
    blind = score_suite("adding", PROBLEMS, evaluator(Scripted(), "blind"), [1], ["as_is", "stripped"])
    assert blind["boundaries"]["stripped"]["pass_at_1"][0] == 1  # asked before, so not asked again


def test_a_text_that_goes_on_in_a_line_is_not_cut_at_its_beginning() -> None:
    assert cut("x\ny", "top_level", after="def f():") == "x\n"
    assert cut("x\ny", "top_level", after="def f():\n") == ""
    assert cut("\n    return 1\ndef", "top_level", after="):") == "\n    return 1\n"


def test_a_model_that_tells_no_likelihood_has_scores_all_the_same(evaluator: Make) -> None:
    scored = score_suite("adding", PROBLEMS, evaluator(Scripted(tells=False)), [1], ["as_is"])
    assert scored["bits_per_byte"] is None
    assert scored["pass_at_1"][0] == 1.0
    assert "bits_per_byte" not in scored["by_problem"]["add/1"]
