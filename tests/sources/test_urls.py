"""Any fsspec URL is read as a path is; the Hub's layout through the same code on a mirror of files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from hornbook.core.errors import InputError
from hornbook.sources import Source
from hornbook.stages.read import ReadConfig, identity


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


def mirror(folder: Path) -> str:
    """The Stack's layout and columns, as a mirror on disk has them."""
    data = folder / "datasets" / "bigcode" / "the-stack-dedup" / "data" / "python"
    data.mkdir(parents=True)
    for shard in range(2):
        rows = {
            "content": [code(10 * shard + n) for n in range(5)],
            "max_stars_repo_path": [f"p{n}.py" for n in range(5)],
            "max_stars_repo_licenses": [["MIT"], ["MIT", "Apache-2.0"], [], None, ["ISC"]],
            "max_stars_count": [3, None, 1, 0, 2],
            "hexsha": ["unused"] * 5,
        }
        pq.write_table(pa.table(rows), data / f"train-0000{shard}-of-00002.parquet", row_group_size=2)
    return f"file://{data}"


def test_the_stack_s_schema_is_read_from_a_mirror_of_the_hub(
    tmp_path: Path, read: Callable[..., Any]
) -> None:
    source = {
        "kind": "parquet",
        "path": mirror(tmp_path),
        "text_key": "content",
        "meta_keys": ["max_stars_repo_path"],
        "meta_names": {"max_stars_repo_licenses": "licence", "max_stars_count": "stars"},
    }
    kept, dropped, counts = read(source)
    assert (counts["kept"], dropped) == (10, {})
    first = kept["python/train-00000-of-00002.parquet:1"]
    assert first.text == code(0)
    assert first.meta == {"max_stars_repo_path": "p0.py", "licence": "MIT", "stars": 3}
    assert kept["python/train-00001-of-00002.parquet:2"].meta["licence"] == ["MIT", "Apache-2.0"]
    with pytest.raises(InputError, match="has no column body; it has content, max_stars"):
        read({**source, "text_key": "body"})


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
