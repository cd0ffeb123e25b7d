"""Any fsspec URL is read as a path is; the Hub's layout through the same code on a mirror of files."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hub import mirror
from pydantic import ValidationError

from hornbook.core.errors import InputError, StageError
from hornbook.core.shards import read_documents
from hornbook.stages.read.source import Source
from hornbook.stages.read.step import ReadConfig, identity


def code(number: int) -> str:
    return f'"""Module {number}."""\n\n\ndef f(x):\n    return x + {number}\n'


@pytest.fixture
def memory() -> Iterator[Any]:
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


def test_files_and_records_are_read_from_memory(memory: Any, read: Callable[..., Any]) -> None:
    memory.pipe(
        {"/corpus/a/one.py": code(1).encode(), "/corpus/.git/two.py": b"x = 2\n", "/corpus/b.txt": b"no"}
    )
    memory.pipe("/rows/r.jsonl", orjson.dumps({"text": code(3)}) + b"\n{broken\n")
    kept, _, _ = read({"kind": "folder", "path": "memory://corpus"})
    assert {name: document.text for name, document in kept.items()} == {"corpus/a/one.py": code(1)}
    kept, dropped, _ = read({"kind": "jsonl", "path": "memory://rows/r.jsonl", "name": "rows"})
    assert (list(kept), list(dropped)) == (["rows/r.jsonl:1"], ["rows/r.jsonl:2"])


def test_identity_follows_what_is_behind_the_url(memory: Any) -> None:
    def of() -> dict[str, str]:
        source = {"kind": "folder", "path": "memory://corpus"}
        return dict(identity(ReadConfig.model_validate({"sources": [source]})))

    memory.pipe("/corpus/one.py", code(1).encode())
    before = of()
    assert of() == before
    memory.pipe("/corpus/one.py", code(2).encode())
    assert of() != before


STACK = "bigcode/the-stack-dedup"


def stack(folder: Path) -> Path:
    """The Stack's layout and columns, as a mirror on disk has them."""
    data = folder / "datasets" / STACK / "v1.2" / "data" / "python"
    data.mkdir(parents=True)
    for shard in range(2):
        rows = {
            "unused": [os.urandom(3_000_000) for _ in range(5)],
            "content": [code(10 * shard + n) for n in range(5)],
            "max_stars_repo_name": [f"owner/{n}" for n in range(5)],
            "max_stars_repo_path": [f"p{n}.py" for n in range(5)],
            "max_stars_repo_licenses": [["MIT"], ["MIT", "Apache-2.0"], [], None, ["ISC"]],
            "max_stars_count": [3, None, 1, 0, 2],
        }
        pq.write_table(pa.table(rows), data / f"train-0000{shard}-of-00002.parquet", use_dictionary=False)
    return data


def test_the_stack_s_columns_are_read_from_a_mirror_on_disk(tmp_path: Path, read: Callable[..., Any]) -> None:
    source = {"kind": "parquet", "path": f"file://{stack(tmp_path)}", "columns": "the-stack"}
    kept, dropped, counts = read(source)
    assert (counts["kept"], dropped) == (10, {})
    first = kept["python/train-00000-of-00002.parquet:1"]
    assert first.text == code(0)
    assert first.meta == {"repository": "owner/0", "path": "p0.py", "licence": "MIT", "stars": 3}
    assert kept["python/train-00001-of-00002.parquet:2"].meta["licence"] == ["MIT", "Apache-2.0"]
    own = {**source, "columns": "", "text_key": "content", "meta_keys": ["max_stars_repo_path"]}
    own["meta_names"] = {"max_stars_count": "stars"}
    kept, _, _ = read(own)
    assert kept["python/train-00000-of-00002.parquet:1"].meta == {"max_stars_repo_path": "p0.py", "stars": 3}
    with pytest.raises(InputError, match="has no column body; it has unused, content, max_stars"):
        read({**source, "text_key": "body"})


CARDS = {
    "the-stack-dedup": (
        {
            "content": code(1),
            "max_stars_repo_name": "o/r",
            "max_stars_repo_path": "a.py",
            "max_stars_count": 7,
        },
        {"max_stars_repo_licenses": ["MIT"]},
    ),
    "the-stack-smol": (
        {"content": code(1), "repository_name": "o/r", "path": "a.py", "licenses": ["MIT"]},
        {"avg_line_length": 20.5, "lang": "Python"},
    ),
    "the-stack-v2": (
        {"content": code(1), "repo_name": "o/r", "path": "a.py", "star_events_count": 7},
        {"detected_licenses": ["MIT"], "blob_id": "0"},
    ),
    "starcoderdata": (
        {
            "content": code(1),
            "max_stars_repo_name": "o/r",
            "max_stars_repo_path": "a.py",
            "max_stars_count": 7,
        },
        {"id": "0"},
    ),
    "github-code-clean": (
        {"code": code(1), "repo_name": "o/r", "path": "a.py", "license": "MIT"},
        {"language": "Python", "size": 9},
    ),
}
"""What is taken of a row, and what else is in it, as docs/adding.md says where from."""


@pytest.mark.parametrize("name", CARDS)
def test_a_row_as_its_dataset_has_it_is_read_by_its_preset(
    name: str, memory: Any, read: Callable[..., Any]
) -> None:
    row = {**CARDS[name][0], **CARDS[name][1]}
    memory.pipe("/rows/r.jsonl", orjson.dumps(row))
    kept, _, _ = read({"kind": "jsonl", "path": "memory://rows", "columns": name})
    (document,) = kept.values()
    assert document.text == code(1)
    stars = {"stars": 7} if 7 in row.values() else {}
    licence = {} if name == "starcoderdata" else {"licence": "MIT"}
    assert document.meta == {"repository": "o/r", "path": "a.py", **stars, **licence}


READ_THE_STACK = """
import sys
from pathlib import Path
from hornbook.core.shards import read_documents
from hornbook.core.context import Tools
from hornbook.stages.read.step import ReadConfig, identity, run

source = {"kind": "parquet", "path": "hf://datasets/bigcode/the-stack-dedup/data/python", "revision": sys.argv[2]}
config = ReadConfig.model_validate({"sources": [{**source, "columns": "the-stack"}]})
identity(config)
run(config, {}, Path(sys.argv[1]), Tools())
"""


def test_the_hub_s_own_client_reads_the_columns_it_needs(tmp_path: Path) -> None:
    data = stack(tmp_path / "hub")

    def reading(revision: str, address: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", READ_THE_STACK, str(tmp_path / "out"), revision]
        (tmp_path / "out").mkdir(exist_ok=True)
        env = {**os.environ, "HF_ENDPOINT": address, "HF_HUB_DISABLE_TELEMETRY": "1"}
        return subprocess.run(command, env=env, capture_output=True, text=True, timeout=100, check=False)

    with mirror(tmp_path / "hub") as (address, sent):
        done = reading("v1.2", address)
        assert done.returncode == 0, done.stderr
        other = reading("v9", address).stderr.splitlines()[-1]
    documents = {document.source: document for document in read_documents(tmp_path / "out")}
    assert len(documents) == 10
    assert documents["python/train-00001-of-00002.parquet:5"].text == code(14)
    assert documents["python/train-00001-of-00002.parquet:5"].meta["licence"] == "ISC"
    assert sum(size for _, size in sent) < sum(path.stat().st_size for path in data.iterdir()) / 2
    assert "InputError: v9 of the dataset bigcode/the-stack-dedup cannot be looked up on the Hugging" in other
    assert "(it has no such branch, tag or commit)" in other


class Flaky(MemoryFileSystem):  # type: ignore[misc]
    """Memory behind a network that fails in the middle of a file, so many times."""

    protocol = "flaky"
    failures = 0

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.replace("flaky://", "memory://")))

    def _open(self, path: str, *_: Any, **__: Any) -> Any:
        return Broken(self.store[path].getvalue())


class Broken(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        if self.tell() and Flaky.failures:
            Flaky.failures -= 1
            raise ConnectionResetError("reset by peer")
        return super().read(size)


def test_a_network_that_fails_costs_another_try_and_never_a_record(
    memory: Any, read: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec.register_implementation("flaky", Flaky, clobber=True)
    rows = [orjson.dumps({"text": code(n), "padding": "x" * 40_000}) for n in range(50)]
    memory.pipe("/rows/r.jsonl", b"\n".join(rows))
    monkeypatch.setattr(Flaky, "failures", 2)
    kept, dropped, counts = read({"kind": "jsonl", "path": "flaky://rows"})
    assert (len(kept), dropped, counts.get("shards_failed")) == (50, {}, None)
    monkeypatch.setattr(Flaky, "failures", 99)
    with pytest.raises(StageError, match=r"flaky.*r\.jsonl cannot be read: reset by peer"):
        read({"kind": "jsonl", "path": "flaky://rows"})


def test_a_hub_path_is_pinned_to_its_revision() -> None:
    path = "hf://datasets/bigcode/the-stack-dedup/data/python"
    with pytest.raises(ValidationError, match="needs a revision"):
        Source(kind="parquet", path=path)
    pinned = Source(kind="parquet", path=path, revision="17cad72")
    assert pinned.place == "hf://datasets/bigcode/the-stack-dedup@17cad72/data/python"
    assert pinned.label == "python"


def test_a_url_that_leads_nowhere_is_one_clear_line(memory: Any, read: Callable[..., Any]) -> None:
    for path, said in (("memory://gone", "holds no file"), ("nosuch://x/y", "cannot be reached")):
        with pytest.raises(InputError, match=said):
            read({"kind": "folder", "path": path})
