"""With max_bytes, the beginning of each file of records is read, and nothing behind it is fetched."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import fsspec
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from fsspec.implementations.memory import MemoryFileSystem

ROWS = 2_000
RANDOM = Random(1)
TEXTS = [
    "".join(f"# {RANDOM.randbytes(30).hex()}\n" for _ in range(16)) + f"def f(x):\n    return x + {n}\n"
    for n in range(ROWS)
]


class Counted(MemoryFileSystem):  # type: ignore[misc]
    """Memory that counts the bytes that are read of it."""

    protocol = "counted"
    fetched = 0

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(super()._strip_protocol(path.replace("counted://", "memory://")))

    def find(self, path: str, **settings: Any) -> Any:
        return {name: {**info, "ETag": name} for name, info in super().find(path, **settings).items()}

    def _open(self, path: str, *_: Any, **__: Any) -> Any:
        return Counting(self.store[path].getvalue())


class Counting(io.BytesIO):
    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        Counted.fetched += len(data)
        return data


@pytest.fixture
def memory() -> Iterator[Any]:
    fsspec.register_implementation("counted", Counted, clobber=True)
    system = fsspec.filesystem("memory")
    system.store.clear()
    yield system
    system.store.clear()


def parquet() -> bytes:
    sink = io.BytesIO()
    rows = {"unused": [RANDOM.randbytes(500) for _ in TEXTS], "text": TEXTS}
    pq.write_table(pa.table(rows), sink, use_dictionary=False, data_page_size=20_000, write_batch_size=20)
    return sink.getvalue()


def jsonl() -> bytes:
    return b"".join(orjson.dumps({"text": text}) + b"\n" for text in TEXTS)


FILES: dict[str, Callable[[], bytes]] = {
    "rows.jsonl": jsonl,
    "rows.jsonl.gz": lambda: gzip.compress(jsonl()),
    "rows.jsonl.zst": lambda: zstandard.compress(jsonl()),
    "rows.parquet": parquet,
}


@pytest.mark.parametrize("name", FILES)
def test_a_tenth_of_the_bytes_is_the_first_tenth_and_no_more_is_fetched(
    name: str, memory: Any, read: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = FILES[name]()
    memory.pipe(f"/corpus/{name}", data)
    source = {"kind": "parquet" if name.endswith("parquet") else "jsonl", "path": "counted://corpus"}
    monkeypatch.setattr(Counted, "fetched", 0)
    kept, dropped, _ = read(source, max_bytes=len(data) // 10)
    assert [document.text for document in kept.values()] == TEXTS[: len(kept)]
    assert ROWS * 0.06 < len(kept) <= ROWS * 0.1
    assert dropped == {}
    look_ahead = 600_000 if name.endswith("parquet") else 0  # its footer, twice, and a buffer of the column
    assert Counted.fetched <= len(data) // 10 + look_ahead < len(data) / 2
    assert read(source, max_bytes=len(data) // 10)[0] == kept
    assert len(read(source)[0]) == ROWS


def test_what_is_damaged_before_the_cut_is_said_all_the_same(memory: Any, read: Callable[..., Any]) -> None:
    packed = gzip.compress(jsonl()) + b"no member" * 100_000
    memory.pipe("/corpus/rows.jsonl.gz", packed)
    kept, dropped, _ = read({"kind": "jsonl", "path": "counted://corpus"}, max_bytes=len(packed) - 100_000)
    assert len(kept) == ROWS
    assert [reason for reason, _ in dropped.values()] == ["truncated"]
