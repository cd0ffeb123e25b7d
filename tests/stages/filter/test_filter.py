"""judge and filter: learn from the labels, keep what scores high, and say so in numbers."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from hornbook.core.context import Tools
from hornbook.core.errors import ConfigError, StageError
from hornbook.core.machine import Machine
from hornbook.core.records import Document, documents_table
from hornbook.core.settings import parse
from hornbook.core.shards import read_json, read_table, shard_name, shards, write_shard
from hornbook.core.workers import Pool
from hornbook.model.checkpoint import save_model
from hornbook.model.config import PhiConfig
from hornbook.model.phi import Phi
from hornbook.model.tokenizer import train_tokenizer
from hornbook.report.annotation_and_filter import costs
from hornbook.stages.filter import classify as judge
from hornbook.stages.filter import features
from hornbook.stages.filter import select as stage
from hornbook.stages.filter.config import FilterConfig

CONFIG = FilterConfig(good_share=0.5, keep_share=0.4, trees=30, excerpt_chars=500)


def _document(number: int) -> Document:
    """Even numbers are documented functions, odd ones tables of numbers."""
    if number % 2:
        text = f"TABLE_{number} = [" + ", ".join(str(number * n % 97) for n in range(80)) + "]\n"
    else:
        text = f'def add_{number}(a, b):\n    """Add {number} to the sum of a and b."""\n    return a + b + {number}\n'
    return Document(text, f"p{number % 7}/m{number}.py", "code", {"package": f"p{number % 7}"})


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, Path]:
    found = [_document(number) for number in range(120)]
    for start in range(0, 120, 30):
        write_shard(tmp_path / "documents", shard_name(start // 30), found[start : start + 30])
    labels = [None if n % 3 else float(n % 2 == 0) + 0.001 * n for n in range(60)]
    table = documents_table(found[:60]).append_column("label", pa.array(labels, pa.float64()))
    write_shard(tmp_path / "labels", shard_name(0), table)
    return {"documents": tmp_path / "documents", "labels": tmp_path / "labels"}


def _run(config: FilterConfig, inputs: dict[str, Path], out: Path, tools: Tools) -> dict[str, float]:
    """All steps, as a recipe lays them out; features and scores lie beside what the filter makes."""
    if config.measuring:
        inputs = {**inputs, "features": _measured(config, inputs, out, tools)}
    judged = out.with_name(f"{out.name}-judge")
    counts = judge.run(config.judging, inputs, judged, tools)
    beside = {name: counts[name] for name in ("labels", "shards_failed") if name in counts}
    return {**stage.run(config.choosing, {**inputs, "judge": judged}, out, tools), **beside}


def _measured(config: FilterConfig, inputs: dict[str, Path], out: Path, tools: Tools) -> Path:
    folder = out.with_name(f"{out.name}-features")
    assert config.measuring
    features.run(config.measuring.seeing(500), inputs, folder, tools)
    return folder


def _bytes(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "timing.json")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_keeps_the_documented_and_says_why_the_rest_went(inputs: dict[str, Path], tmp_path: Path) -> None:
    counts = _run(CONFIG, inputs, tmp_path / "out", Tools(seed=5))
    kept = pa.concat_tables(read_table(path) for path in shards(tmp_path / "out"))
    dropped = pa.concat_tables(read_table(path) for path in shards(tmp_path / "out", "dropped"))
    assert counts["kept"] + counts["dropped"] == 120
    assert counts["dropped.low_score"] == counts["dropped"]
    assert counts["labels"] == 20
    assert all("def add_" in text for text in kept["text"].to_pylist())
    assert set(dropped["reason"].to_pylist()) == {"low_score"}
    quality = read_json(tmp_path / "out" / "quality.json")
    assert min(kept["score"].to_pylist()) >= quality["threshold"]
    assert quality["roc_auc"][0] > 0.9
    assert sum(quality["label_histogram"]["counts"]) == 20
    assert sum(quality["score_histogram"]["counts"]) == 120
    assert all(e["score"] >= quality["threshold"] for e in quality["examples"]["kept"])
    assert all(e["score"] < quality["threshold"] for e in quality["examples"]["dropped"])


def test_one_or_two_workers_and_a_lost_shard_give_the_same_bytes(
    inputs: dict[str, Path], tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    _run(CONFIG, inputs, one, Tools(seed=5))
    whole = _bytes(one)
    scored = _bytes(tmp_path / "one-judge")
    (one / "counts" / "shard-00002.parquet.json").unlink()
    (tmp_path / "one-judge" / "counts" / "shard-00001.parquet.json").unlink()
    (one / "quality.json").unlink()
    _run(CONFIG, inputs, one, Tools(seed=5))
    workers = Pool(2)
    _run(CONFIG, inputs, two, Tools(seed=5, workers=workers))
    workers.close()
    assert _bytes(one) == _bytes(two) == whole
    assert _bytes(tmp_path / "one-judge") == _bytes(tmp_path / "two-judge") == scored


def test_ngrams_and_a_fixed_score(inputs: dict[str, Path], tmp_path: Path) -> None:
    config = FilterConfig(good_label=1.0, min_score=0.5, features=["statistics", "ngrams"], trees=30)
    counts = _run(config, inputs, tmp_path / "out", Tools())
    kept = pa.concat_tables(read_table(path) for path in shards(tmp_path / "out"))
    assert 30 < counts["kept"] <= 60
    assert all("def add_" in text for text in kept["text"].to_pylist())
    assert min(kept["score"].to_pylist()) >= 0.5


def test_a_shard_without_documents_is_measured_and_judged_as_such(
    inputs: dict[str, Path], tmp_path: Path
) -> None:
    write_shard(inputs["documents"], shard_name(4), [])
    counts = _run(CONFIG, inputs, tmp_path / "out", Tools())
    assert counts["kept"] + counts["dropped"] == 120
    assert len(read_table(tmp_path / "out" / "kept" / shard_name(4))) == 0


def test_labels_that_teach_nothing_stop_the_stage(inputs: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"0 of 20 labels are at least 9.*good_label"):
        _run(FilterConfig(good_label=9.0, keep_share=0.5), inputs, tmp_path / "a", Tools())
    few = documents_table([_document(n) for n in range(4)]).append_column("label", pa.array([1.0, 0, 1, 0]))
    write_shard(tmp_path / "few", shard_name(0), few)
    with pytest.raises(StageError, match=r"4 labelled documents.*at least 10"):
        _run(CONFIG, {**inputs, "labels": tmp_path / "few"}, tmp_path / "b", Tools())


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"good_share": 0.5}, "exactly one of keep_share, min_score and keep_tokens"),
        (
            {"good_share": 0.5, "good_label": 3.0, "keep_share": 0.2},
            "exactly one of good_share and good_label",
        ),
        (
            {"good_share": 0.5, "keep_share": 0.2, "features": ["vibes"]},
            "'vibes'; known: statistics, document, ngrams",
        ),
        ({"good_share": 0.5, "keep_share": 0.2, "features": ["hidden"]}, "say which: hidden:<a folder or"),
        (
            {"good_share": 0.5, "keep_share": 0.2, "features": ["hidden:owner/model"]},
            "a Hub id needs its revision: hidden:owner/model@<commit>",
        ),
        ({"good_share": 0.5, "keep_share": 0.2, "features": ["ngrams:x"]}, "ngrams takes no name"),
        (
            {"good_share": 0.5, "keep_share": 0.2, "features": ["checkpoint:raw@7"]},
            "only a Hub id has a revision.*leave out @7",
        ),
        (
            {"good_share": 0.5, "keep_share": 0.2, "features": ["hidden:m@a", "statistics", "hidden:m@a"]},
            "features has hidden:m@a more than once",
        ),
        ({"good_share": 0.5, "keep_share": 0.2, "stratum_share": 0.3}, "0.3 is more than keep_share 0.2"),
        ({"score": "random", "keep_share": 0.2, "keep_tokens": 9}, "exactly one of keep_share"),
        ({"good_share": 0.5, "keep_share": 1.2}, "keep_share is 1.2; it should be less than or equal to 1"),
    ],
)
def test_a_config_that_cannot_mean_one_thing_is_refused(values: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse(FilterConfig, json.loads(json.dumps(values)), "recipe.toml [filter]")


def test_the_forest_judges_no_more_than_the_excerpt(inputs: dict[str, Path], tmp_path: Path) -> None:
    """What stands behind the excerpt changes no score."""
    config = FilterConfig(good_share=0.5, keep_share=0.4, trees=30, excerpt_chars=50)
    head = "x = 1\n" * 8
    two = [Document(head + tail, tail, "code") for tail in ("y = 2\n", "(" * 90)]
    write_shard(inputs["documents"], shard_name(4), two)
    _run(config, inputs, tmp_path / "out", Tools())
    scores = read_table(tmp_path / "out-judge" / "kept" / shard_name(4))["score"].to_pylist()
    assert scores[0] == scores[1]


def test_the_report_has_what_it_tells(inputs: dict[str, Path], tmp_path: Path) -> None:
    _run(CONFIG, inputs, tmp_path / "out", Tools(seed=5))
    quality = read_json(tmp_path / "out" / "quality.json")
    assert set(quality["learners"]) == {"forest", "linear", "gradient_boosting"}
    assert all(0 <= row["roc_auc"] <= 1 for row in quality["learning_curve"])
    assert quality["importance_by_set"] == {"statistics": pytest.approx(1, abs=1e-4)}
    effects = quality["effects"]
    assert effects["all"]["documents"] == 120
    assert effects["kept"]["documents"] == 48
    for baseline in ("random", "comment_density"):
        assert 0 < effects[baseline]["bytes"] <= effects["kept"]["bytes"]
    assert sum(effects["all"]["topic"].values()) == effects["all"]["bytes"]
    against = quality["against"]
    assert against["judge"][0] > against["random"][0]
    assert against["documents"]["judge"] == pytest.approx(20 * 0.4, abs=2)
    assert against["share"] == pytest.approx(effects["kept"]["bytes"] / effects["all"]["bytes"])


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ({"min_score": 1.0}, r"no document scores 1, the highest score is 0\.\d+: lower min_score"),
        ({"keep_tokens": 10}, r"the best document alone has \d+ bytes.*raise keep_tokens"),
    ],
)
def test_a_filter_that_would_keep_nothing_stops(
    rule: dict[str, float], said: str, inputs: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(StageError, match=said):
        _run(FilterConfig(good_share=0.5, trees=30, **rule), inputs, tmp_path / "out", Tools(seed=5))
    _run(
        FilterConfig(good_share=0.5, trees=30, stratum_share=0.01, **rule),
        inputs,
        tmp_path / "some",
        Tools(seed=5),
    )
    assert read_json(tmp_path / "some" / "quality.json")["effects"]["kept"]["documents"] > 0


def test_no_documents_are_said_to_be_none(tmp_path: Path) -> None:
    write_shard(tmp_path / "documents", shard_name(0), [])
    with pytest.raises(StageError, match="no documents to choose from"):
        _run(
            FilterConfig(score="random", keep_share=0.5),
            {"documents": tmp_path / "documents"},
            tmp_path / "out",
            Tools(),
        )


@pytest.mark.parametrize("score", ["linear", "gradient_boosting"])
def test_the_rivals_of_the_forest_keep_the_documented_too(
    score: str, inputs: dict[str, Path], tmp_path: Path
) -> None:
    config = CONFIG.model_copy(update={"score": score})
    _run(config, inputs, tmp_path / "out", Tools(seed=5))
    kept = pa.concat_tables(read_table(path) for path in shards(tmp_path / "out"))
    assert all("def add_" in text for text in kept["text"].to_pylist())


def test_plain_baselines_need_no_labels(inputs: dict[str, Path], tmp_path: Path) -> None:
    """Tables hold no comment, functions a docstring; chance keeps as many bytes of either."""
    documents = {"documents": inputs["documents"]}
    dense = FilterConfig(score="comment_density", keep_share=0.4)
    assert _run(dense, documents, tmp_path / "dense", Tools(seed=5))["kept"] == 48
    kept = pa.concat_tables(read_table(path) for path in shards(tmp_path / "dense"))
    assert all("def add_" in text for text in kept["text"].to_pylist())
    chance = FilterConfig(score="random", keep_tokens=2_000, bytes_per_token=2.5)
    _run(chance, documents, tmp_path / "chance", Tools(seed=5))
    kept = pa.concat_tables(read_table(path) for path in shards(tmp_path / "chance"))
    assert 4_500 < sum(len(text.encode()) for text in kept["text"].to_pylist()) <= 5_000
    assert 0 < sum("def add_" in text for text in kept["text"].to_pylist()) < len(kept)
    assert "learners" not in read_json(tmp_path / "chance" / "quality.json")


def test_a_model_of_the_recipe_may_be_among_the_features(inputs: dict[str, Path], tmp_path: Path) -> None:
    texts = [_document(number).text for number in range(20)]
    shape = {"layers": 1, "width": 64, "heads": 1, "mlp_width": 64, "vocabulary_rows": 320}
    model = Phi(PhiConfig(**shape, context_tokens=64)).initialise(1)
    save_model(tmp_path / "model", model, train_tokenizer(texts, 300))
    config = CONFIG.model_copy(update={"features": ["statistics", "checkpoint:raw"], "model_tokens": 32})
    more = {**inputs, "checkpoint.raw": tmp_path / "model"}
    counts = _run(config, more, tmp_path / "out", Tools(seed=5, machine=Machine(device="cpu")))
    assert counts["kept"] == 48
    quality = read_json(tmp_path / "out" / "quality.json")
    assert set(quality["importance_by_set"]) == {"statistics", "checkpoint:raw"}
    assert quality["columns"] > 64
    cost = costs({"features": tmp_path / "out-features"})
    assert set(cost) == set(config.features)
    assert cost["statistics"] > 0


def test_of_every_package_some_are_kept(inputs: dict[str, Path], tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"strata": "origin", "stratum_share": 0.1, "keep_share": 0.2})
    only = [_document(n) for n in range(1, 60, 2)]
    lonely = [Document(d.text, d.source, d.kind, {"package": "tables"}) for d in only]
    write_shard(inputs["documents"], shard_name(4), lonely)
    _run(config, inputs, tmp_path / "out", Tools(seed=5))
    kept = pa.concat_tables(read_table(path) for path in shards(tmp_path / "out"))
    packages = [json.loads(meta)["package"] for meta in kept["meta"].to_pylist()]
    assert packages.count("tables") == 3
    assert len(packages) == 30


def test_a_shard_that_cannot_be_scored_is_missing_and_said(inputs: dict[str, Path], tmp_path: Path) -> None:
    table = read_table(inputs["documents"] / "kept" / shard_name(3))
    broken = table.set_column(4, "meta", pa.array(["{"] * len(table)))
    write_shard(inputs["documents"], shard_name(3), broken)
    counts = _run(CONFIG, inputs, tmp_path / "out", Tools(seed=5))
    assert counts["shards_failed"] == 1
    assert counts["kept"] + counts["dropped"] == 90


def test_what_was_measured_serves_another_rule_and_another_learner(
    inputs: dict[str, Path], tmp_path: Path
) -> None:
    """The features stand as they are: the documents' texts are not looked at again."""
    _run(CONFIG, inputs, tmp_path / "one", Tools(seed=5))
    measured = {**inputs, "features": tmp_path / "one-features"}
    other = CONFIG.model_copy(update={"keep_share": 0.1, "score": "linear"})
    assert other.measuring == CONFIG.measuring
    judge.run(other.judging, measured, tmp_path / "two-judge", Tools(seed=5))
    judged = {**measured, "judge": tmp_path / "two-judge"}
    assert stage.run(other.choosing, judged, tmp_path / "two", Tools(seed=5))["kept"] == 12
    wider = CONFIG.model_copy(update={"excerpt_chars": 50})
    assert wider.measuring != CONFIG.measuring


def test_a_shard_that_cannot_be_measured_is_missing_with_its_labels(
    inputs: dict[str, Path], tmp_path: Path
) -> None:
    _run(CONFIG, inputs, tmp_path / "whole", Tools(seed=5))
    measured = tmp_path / "whole-features"
    (measured / "kept" / shard_name(1)).unlink()
    judged = tmp_path / "out-judge"
    assert judge.run(CONFIG.judging, {**inputs, "features": measured}, judged, Tools(seed=5))["labels"] == 10
    counts = stage.run(CONFIG.choosing, {**inputs, "judge": judged}, tmp_path / "out", Tools(seed=5))
    assert counts["kept"] + counts["dropped"] == 90
