"""Every recipe that comes with hornbook can be read and laid out, and names only what it makes."""

from importlib.resources import files
from pathlib import Path

import pytest

from hornbook.core.errors import ConfigError
from hornbook.core.settings import parse, read_toml
from hornbook.experiment.recipe import Arm, Recipe
from hornbook.experiment.steps import STAGES, steps
from hornbook.model.config import PhiConfig
from hornbook.stages.filter import shipped
from hornbook.stages.filter.config import JudgeConfig

SHIPPED = sorted(Path(str(files("hornbook") / "recipes")).glob("*.toml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_a_shipped_recipe_can_be_laid_out(path: Path) -> None:
    recipe = parse(Recipe, read_toml(path), path.name)
    assert recipe.name == path.stem
    made: set[str] = set()
    for step in steps(recipe):
        assert set(step.inputs.values()) <= made
        made.add(step.key)


def test_arms_of_the_dials_recipe_differ_in_one_dial_alone() -> None:
    (path,) = (path for path in SHIPPED if path.stem == "dials")
    recipe = parse(Recipe, read_toml(path), path.name)
    (turned,) = recipe.degrade.values()
    assert {name: share for name, share in turned.shares().items() if share} == {"wrong_solutions": 0.5}
    assert not turned.topic_skew
    first, second = recipe.mixes.values()
    assert first.tokens == second.tokens
    assert {tuple(mix.parts.values()) for mix in recipe.mixes.values()} == {(1.0,)}
    seeds = {name: [arm.seed for arm in recipe.arms.values() if arm.mix == name] for name in recipe.mixes}
    assert len({tuple(found) for found in seeds.values()}) == 1


@pytest.mark.parametrize(("name", "parameters"), [("phi-1", 1_418_270_720), ("phi-1-small", 356_794_368)])
def test_the_full_size_recipes_make_the_papers_models(name: str, parameters: int) -> None:
    (path,) = (path for path in SHIPPED if path.stem == name)
    recipe = parse(Recipe, read_toml(path), path.name)
    pretrain, finetune = recipe.pretrain, recipe.finetune
    assert finetune is not None
    shape = PhiConfig.of_size(pretrain.size, pretrain.vocabulary_rows, recipe.row_tokens)
    assert shape.parameters == parameters
    sequences = [config.tokens_per_step // recipe.row_tokens for config in (pretrain, finetune)]
    assert (sequences, finetune.tokens // finetune.tokens_per_step) == ([1024, 256], 6000)
    assert [
        (c.peak_learning_rate, c.warmup_steps, c.weight_decay, c.dropout) for c in (pretrain, finetune)
    ] == [
        (1e-3, 750, 0.1, 0.1),
        (1e-4, 50, 0.01, 0.1),
    ]
    assert recipe.evaluate.heldout_problems + finetune.choose_exercises <= 2_000
    assert (
        recipe.evaluate.benchmarks == list(recipe.decontaminate.benchmarks) == ["humaneval", "unconventional"]
    )


def _dials(**arms: dict[str, object]) -> Recipe:
    (path,) = (path for path in SHIPPED if path.stem == "dials")
    return parse(Recipe, {**read_toml(path), **({"arms": arms} if arms else {})}, "dials.toml")


def test_several_seeds_are_several_arms_and_the_same_steps_as_if_each_were_written_out() -> None:
    written = {
        f"{mix}-{seed}": {"mix": mix, "seed": seed} for seed in (1, 2, 3) for mix in ("right", "half-wrong")
    }
    one, other = ({step.key: step for step in steps(recipe)} for recipe in (_dials(), _dials(**written)))
    assert one == other
    assert [key for key in one if key.startswith("pretrain")] == [
        *(f"pretrain/right-{seed}" for seed in (1, 2, 3)),
        *(f"pretrain/half-wrong-{seed}" for seed in (1, 2, 3)),
    ]
    assert "seeds" not in str(_dials().model_dump())


def test_several_seeds_of_an_arm_that_code_made_are_several_arms_too() -> None:
    written = _dials(a={"mix": "right", "seeds": [1, 2]})
    made = Recipe(**{**dict(written), "arms": {"a": Arm(mix="right", seeds=[1, 2])}})
    assert {name: arm.seed for name, arm in made.arms.items()} == {"a-1": 1, "a-2": 2}
    assert made == written


@pytest.mark.parametrize(
    ("arms", "said"),
    [
        ({"a": {"mix": "right", "seed": 1, "seeds": [1]}}, "arms.a has both seed and seeds"),
        (
            {"a": {"mix": "right", "seeds": [1, 1]}},
            r"arms.a.seeds is \[1, 1\]; each seed should be there once",
        ),
        ({"a-2": {"mix": "right"}, "a": {"mix": "right", "seeds": [2]}}, "a second arm 'a-2'"),
        ({"a": {"mix": "right", "seeds": []}}, "arms.a.seeds: List should have at least 1 item"),
        ({"a": {"mix": "right", "seeds": 3}}, "arms.a.seeds is 3; it should be a valid"),
        ({"a": {"mix": "right", "seeds": ["x"]}}, "arms.a-x.seed is 'x'; it should be a valid integer"),
        ({"a": {"mix": "right", "seedz": [2]}}, "unknown key arms.a.seedz; did you mean seed"),
    ],
)
def test_seeds_that_make_no_sense_are_named(arms: dict[str, dict[str, object]], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        _dials(**arms)


def _nano(**changes: object) -> Recipe:
    (path,) = (path for path in SHIPPED if path.stem == "nano")
    return parse(Recipe, {**read_toml(path), **changes}, "nano")


def test_more_exercises_than_there_are_names_for_are_refused_before_any_work() -> None:
    teacher = {"source": "teacher", "asks": 9_000_000_000}
    with pytest.raises(
        ConfigError, match=r"exercises.teacher.asks: 9,000,000,000 functions are wanted; there are"
    ):
        _nano(exercises={**_nano().model_dump()["exercises"], "teacher": teacher})


ANNOTATED: dict[str, object] = {
    "annotate": {"labels": 20},
    "filter": {"good_share": 0.3, "keep_share": 0.2},
}
"""A filter as the paper has it: a forest learns from labels."""


def _late_filter(arm: str) -> dict[str, object]:
    return {"self": {"features": [f"checkpoint:{arm}"], "good_share": 0.3, "keep_share": 0.2}}


def test_a_filter_that_judges_by_a_model_of_the_recipe_comes_after_it() -> None:
    mixes = {**_nano().model_dump()["mixes"], "again": {"tokens": 1000, "parts": {"filter.self": 1.0}}}
    arms = {"raw": {"mix": "raw"}, "again": {"mix": "again"}}
    laid_out = {
        step.key: step
        for step in steps(_nano(**ANNOTATED, filters=_late_filter("raw"), mixes=mixes, arms=arms))
    }
    order = list(laid_out)
    assert order.index("pretrain/raw") < order.index("filter.self") < order.index("pretrain/again")
    assert laid_out["features.self"].inputs == {"documents": "dedup", "checkpoint.raw": "pretrain/raw"}
    assert laid_out["judge.self"].inputs["features"] == "features.self"
    assert laid_out["filter.self"].inputs["judge"] == "judge.self"
    assert "part.filter.self" not in laid_out["tokenizer"].inputs
    assert "part.filter" in laid_out["tokenizer"].inputs
    assert laid_out["filter.self"].stage == "filter"
    assert laid_out["decontaminate/filter.self"].stage == "decontaminate"


def test_a_model_that_would_come_before_itself_is_refused() -> None:
    mixes = {"raw": {"tokens": 1000, "parts": {"filter.self": 1.0}}}
    with pytest.raises(
        ConfigError, match=r"filter.self judges by the model of arm 'raw', whose mix reads filter.self"
    ):
        _nano(**ANNOTATED, filters=_late_filter("raw"), mixes=mixes, arms={"raw": {"mix": "raw"}})
    with pytest.raises(ConfigError, match=r"names the arm 'row'; the arms are raw, textbook"):
        _nano(**ANNOTATED, filters=_late_filter("row"))


def test_a_plain_baseline_reads_no_labels_and_a_second_judging_reads_the_first() -> None:
    forest = _nano(**ANNOTATED).filter.model_dump()
    recipe = _nano(
        **ANNOTATED,
        filters={
            "chance": {"score": "random", "keep_share": 0.2, "features": ["checkpoint:raw"]},
            "line": {**forest, "score": "linear"},
            "more": {**forest, "keep_share": 0.5},
        },
        again={"other": {"teacher": "somebody-else", "labels": 5}},
    )
    laid_out = {step.key: step for step in steps(recipe)}
    assert laid_out["judge.chance"].inputs == {"documents": "dedup"}
    assert laid_out["judge.chance"].config == JudgeConfig(score="random")
    assert laid_out["judge.line"].inputs == laid_out["judge"].inputs
    assert laid_out["filter.line"].inputs == {"documents": "dedup", "judge": "judge.line"}
    assert laid_out["filter.more"].inputs == laid_out["filter"].inputs
    assert "judge.more" not in laid_out
    assert [key for key in laid_out if key.startswith("features")] == ["features"]
    assert laid_out["annotate.other"].inputs == {"documents": "annotate"}
    assert laid_out["annotate.other"].teacher == "somebody-else"
    assert laid_out["annotate.other"].seed != laid_out["annotate"].seed


def test_the_shipped_classifier_needs_features_and_neither_labels_nor_a_teacher() -> None:
    laid_out = {step.key: step for step in steps(_nano())}
    assert "annotate" not in laid_out
    assert laid_out["features"].config.features == ["document"]
    assert laid_out["judge"].inputs == {"documents": "dedup", "features": "features"}
    assert laid_out["judge"].config == JudgeConfig(score="shipped")
    assert STAGES["judge"].identity(laid_out["judge"].config, Path()) == {"classifier": shipped.sha256()}


@pytest.mark.parametrize("table", ["exercises", "degrade", "mixes", "arms", "models", "filters"])
def test_no_name_in_a_recipe_leads_out_of_the_folder_of_its_run(table: str) -> None:
    said = rf"evil\.toml:\s+{table}\.\.\./victim is '\.\./victim'; it should match pattern"
    with pytest.raises(ConfigError, match=said):
        parse(Recipe, {"name": "evil", "decontaminate": {}, table: {"../victim": {}}}, "evil.toml")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"evaluate": {"heldout_problems": 301}}, "is 301, but of 400 exercises held out about 300 evaluate"),
        ({"evaluate": {"max_answer_tokens": 256}, "row_tokens": 256}, "a context of row_tokens = 256"),
    ],
)
def test_what_evaluation_could_not_do_is_refused_before_training(
    changes: dict[str, object], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        _nano(**changes)
