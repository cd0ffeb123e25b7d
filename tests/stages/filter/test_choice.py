"""The best are kept within the budget, every stratum keeps its share, and the order of shards does not matter."""

from __future__ import annotations

import numpy as np
import pytest

from hornbook.stages.filter.choice import (
    Rule,
    Threshold,
    add,
    choose,
    keys,
    random_scores,
    score_of,
    summary,
)

IDS = [f"document {n}" for n in range(200)]
SCORES = np.random.default_rng(0).random(200).round(6)
STRATA = ["common"] * 180 + ["rare"] * 20
SIZES = np.arange(1, 201)


def _kept(scores: np.ndarray, rule: Rule) -> np.ndarray:
    found, names = keys(scores, IDS), ["common", "rare"]
    codes = np.array([names.index(stratum) for stratum in STRATA], np.int32)
    threshold = choose(found, SIZES, codes, names, rule)
    return threshold.keeps(found, STRATA)


@pytest.mark.parametrize("scores", [SCORES, np.zeros(200), SCORES.round(1)])
def test_a_share_is_kept_to_the_document_also_where_scores_tie(scores: np.ndarray) -> None:
    kept = _kept(scores, Rule(share=0.25))
    assert kept.sum() == 50
    assert scores[kept].min() >= scores[~kept].max()


def test_a_budget_of_bytes_is_filled_and_not_broken() -> None:
    kept = _kept(SCORES, Rule(size_bytes=5_000))
    assert 4_800 < SIZES[kept].sum() <= 5_000
    assert SCORES[kept].min() > SCORES[~kept].max()
    assert not _kept(SCORES, Rule(size_bytes=0)).any()
    assert _kept(SCORES, Rule(size_bytes=1e9)).all()


def test_a_least_score_keeps_what_has_it() -> None:
    scores = np.where(np.arange(200) % 2, 0.5, 0.499999)
    assert (_kept(scores, Rule(least_score=0.5)) == (scores >= 0.5)).all()


def test_no_stratum_vanishes_and_the_budget_is_the_same() -> None:
    scores = np.where(np.array(STRATA) == "rare", SCORES / 10, 0.5 + SCORES / 2)
    rare = np.array(STRATA) == "rare"
    assert not (_kept(scores, Rule(share=0.2)) & rare).any()
    kept = _kept(scores, Rule(share=0.2, stratum_share=0.15))
    assert (kept.sum(), (kept & rare).sum()) == (40, 3)
    assert scores[rare & kept].min() > scores[rare & ~kept].max()
    assert (_kept(scores, Rule(least_score=0.9, stratum_share=0.001)) & rare).sum() == 1


def test_an_unknown_stratum_is_judged_by_the_general_threshold() -> None:
    found = keys(np.array([0.2, 0.8]), ["a", "b"])
    threshold = Threshold(int(keys(np.array([0.5]), ["c"])[0]), {"known": 0})
    assert threshold.keeps(found, ["other", "other"]).tolist() == [False, True]
    assert threshold.keeps(found, ["known", "other"]).tolist() == [True, True]
    assert threshold.score == 0.5
    assert score_of(int(found[1])) == 0.8


def test_random_scores_depend_on_the_id_and_the_seed_alone() -> None:
    assert (random_scores(IDS, 1)[10:] == random_scores(IDS[10:], 1)).all()
    assert (random_scores(IDS, 1) != random_scores(IDS, 2)).mean() > 0.9
    assert random_scores(IDS, 1).mean() == pytest.approx(0.5, abs=0.1)


def test_nothing_to_choose_from() -> None:
    none = np.zeros(0, np.uint64)
    threshold = choose(none, none, np.zeros(0, np.int32), [], Rule(share=0.5, stratum_share=0.1))
    assert threshold.keeps(none, []).tolist() == []


def test_summaries_of_shards_add_up_to_that_of_the_whole() -> None:
    mixes = {"licence": ["MIT", "BSD"] * 100}
    density, keep = SCORES, SCORES > 0.3
    whole = summary(SIZES, density, mixes, keep)
    parts = [
        summary(SIZES[rows], density[rows], {"licence": mixes["licence"][rows]}, keep[rows])
        for rows in (slice(0, 70), slice(70, 200))
    ]
    both = add(add({}, parts[0]), parts[1])
    assert both.pop("density_sum") == pytest.approx(whole.pop("density_sum"))
    assert both == whole
    assert whole["bytes"] == SIZES[keep].sum() == sum(whole["licence"].values())
    assert sum(whole["lengths"].values()) == whole["documents"] == keep.sum()
