"""One document explained: score, rank, what moved it, neighbours, label and reason, copies; harmless to a terminal."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hornbook.core.context import Tools
from hornbook.core.records import Document, documents_table
from hornbook.core.shards import read_json, read_table, shard_name, shards, write_shard
from hornbook.report.explain import Places, describe
from hornbook.report.explain import explain_filter as explain
from hornbook.stages.filter import classify as judge
from hornbook.stages.filter import features
from hornbook.stages.filter import select as stage
from hornbook.stages.filter.config import FilterConfig

CONFIG = FilterConfig(good_share=0.5, keep_share=0.4, trees=30, stratum_share=0.1)


def _document(number: int) -> Document:
    body = f"    return a + b + {number}\n" if number % 2 else f"    return [{', '.join(['7'] * 30)}]\n"
    note = f'    """Add {number} to the sum of a and b."""\n' if number % 2 else ""
    text = f"def f_{number}(a, b):\n{note}{body}"
    return Document(
        text, f"p{number % 7}/m{number}.py", "code", {"package": f"p{number % 7}", "licence": "MIT"}
    )


DOCUMENTS = [_document(number) for number in range(60)]
EVIL = "clear \x1b[2J\x1b]0;title\x07 code\nnext line"


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    root = tmp_path_factory.mktemp("filter")
    write_shard(root / "documents", shard_name(0), DOCUMENTS[:30])
    write_shard(root / "documents", shard_name(1), DOCUMENTS[30:])
    clusters = [
        {
            "kept_id": DOCUMENTS[1].id,
            "kept_source": DOCUMENTS[1].source,
            "id": "gone",
            "source": "p9/copy.py",
            "reason": "near_copy",
            "similarity": 0.91,
            "kept_because": "is longer",
        }
    ]
    pq.write_table(pa.Table.from_pylist(clusters), root / "documents" / "clusters.parquet")
    labelled = DOCUMENTS[:40]
    labels = documents_table(labelled)
    for name, values in (
        ("label", [float(n % 2) + 0.001 * n for n in range(40)]),
        ("why", [EVIL] * 40),
        ("failed", [None] * 40),
    ):
        kind = pa.float64() if name == "label" else pa.string()
        labels = labels.append_column(name, pa.array(values, kind))
    write_shard(root / "labels", shard_name(0), labels)
    write_shard(root / "again", shard_name(0), labels.slice(0, 5))
    inputs = {"documents": root / "documents", "labels": root / "labels", "features": root / "features"}
    assert CONFIG.measuring
    features.run(CONFIG.measuring.seeing(500), inputs, root / "features", Tools())
    judge.run(CONFIG.judging, inputs, root / "judge", Tools(seed=5))
    stage.run(CONFIG.choosing, {**inputs, "judge": root / "judge"}, root / "out", Tools(seed=5))
    again = {"reworded": root / "again"}
    return Places(root / "out", root / "judge", root / "labels", root / "documents", root / "features", again)


def _explain(places: Places, number: int) -> dict[str, Any]:
    return explain(DOCUMENTS[number], places)


def test_a_labelled_document_is_explained_with_all_there_is(places: Places) -> None:
    found = _explain(places, 1)
    scored = pa.concat_tables(read_table(path) for path in shards(places.judge)).to_pylist()
    scores = [row["score"] for row in scored]
    own = next(row["score"] for row in scored if row["id"] == DOCUMENTS[1].id)
    assert found["score"] == own
    assert found["better_than"] == pytest.approx(sum(score < own for score in scores) / 60)
    assert found["threshold"] == read_json(places.filter / "quality.json")["threshold"]
    assert (found["topic"], found["licence"], found["origin"]) == ("no imports", "MIT", "p1")
    assert found["label"]["label"] == pytest.approx(1.001)
    assert found["label"]["again"]["reworded"]["label"] == pytest.approx(1.001)
    assert [row["source"] for row in found["cluster"]] == ["p9/copy.py"]
    assert len(found["nearest"]) == 5
    assert DOCUMENTS[1].id not in [row["id"] for row in found["nearest"]]
    assert all(row["label"] > 0.9 and row["good"] and row["why"] == EVIL for row in found["nearest"])
    assert found["label"]["good"]
    assert not _explain(places, 2)["label"]["good"]
    assert found["nearest"] == sorted(found["nearest"], key=lambda row: row["distance"])


def test_what_moved_good_up_moved_bad_down(places: Places) -> None:
    good, bad = (
        {row["feature"]: row["by"] for row in _explain(places, number)["moved"]} for number in (51, 50)
    )
    first = next(iter(good))
    assert good[first] > 0
    assert sum(good.values()) > 0 > sum(bad.values())


def test_one_that_nobody_judged_has_no_label(places: Places) -> None:
    found = _explain(places, 51)
    assert found["label"] is None
    assert found["cluster"] == []
    assert "did not see it" in describe(found, "kept")
    assert "none were found" in describe(found, "kept")


def test_an_explanation_cannot_move_the_cursor(places: Places) -> None:
    said = describe(_explain(places, 1), "kept")
    assert "\x1b" not in said
    assert "\x07" not in said
    assert "label: 1, counted as good, because: clear \\x1b[2J" in said
    assert said.count("because: clear") == 7  # its own, judged again, and of five neighbours
    assert "    1  good  p" in said
    assert "judged again (reworded)" in said
    assert "p9/copy.py  (near copy; this one is longer)" in said


def test_a_plain_baseline_says_what_it_can(places: Places, tmp_path: Path) -> None:
    config = FilterConfig(score="comment_density", keep_share=0.4)
    assert places.documents is not None
    inputs = {"documents": places.documents, "judge": tmp_path / "judge"}
    judge.run(config.judging, inputs, tmp_path / "judge", Tools(seed=5))
    stage.run(config.choosing, inputs, tmp_path / "out", Tools(seed=5))
    found = explain(DOCUMENTS[1], Places(tmp_path / "out", tmp_path / "judge"))
    assert found["score"] == pytest.approx(found["comment_density"])
    assert (found["moved"], found["nearest"]) == ([], [])
    assert "by comment density" in describe(found, "kept")
