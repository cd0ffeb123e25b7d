"""Every recipe that comes with hornbook can be read and laid out, and names only what it makes."""

from importlib.resources import files
from pathlib import Path

import pytest

from hornbook.core.config import parse, read_toml
from hornbook.model.config import PhiConfig
from hornbook.pipeline import Recipe, steps

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
