"""A recipe's filters as steps: a setting enters the step that it changes, and what is alike is made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from hornbook.core.machine import Machine
from hornbook.core.settings import parse
from hornbook.experiment.plan import plan_steps
from hornbook.experiment.recipe import Recipe
from hornbook.experiment.steps import laid_out, steps
from hornbook.stages.filter.config import FilterConfig

FILTER = {"good_share": 0.5, "keep_share": 0.4, "trees": 30}
STEPS = ("features", "judge", "filter")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "one.py").write_text("x = 1\n")
    return tmp_path / "corpus"


def _fingerprints(corpus: Path, shown_chars: int = 350, **changes: object) -> dict[str, str]:
    values = {
        "name": "small",
        "teacher": "somebody",
        "read": {"sources": [{"kind": "folder", "path": str(corpus)}]},
        "dedup": {},
        "annotate": {"excerpt_chars": shown_chars},
        "filter": {**FILTER, **changes},
        "decontaminate": {},
    }
    planned = plan_steps(
        steps(parse(Recipe, values, "small.toml")), Machine(root=str(corpus.parent / "root")), {}
    )
    return {item.step.key: item.fingerprint for item in planned if item.step.key in STEPS}


@pytest.mark.parametrize(
    ("changes", "rebuilt"),
    [
        ({"keep_share": 0.3}, {"filter"}),
        ({"keep_share": None, "min_score": 0.7}, {"filter"}),
        ({"keep_share": None, "keep_tokens": 1000}, {"filter"}),
        ({"bytes_per_token": 4.0}, {"filter"}),
        ({"strata": "origin"}, {"filter"}),
        ({"stratum_share": 0.1}, {"filter"}),
        ({"score": "linear"}, {"judge", "filter"}),
        ({"trees": 31}, {"judge", "filter"}),
        ({"leaf_documents": 4}, {"judge", "filter"}),
        ({"good_share": 0.4}, {"judge", "filter"}),
        ({"good_share": None, "good_label": 0.5}, {"judge", "filter"}),
        ({"features": ["statistics", "ngrams"]}, {"features", "judge", "filter"}),
        ({"excerpt_chars": 100}, {"features", "judge", "filter"}),
        ({"model_tokens": 100}, {"features", "judge", "filter"}),
        ({"precision": "fp32"}, {"features", "judge", "filter"}),
    ],
)
def test_a_setting_rebuilds_the_step_that_it_changes_and_what_follows(
    changes: dict[str, object], rebuilt: set[str], corpus: Path
) -> None:
    before, after = _fingerprints(corpus), _fingerprints(corpus, **changes)
    assert {key for key in STEPS if before[key] != after[key]} == rebuilt


def test_features_are_of_what_the_teacher_is_shown_unless_a_filter_says_otherwise(corpus: Path) -> None:
    shown = _fingerprints(corpus)
    assert _fingerprints(corpus, excerpt_chars=350)["features"] == shown["features"]
    assert _fingerprints(corpus, shown_chars=400)["features"] != shown["features"]
    own = _fingerprints(corpus, excerpt_chars=90)
    assert _fingerprints(corpus, shown_chars=400, excerpt_chars=90)["features"] == own["features"]


def test_every_setting_of_a_filter_is_one_of_those() -> None:
    """A new setting must be listed above."""
    (listed,) = (
        mark.args[1]
        for mark in test_a_setting_rebuilds_the_step_that_it_changes_and_what_follows.pytestmark  # type: ignore[attr-defined]
    )
    assert {name for changes, _ in listed for name in changes} == set(FilterConfig.model_fields)


def test_what_a_plain_baseline_does_not_look_at_rebuilds_nothing_of_it() -> None:
    def made(**changes: object) -> list[object]:
        return [config for _, config, _ in laid_out({"filter": FilterConfig(**changes)}, 350)]  # type: ignore[arg-type]

    plain = made(score="random", keep_share=0.2)
    assert len(plain) == 2
    assert made(score="random", keep_share=0.2, trees=7, features=["ngrams"], good_share=0.1) == plain


def test_filters_that_differ_in_what_they_keep_share_their_judge() -> None:
    config = FilterConfig(**FILTER)
    filters = {
        "filter.few": config.model_copy(update={"keep_share": 0.1}),
        "filter.many": config,
        "filter.line": config.model_copy(update={"score": "linear"}),
        "filter.chance": FilterConfig(score="random", keep_share=0.1),
        "filter.wide": config.model_copy(update={"excerpt_chars": 90}),
    }
    inputs = {key: found for key, _, found in laid_out(filters, 350)}
    assert list(inputs) == [
        "features.few",
        "judge.few",
        "filter.few",
        "filter.many",
        "judge.line",
        "filter.line",
        "judge.chance",
        "filter.chance",
        "features.wide",
        "judge.wide",
        "filter.wide",
    ]
    assert inputs["filter.many"]["judge"] == "judge.few"
    assert inputs["judge.line"] == {"documents": "dedup", "labels": "annotate", "features": "features.few"}
    assert inputs["judge.chance"] == {"documents": "dedup"}
    assert inputs["judge.wide"]["features"] == "features.wide"
