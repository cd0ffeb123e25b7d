"""What the report says of copies and failed shards, from folders that the stages themselves wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from hornbook.core.context import Tools
from hornbook.core.records import Document
from hornbook.core.shards import Counts, run_shards, shard_name, write_json, write_shard
from hornbook.report import step as report
from hornbook.report.samples import copies, set_aside, short_path
from hornbook.stages.dedup import step as dedup


def code(number: int, lines: int = 30) -> str:
    return "".join(f"def f{number}_{n}(x):\n    return x + {number * n}\n" for n in range(lines))


@pytest.fixture
def deduplicated(tmp_path: Path) -> Path:
    documents = [Document(code(n), f"<b>{n}</b>.py", "code") for n in range(6)]
    documents += [Document(code(1) + f"x = {n}\n", f"copy/{n}.py", "code") for n in range(9)]
    documents += [Document(code(2).replace("\n", "\n\n"), "spaced.py", "code")]
    write_shard(tmp_path / "in", shard_name(0), documents)
    out = tmp_path / "dedup"
    out.mkdir()
    counts = dedup.run(dedup.DedupConfig(), {"documents": tmp_path / "in"}, out, Tools())
    parts = {"stage": "dedup", "version": 1, "config": {}, "seed": 0}
    write_json(out / "manifest.json", {**parts, "counts": counts})
    return out


def test_clusters_say_who_was_kept_and_by_which_rule(deduplicated: Path) -> None:
    found = copies(deduplicated)
    assert (found["clusters"], found["largest_cluster"]) == (2, 10)
    assert found["kept_is"] == "one with a licence before others, then the longest, then the first read"
    largest, spaced = found["examples"]
    assert (largest["kept"], largest["size"], len(largest["gone"])) == ("copy/0.py", 10, 4)
    assert (spaced["kept"], spaced["gone"][0]["reason"]) == ("spaced.py", "exact_copy")
    assert copies(deduplicated / "none") == {}


def test_a_long_path_is_shortened_in_its_middle() -> None:
    assert short_path("torch/nn/modules/linear.py") == "torch/nn/modules/linear.py"
    deep = "transformers/models/deformable_detr/feature_extraction_deformable_detr.py"
    assert short_path(deep) == "transformers/models/d…ion_deformable_detr.py"
    assert short_path("a/" + "folder/" * 20 + "name.py") == "a/…/folder/folder/folder/folder/name.py"
    long = short_path("x" * 300 + ".py")
    assert len(long) == 44
    assert long.endswith(".py")


def test_a_corpus_without_copies_says_so(tmp_path: Path) -> None:
    write_shard(tmp_path / "in", shard_name(0), [Document(code(1), "a.py", "code")])
    out = tmp_path / "dedup"
    out.mkdir()
    counts = dedup.run(dedup.DedupConfig(), {"documents": tmp_path / "in"}, out, Tools())
    write_json(
        out / "manifest.json", {"stage": "dedup", "version": 1, "config": {}, "seed": 0, "counts": counts}
    )
    (tmp_path / "out").mkdir()
    report.run(report.ReportConfig(recipe={"name": "data"}), {"dedup": out}, tmp_path / "out", Tools())
    assert "There were no copies, exact or near." in (tmp_path / "out" / "report.html").read_text()


def _fail_on_two(job: tuple[Path, int]) -> Counts:
    out, number = job
    if number == 2:
        raise ValueError("<no luck>")
    return write_shard(out, shard_name(number), [Document(str(number), "a", "code")])


def test_the_page_shows_clusters_and_what_is_missing(deduplicated: Path, tmp_path: Path) -> None:
    jobs = {shard_name(n): (deduplicated, n) for n in range(1, 4)}
    run_shards("try", _fail_on_two, jobs, deduplicated, Tools())
    folders = {"dedup": deduplicated}
    assert set_aside({**folders, "whole": tmp_path / "in"})["dedup"]["shards"] == 1
    out = tmp_path / "out"
    out.mkdir()
    report.run(report.ReportConfig(recipe={"name": "data"}), folders, out, Tools())
    page = (out / "report.html").read_text()
    assert "their documents are missing" in page
    assert "shard-00002.parquet: ValueError: &lt;no luck&gt;" in page
    assert 'title="copy/1.py">copy/1.py</span> <small>near copy' in page
    assert (
        "spaced.py</span> <small>is longer</small>" in page
    )  # said once for a cluster where one reason holds for all
    assert ", the kept one was read first</small>" in page
    assert ", the kept one is longer</small>" in page
    assert "<b>" not in page.partition("<h2>Copies</h2>")[2]
