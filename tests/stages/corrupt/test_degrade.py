from pathlib import Path

import pytest

from hornbook.core.context import Tools
from hornbook.core.errors import ConfigError, StageError
from hornbook.core.records import Document
from hornbook.core.settings import parse
from hornbook.core.shards import DROPPED, read_documents, read_json, read_table, shard_name, write_shard
from hornbook.core.workers import Pool
from hornbook.experiment.recipe import Recipe
from hornbook.experiment.steps import steps
from hornbook.sandbox import Limits, Program, Sandbox
from hornbook.stages.corrupt.step import DegradeConfig, run
from hornbook.stages.exercises import step as exercises
from hornbook.stages.exercises.grammar_source import GrammarConfig

ALL = DegradeConfig(
    dataset="exercises/grammar",
    wrong_solutions=0.2,
    misleading_docstrings=0.1,
    missing_context=0.1,
    redundancy=0.1,
    topic_skew=0.5,
    topics=("even", "odd"),
)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("good")
    config = GrammarConfig(source="grammar", count=160, heldout_count=0, shard_exercises=80, mutated=0)
    exercises.run(config, {}, out, Tools(seed=5, sandbox=Sandbox))
    return out


@pytest.fixture(scope="module")
def degraded(good: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("degraded")
    run(ALL, {"documents": good}, out, Tools(seed=5, sandbox=Sandbox))
    return out


def by_dial(folder: Path) -> dict[str, list[Document]]:
    found: dict[str, list[Document]] = {}
    for document in read_documents(folder):
        found.setdefault(document.meta.get("spoiled", {}).get("dial", ""), []).append(document)
    return found


def test_each_dial_spoils_the_share_that_was_asked_for_and_says_what_it_did(
    good: Path, degraded: Path
) -> None:
    were = {d.id: d for d in read_documents(good)}
    found = by_dial(degraded)
    kept = sum(map(len, found.values()))
    told = read_json(degraded / "dials.json")
    assert told["records"] == kept
    for dial, share in ALL.shares().items():
        assert len(found[dial]) == pytest.approx(share * kept, abs=1)
        assert told["dials"][dial]["records"] == len(found[dial])
        for document in found[dial]:
            truth = document.meta["spoiled"]
            assert truth["was"] in were
            assert truth["change"]
            assert document.text != were[truth["was"]].text
    assert all(were[d.id].text == d.text for d in found[""])


def test_what_is_said_to_be_wrong_is_wrong_and_the_rest_is_right(degraded: Path) -> None:
    found = by_dial(degraded)
    with Sandbox(limits=Limits(cpu_seconds=1.0)) as sandbox:
        for dial, documents in found.items():
            programs = [Program(d.text, d.meta["tests"], d.meta["entry_point"]) for d in documents]
            passed = {verdict.passed for verdict in sandbox.verdicts(programs)}
            assert passed == {dial in ("", "redundancy")}, dial


def test_a_skew_drops_what_is_about_other_topics(good: Path, degraded: Path) -> None:
    dropped = [row for p in sorted((degraded / DROPPED).iterdir()) for row in read_table(p).to_pylist()]
    others = [d for d in read_documents(good) if not {"even", "odd"} & set(d.meta["concepts"])]
    assert len(dropped) == pytest.approx(0.5 * len(others), abs=1)
    assert {row["reason"] for row in dropped} == {"topic_skew"}
    assert {row["id"] for row in dropped} <= {d.id for d in others}


def test_a_higher_share_spoils_the_same_records_and_more(good: Path, tmp_path: Path) -> None:
    spoiled = []
    for share in (0.1, 0.3):
        config = DegradeConfig(dataset="exercises/grammar", wrong_solutions=share)
        run(config, {"documents": good}, tmp_path / str(share), Tools(seed=5, sandbox=Sandbox))
        spoiled.append({d.text for d in by_dial(tmp_path / str(share))["wrong_solutions"]})
    assert spoiled[0] < spoiled[1]
    assert len(spoiled[0]) == 16


def test_two_workers_write_the_same_bytes(good: Path, degraded: Path, tmp_path: Path) -> None:
    pool = Pool(2)
    try:
        run(ALL, {"documents": good}, tmp_path, Tools(seed=5, workers=pool, sandbox=Sandbox))
    finally:
        pool.close()
    files = [p.relative_to(degraded) for p in sorted(degraded.rglob("*")) if p.is_file()]
    assert all((degraded / name).read_bytes() == (tmp_path / name).read_bytes() for name in files)


def test_a_dial_that_cannot_be_turned_so_far_says_how_far_it_can(tmp_path: Path) -> None:
    untested = Document(
        'def f(n):\n    """It."""\n    return n\n',
        "f",
        "exercise",
        {
            "prompt_chars": 25,
            "name": "f",
            "tests": "",
            "source": "corpus",
            "verdict": "unproved",
            "concepts": ["numbers"],
        },
    )
    write_shard(tmp_path / "in", shard_name(0), [untested])
    inputs, tools = {"documents": tmp_path / "in"}, Tools(sandbox=Sandbox)
    with pytest.raises(StageError, match=r"wrong_solutions is 1\.0, but only 0 of 1 .* lower it to 0\.0"):
        run(DegradeConfig(dataset="x", wrong_solutions=1.0), inputs, tmp_path / "out", tools)
    skew = DegradeConfig(dataset="x", topic_skew=0.5, topics=("sets",))
    with pytest.raises(ConfigError, match="'sets', which no record is about; the commonest are numbers"):
        run(skew, inputs, tmp_path / "skew", tools)
    with pytest.raises(StageError, match="sandbox"):
        run(skew, inputs, tmp_path / "none", Tools())


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"wrong_solutions": 0.7, "redundancy": 0.4}, "sum to more than 1"),
        ({"topic_skew": 0.4}, "belong together"),
        ({"wrong_solution": 0.4}, "did you mean wrong_solutions"),
    ],
)
def test_settings_that_mean_nothing_are_refused(values: dict[str, float], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse(DegradeConfig, {"dataset": "textbooks", **values}, "recipe")


RECIPE = {
    "name": "dial",
    "row_tokens": 512,
    "exercises": {"grammar": {"source": "grammar"}},
    "degrade": {"wrong": {"dataset": "exercises/grammar", "wrong_solutions": 0.5}},
    "decontaminate": {},
    "tokenizer": {"vocabulary": 512},
    "mixes": {"wrong": {"tokens": 1000, "parts": {"degrade/wrong": 1.0}}},
    "pretrain": {"size": "nano", "tokens": 1000, "tokens_per_step": 100},
    "evaluate": {},
    "arms": {"wrong": {"mix": "wrong"}},
}


def test_a_mix_names_a_degraded_dataset_and_nothing_else_is_built() -> None:
    recipe = parse(Recipe, RECIPE, "dial.toml")
    keys = {step.key: step for step in steps(recipe)}
    assert "read" not in keys
    assert keys["degrade/wrong"].inputs == {"documents": "exercises/grammar"}
    assert keys["decontaminate/degrade/wrong"].inputs == {"documents": "degrade/wrong"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"degrade": {"wrong": {"dataset": "filter"}}}, "degrade.wrong reads 'filter'"),
        ({"dedup": {}}, r"\[dedup\] needs \[read\]"),
        ({"exercises": {"grammar": {"source": "corpus"}}}, r"\[exercises.grammar\] needs \[dedup\]"),
        ({"arms": {"wrong": {"mix": "wrong", "finetune": "wrong"}}}, r"\[arms.wrong\] needs \[finetune\]"),
        ({"textbooks": {}}, r"\[textbooks\] needs teacher"),
    ],
)
def test_a_recipe_that_lacks_what_it_needs_says_so(change: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse(Recipe, {**RECIPE, **change}, "dial.toml")
