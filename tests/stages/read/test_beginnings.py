"""With max_bytes, the beginning of each large file of records is read and little behind it; small ones are drawn."""

from __future__ import annotations

import gzip
import io
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import fsspec
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from fsspec.implementations.memory import MemoryFileSystem

from hornbook.core.errors import InputError

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
def test_a_tenth_of_the_bytes_is_the_first_tenth_and_little_more_is_fetched(
    name: str, memory: Any, read: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = FILES[name]()
    memory.pipe(f"/corpus/{name}", data)
    source = {"kind": "parquet" if name.endswith("parquet") else "jsonl", "path": "counted://corpus"}
    monkeypatch.setattr(Counted, "fetched", 0)
    kept, dropped, _ = read(source, max_bytes=len(data) // 10)
    assert [document.text for document in kept.values()] == TEXTS[: len(kept)]
    assert ROWS * 0.06 < len(kept) <= ROWS * 0.1 + 1
    assert dropped == {}
    # beyond them the line or zstd block is finished; of Parquet the footer is read, twice, and a buffer of the column
    look_ahead = {"rows.jsonl.zst": 128_000, "rows.parquet": 600_000}.get(name, 16_384)
    assert Counted.fetched <= len(data) // 10 + look_ahead < len(data) / 2
    assert read(source, max_bytes=len(data) // 10)[0] == kept
    assert len(read(source)[0]) == ROWS


def test_what_is_damaged_before_the_cut_is_said_all_the_same(memory: Any, read: Callable[..., Any]) -> None:
    packed = gzip.compress(jsonl()) + b"no member" * 100_000
    memory.pipe("/corpus/rows.jsonl.gz", packed)
    kept, dropped, _ = read({"kind": "jsonl", "path": "counted://corpus"}, max_bytes=len(packed) - 100_000)
    assert len(kept) == ROWS
    assert [reason for reason, _ in dropped.values()] == ["truncated"]


def one_row(text: str) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"text": [text]}), sink)
    return sink.getvalue()


ONE: dict[str, Callable[[str], bytes]] = {
    ".jsonl": lambda text: orjson.dumps({"text": text}) + b"\n",
    ".json": lambda text: orjson.dumps({"text": text}),
    ".jsonl.gz": lambda text: gzip.compress(orjson.dumps({"text": text})),
    ".jsonl.zst": lambda text: zstandard.compress(orjson.dumps({"text": text})),
    ".parquet": one_row,
}


@pytest.mark.parametrize("suffix", ONE)
@pytest.mark.parametrize("share", [0.01, 0.3, 0.9])
def test_of_files_of_one_record_a_share_is_drawn(
    suffix: str, share: float, memory: Any, read: Callable[..., Any]
) -> None:
    files = {f"/corpus/{n:02}{suffix}": ONE[suffix](text) for n, text in enumerate(TEXTS[:60])}
    memory.pipe(files)
    source = {"kind": "parquet" if suffix == ".parquet" else "jsonl", "path": "memory://corpus"}
    kept, dropped, _ = read(source, max_bytes=int(share * sum(map(len, files.values()))))
    assert dropped == {}
    assert abs(len(kept) - 60 * share) <= 1
    names = sorted(kept)
    assert share > 0.5 or names != [f"corpus/{n:02}{suffix}:1" for n in range(len(kept))]
    assert read(source, max_bytes=int(share * sum(map(len, files.values()))), seed=1)[0].keys() != kept.keys()


PACKINGS: dict[str, Callable[[bytes], bytes]] = {".gz": gzip.compress, ".zst": zstandard.compress}


@pytest.mark.parametrize("share", [0.01, 0.5, 0.9])
@pytest.mark.parametrize("name", ["rows.jsonl", "rows.jsonl.gz", "rows.jsonl.zst", "rows.json"])
def test_a_small_file_alone_gives_its_beginning(
    name: str, share: float, memory: Any, read: Callable[..., Any]
) -> None:
    packing = next((pack for end, pack in PACKINGS.items() if name.endswith(end)), bytes)
    rows = b"\n".join(orjson.dumps({"text": text}) for text in TEXTS[:160])
    data = packing(rows)
    assert len(data) < 200_000
    memory.pipe(f"/corpus/{name}", data)
    kept, dropped, _ = read({"kind": "jsonl", "path": "memory://corpus"}, max_bytes=int(share * len(data)))
    assert [document.text for document in kept.values()] == TEXTS[: len(kept)]
    assert dropped == {}
    assert 1 <= len(kept) <= 160 * share + 2
    assert len(kept) >= int(160 * share * 0.7)


def test_a_file_of_unknown_size_is_read_whole_or_not_at_all(
    memory: Any, read: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def find(self: Any, path: str, **settings: Any) -> Any:
        infos = MemoryFileSystem.find(self, path, **settings)
        return {
            name: {**info, "size": None if "told" not in name else info["size"]}
            for name, info in infos.items()
        }

    monkeypatch.setattr(Counted, "find", find)
    rows = b"".join(orjson.dumps({"text": text}) + b"\n" for text in TEXTS[:10])
    memory.pipe({f"/corpus/{n:02}.jsonl": rows for n in range(40)})
    memory.pipe("/corpus/told.jsonl", jsonl())
    kept, _, _ = read({"kind": "jsonl", "path": "counted://corpus"}, max_bytes=len(jsonl()) // 2)
    files = Counter(source.rpartition(":")[0] for source in kept)
    assert 900 < files.pop("corpus/told.jsonl") < 1_100
    assert 10 <= len(files) <= 30
    assert set(files.values()) == {10}


def test_a_share_that_no_file_fits_into_is_said(memory: Any, read: Callable[..., Any]) -> None:
    memory.pipe("/corpus/a.py", TEXTS[0].encode())
    with pytest.raises(InputError, match=r"max_bytes is 10, and the first file that was drawn is larger"):
        read({"kind": "folder", "path": "memory://corpus"}, max_bytes=10)


def test_of_a_source_only_the_first_bytes_are_read_file_after_file(
    tmp_path: Path, read: Callable[..., Any]
) -> None:
    def code(name: str, lines: int) -> bytes:
        return "".join(f"def {name}{n}(x):\n    return x + {n}\n" for n in range(lines)).encode()

    (tmp_path / "files").mkdir()
    for name in "abc":
        (tmp_path / "files" / f"{name}.py").write_bytes(code(name, 40))
    size = (tmp_path / "files" / "a.py").stat().st_size
    for first_bytes, names in ((0, "abc"), (2 * size, "ab"), (2 * size - 1, "a"), (1, "a")):
        kept, _, _ = read(
            {"kind": "folder", "path": str(tmp_path / "files"), "name": "f", "first_bytes": first_bytes}
        )
        assert sorted(kept) == [f"f/{name}.py" for name in names]

    (tmp_path / "rows").mkdir()
    for name in ("p.jsonl", "q.jsonl"):
        rows = [orjson.dumps({"text": code(f"{name[0]}{n}_", 10).decode()}) + b"\n" for n in range(30)]
        (tmp_path / "rows" / name).write_bytes(b"".join(rows))
    size = (tmp_path / "rows" / "p.jsonl").stat().st_size
    source = {"kind": "jsonl", "path": str(tmp_path / "rows"), "name": "r", "first_bytes": round(1.5 * size)}
    kept, _, counts = read(source)
    assert len([name for name in kept if name.startswith("r/p")]) == 30
    assert 14 <= len([name for name in kept if name.startswith("r/q")]) <= 16
    assert counts["bytes_found"] == round(1.5 * size)
    half, _, _ = read(source, max_bytes=round(0.75 * size))
    assert 0 < len(half) < len(kept)
