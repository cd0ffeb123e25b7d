from __future__ import annotations

import errno
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from hornbook.core.context import Tools
from hornbook.core.errors import StageError, StoreError
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


def _fail_sometimes(job: tuple[Path, int]) -> Counts:
    out, number = job
    with (out / f"tries-{number}").open("a") as file:
        file.write(".")
    tried = len((out / f"tries-{number}").read_text())
    if number == 1 or (number == 2 and tried < 3):
        raise ValueError(f"no luck with {number}")
    return write_shard(out, shard_name(number), [_document(str(number))])


def test_a_shard_that_keeps_failing_is_set_aside_with_its_error(tmp_path: Path) -> None:
    counts = run_shards("try", _fail_sometimes, _jobs(tmp_path), tmp_path, Tools())
    assert counts == {"dropped": 0, "kept": 4, "shards_failed": 1}
    failed = read_json(tmp_path / "failed" / "shard-00001.parquet.json")
    assert failed["error"].startswith("ValueError: no luck with 1 (test_shards.py:")
    assert (tmp_path / "tries-1").read_text() == (tmp_path / "tries-2").read_text() == "..."
    again = run_shards("double", _double, _jobs(tmp_path), tmp_path, Tools())
    assert (again["kept"], again.get("shards_failed")) == (5, None)
    assert not list((tmp_path / "failed").iterdir())


def _always_fail(job: tuple[Path, int]) -> Counts:
    raise ValueError("never")


def _disk_is_full(job: tuple[Path, int]) -> Counts:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_many_failures_and_a_full_disk_stop_the_stage(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"more than half.*ValueError: never"):
        run_shards("try", _always_fail, _jobs(tmp_path), tmp_path, Tools())
    with pytest.raises(OSError, match="No space left"):
        run_shards("try", _disk_is_full, _jobs(tmp_path), tmp_path, Tools())


def _die_on_three(job: tuple[Path, int]) -> Counts:
    if job[1] == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return _double(job)


def test_a_shard_that_kills_its_worker_is_found_and_set_aside(tmp_path: Path) -> None:
    pool = Pool(2)
    try:
        counts = run_shards("try", _die_on_three, _jobs(tmp_path), tmp_path, Tools(workers=pool))
    finally:
        pool.close()
    assert (counts["kept"], counts["shards_failed"]) == (4, 1)
    assert "worker process died" in read_json(tmp_path / "failed" / "shard-00003.parquet.json")["error"]


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
