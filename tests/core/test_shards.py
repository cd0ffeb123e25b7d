from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hornbook.core.errors import StoreError
from hornbook.core.records import Document, Drop
from hornbook.core.shards import (
    Counts,
    read_documents,
    read_json,
    read_table,
    run_shards,
    shard_name,
    shards,
    write_bytes,
    write_shard,
)
from hornbook.core.tools import Tools
from hornbook.core.workers import Pool


def _document(text: str) -> Document:
    return Document(text, f"here/{text[:4]}.py", "code", {"package": "here"})


def test_documents_come_back_as_they_went_in(tmp_path: Path) -> None:
    wanted = [_document("x = 1\n"), Document("é\x00\ud7ff", "a.py", "qa", {"stars": 3, "tags": ["a", "b"]})]
    write_shard(tmp_path, shard_name(0), wanted[:1])
    write_shard(tmp_path, shard_name(1), wanted[1:])
    assert list(read_documents(tmp_path)) == wanted


def test_a_drop_keeps_its_document_reason_and_detail(tmp_path: Path) -> None:
    counts = write_shard(
        tmp_path, shard_name(0), [], [Drop(_document("spam"), "generated", "line 1 says so")]
    )
    (row,) = read_table(shards(tmp_path, "dropped")[0]).to_pylist()
    assert (row["text"], row["reason"], row["detail"]) == ("spam", "generated", "line 1 says so")
    assert counts == {"kept": 0, "dropped": 1, "dropped.generated": 1}


def _double(job: tuple[Path, int]) -> Counts:
    out, number = job
    (out / f"did-{number}").touch()
    return write_shard(out, shard_name(number), [_document(str(number))], counts={"work": number})


def _jobs(out: Path) -> dict[str, Any]:
    return {shard_name(n): (out, n) for n in range(5)}


def test_a_finished_shard_is_not_done_again(tmp_path: Path) -> None:
    _double((tmp_path, 3))
    (tmp_path / "did-3").unlink()
    counts = run_shards("double", _double, _jobs(tmp_path), tmp_path, Tools())
    assert counts == {"dropped": 0, "kept": 5, "work": 10}
    assert sorted(p.name for p in tmp_path.glob("did-*")) == ["did-0", "did-1", "did-2", "did-4"]


def test_one_and_two_workers_write_the_same_bytes(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    for folder in (one, two):
        folder.mkdir()
    run_shards("double", _double, _jobs(one), one, Tools())
    pool = Pool(2)
    try:
        run_shards("double", _double, _jobs(two), two, Tools(workers=pool))
    finally:
        pool.close()
    assert [p.read_bytes() for p in shards(one)] == [p.read_bytes() for p in shards(two)]
    assert len(shards(two)) == 5


def test_a_damaged_shard_is_named(tmp_path: Path) -> None:
    path = tmp_path / "kept" / shard_name(0)
    write_bytes(path, b"PAR1 not really")
    with pytest.raises(StoreError, match=r"shard-00000\.parquet is damaged"):
        read_table(path)


def test_a_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    write_bytes(path, b"1")
    with pytest.raises(TypeError):
        write_bytes(path, "not bytes")  # type: ignore[arg-type]
    assert read_json(path) == 1
