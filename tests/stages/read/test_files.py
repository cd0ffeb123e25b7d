from __future__ import annotations

import gzip
import os
import time
from pathlib import Path
from random import Random

import pytest
import zstandard

from hornbook.stages.read.walk import Found, Line, Truncated, files_identity, found_file, lines, walk


def write(path: Path, data: bytes, age_seconds: float = 100) -> Path:
    """A file that was last changed some time ago."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (time.time() - age_seconds,) * 2)
    return path


def found(folder: Path) -> dict[str, Found]:
    return {file.name: file for file in walk(folder, ".py", frozenset({"skipped"}))}


def test_walk_names_files_relative_to_the_folder(tmp_path: Path) -> None:
    for name in ("a.py", "b/c.py", "b/d/e.py", "skipped/f.py", "g.txt"):
        write(tmp_path / name, b"x = 1")
    (tmp_path / "b" / "loop").symlink_to(tmp_path, target_is_directory=True)
    assert sorted(found(tmp_path)) == ["a.py", "b/c.py", "b/d/e.py"]


def test_identity_is_of_names_and_contents_wherever_they_are(tmp_path: Path) -> None:
    for place in ("one", "two"):
        write(tmp_path / place / "a.py", b"x = 1")
        write(tmp_path / place / "b.py", b"x = 2")
    same = files_identity(found(tmp_path / "one"))
    assert same == files_identity(found(tmp_path / "two"))
    write(tmp_path / "two" / "b.py", b"x = 3")
    changed = files_identity(found(tmp_path / "two"))
    write(tmp_path / "two" / "b.py", b"x = 2").rename(tmp_path / "two" / "c.py")
    assert len({same, changed, files_identity(found(tmp_path / "two"))}) == 3


def test_index_spares_reading_but_sees_every_change(tmp_path: Path) -> None:
    index, file = tmp_path / "index.json", write(tmp_path / "in" / "a.py", b"x = 1")
    first = files_identity(found(tmp_path / "in"), index)
    state = file.stat()
    file.write_bytes(b"x = 2")
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert files_identity(found(tmp_path / "in"), index) == first  # trusted: same size and time
    write(file, b"x = 2", age_seconds=50)
    assert files_identity(found(tmp_path / "in"), index) != first


def test_a_file_changed_just_now_is_not_trusted_to_the_index(tmp_path: Path) -> None:
    index, file = tmp_path / "index.json", write(tmp_path / "in" / "a.py", b"x = 1", age_seconds=0)
    first = files_identity(found(tmp_path / "in"), index)
    state = file.stat()
    file.write_bytes(b"x = 2")
    os.utime(file, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert files_identity(found(tmp_path / "in"), index) != first


def packed(name: str, data: bytes) -> bytes:
    if name.endswith(".gz"):
        return gzip.compress(data)
    if name.endswith(".zst"):
        half = len(data) // 2  # two frames in a row, as parallel compressors write them
        return b"".join(zstandard.compress(part) for part in (data[:half], data[half:]))
    return data


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst"])
def test_lines_are_numbered_and_the_overlong_are_cut(tmp_path: Path, name: str) -> None:
    data = b"one\n\n" + b"x" * 3_000_000 + b"\nlast"
    path = write(tmp_path / name, packed(name, data))
    got = [(line.number, line.data[:4], len(line.data), line.size_bytes) for line in lines(path, 1_000)]
    assert got == [(1, b"one", 3, 3), (2, b"", 0, 0), (3, b"xxxx", 1_000, 3_000_000), (4, b"last", 4, 4)]


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst"])
def test_a_truncated_file_gives_its_lines_and_says_so(tmp_path: Path, name: str) -> None:
    data = b"".join(os.urandom(40).hex().encode() + b"\n" for _ in range(60_000))
    whole = packed(name, data)
    path = write(tmp_path / name, whole[: len(whole) * 3 // 4])
    got: list[Line] = []
    with pytest.raises(Truncated):
        got.extend(lines(path, 1_000))
    assert len(got) > 1_000
    assert all(line.data + b"\n" == data[81 * (line.number - 1) : 81 * line.number] for line in got)


@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst"])
def test_wherever_a_file_is_cut_the_line_there_is_the_last_and_whole(tmp_path: Path, name: str) -> None:
    random = Random(1)
    rows = [b"%d %s" % (number, random.randbytes(number % 7).hex().encode()) for number in range(80)]
    path = write(tmp_path / name, packed(name, b"\n".join(rows)))
    for cut in range(path.stat().st_size + 1):
        got = [line.data for line in lines(path, 1_000, cut)]
        assert got == rows[: len(got)]
        assert abs(len(got) - len(rows) * cut / path.stat().st_size) < len(rows) / 2
    assert got == rows


def test_of_a_block_of_zstd_that_is_cut_as_much_counts_as_of_its_bytes(tmp_path: Path) -> None:
    data = b"".join(os.urandom(40).hex().encode() + b"\n" for _ in range(1_000))
    path = write(tmp_path / "a.zst", zstandard.compress(data))  # 81 kB: less than a block
    got = [sum(1 for _ in lines(path, 1_000, path.stat().st_size * share // 10)) for share in range(1, 10)]
    assert got == pytest.approx([1_000 * share / 10 for share in range(1, 10)], abs=5)


def test_members_of_gzip_are_read_to_the_cut_and_padding_is_none(tmp_path: Path) -> None:
    members = [gzip.compress(os.urandom(20).hex().encode() + b"\n") for _ in range(100)]
    path = write(tmp_path / "a.gz", b"".join(members) + bytes(40_000))
    assert len(list(lines(path, 1_000))) == 100
    assert len(list(lines(path, 1_000, sum(map(len, members[:50]))))) == 51
    with pytest.raises(Truncated):
        list(lines(write(tmp_path / "zeros.gz", bytes(100)), 1_000))


def test_found_file_has_the_name_alone(tmp_path: Path) -> None:
    file = found_file(write(tmp_path / "a.jsonl", b"12345"))
    assert (file.name, file.size_bytes) == ("a.jsonl", 5)
