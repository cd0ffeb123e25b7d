from collections import Counter
from functools import partial
from pathlib import Path

import orjson
import pytest

from hornbook.core.context import Tools
from hornbook.core.errors import StageError
from hornbook.core.machine import CannedPlace
from hornbook.core.progress import Silent
from hornbook.core.records import Document
from hornbook.core.shards import read_table, write_shard
from hornbook.stages.annotate import step as annotate
from hornbook.stages.annotate.step import AgainConfig, AnnotateConfig, asks, draw_sample, identity, run
from hornbook.teachers import open_teacher

LINES = (
    {"match": "broken", "failed": "timeout", "detail": "no reply in 60 s"},
    {"match": "odd", "text": "Perhaps"},
    {"match": "good", "logprobs": {"Yes": -0.1, "No": -2.3}},
    {"logprobs": {"Yes": -1.0, "No": -1.0}},
)


def tools_with(tmp_path: Path, lines: tuple[dict[str, object], ...] = LINES) -> Tools:
    script = tmp_path / "script.jsonl"
    script.write_bytes(b"\n".join(map(orjson.dumps, lines)))
    place = CannedPlace(path=str(script))
    return Tools(seed=7, teacher=partial(open_teacher, "canned", place, tmp_path / "cache", Silent()))


def _judge(
    tmp_path: Path, folder: Path, config: AnnotateConfig, lines: tuple[dict[str, object], ...]
) -> dict[str, float]:
    (tmp_path / "out").mkdir()
    return dict(run(config, {"documents": folder}, tmp_path / "out", tools_with(tmp_path, lines)))


def corpus(folder: Path, texts: dict[str, str]) -> Path:
    """A dataset of two shards; `texts` maps source to text."""
    found = [Document(text, source, "code") for source, text in texts.items()]
    write_shard(folder, "shard-00000.parquet", found[: len(found) // 2])
    write_shard(folder, "shard-00001.parquet", found[len(found) // 2 :])
    return folder


def test_every_sampled_document_is_kept_with_its_label_or_the_reason_it_has_none(tmp_path: Path) -> None:
    texts = {
        "a/good.py": "good = 1",
        "a/odd.py": "odd = 1",
        "b/broken.py": "broken = 1",
        "b/plain.py": "x = 1",
    }
    folder = corpus(tmp_path / "in", texts)
    (tmp_path / "out").mkdir()
    config = AnnotateConfig(labels=10, max_failed_share=0.5)
    counts = run(config, {"documents": folder}, tmp_path / "out", tools_with(tmp_path))
    rows = {row["source"]: row for row in read_table(tmp_path / "out/kept/shard-00000.parquet").to_pylist()}
    assert counts == {"kept": 4, "dropped": 0, "labels": 2, "failed.timeout": 1, "failed.unreadable": 1}
    assert rows["a/good.py"]["label"] == pytest.approx(0.9, abs=0.01)
    assert rows["b/plain.py"]["label"] == 0.5
    assert (rows["a/odd.py"]["label"], rows["a/odd.py"]["failed"]) == (None, "unreadable")
    assert orjson.loads(rows["a/odd.py"]["raw"])["text"] == "Perhaps"
    assert orjson.loads(rows["b/broken.py"]["raw"]) == {"failed": "timeout", "detail": "no reply in 60 s"}


def test_too_many_failures_stop_the_stage_with_their_reasons(tmp_path: Path) -> None:
    folder = corpus(tmp_path / "in", {f"a/{n}.py": f"broken = {n}" for n in range(10)})
    with pytest.raises(StageError, match=r"annotate: more than 10% of 10 asks failed \(2 timeout"):
        run(AnnotateConfig(), {"documents": folder}, tmp_path / "out", tools_with(tmp_path))


def test_an_empty_corpus_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StageError, match="no documents"):
        run(AnnotateConfig(), {"documents": corpus(tmp_path / "in", {})}, tmp_path, tools_with(tmp_path))


def test_the_sample_has_the_mix_of_packages_and_lengths_of_the_corpus(tmp_path: Path) -> None:
    texts = {
        f"{package}/{n}.py": f"{package}{n}".ljust(length)
        for package, length, many in (("big", 100, 400), ("big", 3000, 400), ("small", 100, 200))
        for n in range(length, length + many)
    }
    folder = corpus(tmp_path / "in", texts)
    sample = draw_sample(folder, 50, seed=1)
    strata = Counter((d.source.split("/")[0], len(d.text) > 1000) for d in sample)
    assert strata == {("big", False): 20, ("big", True): 20, ("small", False): 10}
    assert sample == draw_sample(folder, 50, seed=1)
    assert {d.id for d in sample} != {d.id for d in draw_sample(folder, 50, seed=2)}


def test_identity_follows_the_prompt(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("--- user ---\n$excerpt Good?")
    mine = identity(AnnotateConfig(prompt=str(tmp_path / "mine.txt")), tmp_path)
    assert mine != identity(AnnotateConfig(), tmp_path)
    assert identity(AnnotateConfig(mode="rubric"), tmp_path) != identity(AnnotateConfig(), tmp_path)


RUBRIC = (
    {"match": "That could not be used", "text": '{"reason": "A helper, on second thought.", "score": 2}'},
    {"match": "good = 1", "text": 'Here it is:\n```json\n{"reason": "Clear and whole.", "score": 5,}\n```'},
    {"match": "odd = 1", "text": '{"reason": "beyond", "score": 9}'},
    {"text": "I would rather not say."},
)


def test_a_rubric_gives_scores_with_reasons_and_asks_once_more_for_what_it_cannot_use(tmp_path: Path) -> None:
    texts = {"a/good.py": "good = 1", "a/odd.py": "odd = 1", "b/plain.py": "x = 1"}
    config = AnnotateConfig(mode="rubric", max_failed_share=0.5)
    counts = _judge(tmp_path, corpus(tmp_path / "in", texts), config, RUBRIC)
    rows = {row["source"]: row for row in read_table(tmp_path / "out/kept/shard-00000.parquet").to_pylist()}
    assert counts["labels"] == 3
    assert (rows["a/good.py"]["label"], rows["a/good.py"]["why"]) == (5.0, "Clear and whole.")
    assert (rows["a/odd.py"]["label"], rows["a/odd.py"]["why"]) == (2.0, "A helper, on second thought.")
    assert rows["b/plain.py"]["label"] == 2.0


def test_what_stays_no_rubric_answer_is_a_failure_with_its_reason(tmp_path: Path) -> None:
    config = AnnotateConfig(mode="rubric", max_failed_share=1)
    lines = (
        {"match": "odd = 1|is True", "text": '{"reason": "r", "score": true}'},
        {"match": "bare = 1|reason and score", "text": '{"score": 3, "comment": "no reason"}'},
        {"text": "No."},
    )
    texts = {"a/odd.py": "odd = 1", "a/bare.py": "bare = 1", "b/x.py": "x = 1"}
    counts = _judge(tmp_path, corpus(tmp_path / "in", texts), config, lines)
    assert counts["labels"] == 0
    assert (counts["failed.wrong_json"], counts["failed.no_json"]) == (2, 1)


def test_a_second_judging_says_how_far_it_agrees_with_the_first(tmp_path: Path) -> None:
    texts = {f"p{n % 3}/m{n}.py": ("good" if n % 2 else "plain") + f" = {n}" for n in range(40)}
    folder = corpus(tmp_path / "in", texts)
    first = AnnotateConfig(labels=30)
    _judge(tmp_path, folder, first, LINES)
    other = AgainConfig(labels=12, prompt="annotate-again").instead_of(first)
    assert (other.labels, other.prompt, other.excerpt_chars) == (12, "annotate-again", first.excerpt_chars)
    (tmp_path / "again").mkdir()
    lines = (
        {"match": "good", "logprobs": {"Yes": -0.5, "No": -1.3}},
        {"logprobs": {"Yes": -2.0, "No": -0.2}},
    )
    judged = tmp_path / "out"
    counts = run(other, {"documents": judged}, tmp_path / "again", tools_with(tmp_path, lines))
    found = orjson.loads((tmp_path / "again" / "agreement.json").read_bytes())
    assert counts["labels"] == found["documents"] == 12
    assert found["rank_correlation"] == pytest.approx([1, 1, 1])
    assert found["same_half"][0] == 1
    before = {r["id"]: r["label"] for r in read_table(judged / "kept/shard-00000.parquet").to_pylist()}
    again = read_table(tmp_path / "again/kept/shard-00000.parquet").to_pylist()
    assert all(row["first"] == before[row["id"]] for row in again)


def test_asking_the_same_again_is_refused() -> None:
    with pytest.raises(ValueError, match="set teacher, prompt or temperature"):
        AgainConfig(labels=5)


def test_the_seed_is_asked_with_only_where_it_matters(tmp_path: Path) -> None:
    for temperature, seed in ((0.0, 0), (0.7, 7)):
        config = AnnotateConfig(mode="rubric", labels=2, temperature=temperature)
        assert {ask.seed for ask in asks(config, {}, 7).asks} == {seed}
        assert all("score" in ask.schema for ask in asks(config, {}, 7).asks)


def test_a_plan_draws_its_sample_only_where_that_is_quick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [Document(f"x = {n}\n" * 20, f"a/{n}.py", "code") for n in range(6)]
    write_shard(tmp_path, "shard-00000.parquet", rows)
    config = AnnotateConfig(labels=4)
    drawn = asks(config, {"documents": tmp_path}, 7)
    assert (len(set(drawn.asks)), drawn.guess) == (4, "")
    monkeypatch.setattr(annotate, "QUICK_DOCUMENTS", 5)
    guessed = asks(config, {"documents": tmp_path}, 7)
    assert (len(set(guessed.asks)), guessed.guess) == (4, "drawing from so many documents takes long")
