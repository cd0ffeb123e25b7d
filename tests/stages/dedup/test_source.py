"""source: what one source left of the corpus, nothing of another, the same with any number of workers."""

from __future__ import annotations

from pathlib import Path

import pytest

from hornbook.core.context import Tools
from hornbook.core.errors import StageError
from hornbook.core.records import Document
from hornbook.core.shards import KEPT, read_documents, write_shard
from hornbook.core.workers import open_workers
from hornbook.stages.dedup import subset as source
from hornbook.stages.dedup.subset import SourceConfig

SOURCES = ("mine/a.py", "mine2/a.py", "mine/deep/b.py", "a.jsonl:7", "theirs/mine/c.py")


def _corpus(folder: Path) -> Path:
    for shard in range(3):
        some = [Document(f"x = {shard}{n}\n", name, "code") for n, name in enumerate(SOURCES)]
        write_shard(folder, f"shard-0000{shard}.parquet", some)
    return folder


@pytest.mark.parametrize(
    ("name", "places"),
    [("mine", ["mine/a.py", "mine/deep/b.py"]), ("a.jsonl", ["a.jsonl:7"]), ("theirs", ["theirs/mine/c.py"])],
)
def test_a_source_is_its_documents_alone(name: str, places: list[str], tmp_path: Path) -> None:
    corpus = _corpus(tmp_path / "in")
    written = []
    for kind in ("serial", "pool"):
        workers = open_workers(kind, 2)
        out = tmp_path / kind
        counts = source.run(SourceConfig(name=name), {"documents": corpus}, out, Tools(0, workers))
        workers.close()
        assert (counts["kept"], counts["dropped"]) == (3 * len(places), 0)
        assert [document.source for document in read_documents(out)] == 3 * places
        written.append([path.read_bytes() for path in sorted((out / KEPT).iterdir())])
    assert written[0] == written[1]


def test_a_source_that_is_not_there_names_those_that_are(tmp_path: Path) -> None:
    corpus = _corpus(tmp_path / "in")
    with pytest.raises(StageError, match=r"source/min: .* sources: a\.jsonl, mine, mine2, theirs"):
        source.run(SourceConfig(name="min"), {"documents": corpus}, tmp_path / "out", Tools())
