"""Files as input: what is in them (identity), and their lines, however long or broken."""

from __future__ import annotations

import contextlib
import os
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import xxhash

from hornbook.core.errors import InputError
from hornbook.core.fs import filesystem, open_place, reaching
from hornbook.core.shards import write_bytes

CHUNK_BYTES = 1 << 20
PACKED_CHUNK_BYTES = 1 << 14
"""Small, since a chunk may unpack to many times its size."""
_SETTLED_NS = 2_000_000_000
"""A file changed this shortly before it was hashed may change again under the same mtime: not indexed."""


@dataclass(frozen=True, slots=True)
class Found:
    """A file found in a folder: its name relative to that folder with forward slashes, where it is, its size.

    The size is 0 where a store does not tell it.
    """

    name: str
    path: str
    """A path, or a URL."""
    size_bytes: int
    mtime_ns: int = 0
    version: str = ""
    """What its store calls its contents (a git blob, an ETag): different contents, different version."""
    meta: Mapping[str, str] = field(default_factory=dict)


def walk(folder: Path, suffix: str = "", skip: frozenset[str] = frozenset()) -> Iterator[Found]:
    """All regular files below a folder whose name ends in `suffix`, sorted by name within each folder.

    Folders named in `skip`, and links to folders, are not entered.
    """
    waiting = [(str(folder), "")]
    while waiting:
        place, prefix = waiting.pop()
        with os.scandir(place) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            is_folder = entry.is_dir(follow_symlinks=False)
            if is_folder and entry.name not in skip:
                waiting.append((entry.path, f"{prefix}{entry.name}/"))
            elif not is_folder and entry.name.endswith(suffix) and entry.is_file():
                state = entry.stat()
                yield Found(_shown(prefix + entry.name), entry.path, state.st_size, state.st_mtime_ns)


VERSIONS = ("blob_id", "ETag", "etag", "md5Hash", "content_md5", "crc32c")
"""What object stores and the Hub call the version of a file, the most telling first."""


def walk_url(url: str, suffixes: tuple[str, ...], skip: frozenset[str] = frozenset()) -> Iterator[Found]:
    """The file at a URL, or all below it whose names end so, without those in folders named in `skip`."""
    system, root = filesystem(url)
    with reaching(url):
        infos = system.find(root, detail=True)
    if not infos:
        raise InputError(f"{url} does not exist, or holds no file")
    for path, info in sorted(infos.items()):
        name = path.removeprefix(root).lstrip("/") or path.rpartition("/")[2]
        if name.endswith(suffixes) and skip.isdisjoint(name.split("/")[:-1]):
            version = next((str(info[key]) for key in VERSIONS if info.get(key)), "")
            yield Found(name, system.unstrip_protocol(path), int(info.get("size") or 0), version=version)


def renamed(files: Iterable[Found], prefix: str) -> Iterator[Found]:
    """The files with a prefix before each name."""
    return (replace(found, name=prefix + found.name) for found in files)


def found_file(path: Path) -> Found:
    """One file by its path."""
    state = path.stat()
    return Found(_shown(path.name), str(path), state.st_size, state.st_mtime_ns)


def _shown(name: str) -> str:
    """A name on disk as text: bytes that are not UTF-8 are spelt out, as in caf\\xe9.py."""
    return name if name.isascii() else os.fsencode(name).decode("utf-8", "backslashreplace")


def files_identity(files: Mapping[str, Found], index_path: Path | None = None) -> str:
    """The hash of all names and contents, independent of where the files are; an unreadable file counts as such.

    With `index_path`, a file whose size and modification time are as in the index is not read again.
    """
    index: dict[str, list[int | str]] = {}
    if index_path is not None and index_path.exists():
        with contextlib.suppress(OSError, orjson.JSONDecodeError):  # a lost index costs time alone
            index = orjson.loads(index_path.read_bytes())
    hasher = xxhash.xxh3_128()
    fresh: dict[str, list[int | str]] = {}
    settled_before = time.time_ns() - _SETTLED_NS
    for name in sorted(files):
        file = files[name]
        if file.version:
            hasher.update(f"{name}\0{file.version}\n".encode("utf-8", "surrogatepass"))
            continue
        place = _shown(file.path)
        known = index.get(place)
        if known is None or not file.mtime_ns or known[:2] != [file.size_bytes, file.mtime_ns]:
            known = [file.size_bytes, file.mtime_ns, _content_hash(file.path)]
            if 0 < file.mtime_ns < settled_before:
                fresh[place] = known
        hasher.update(f"{name}\0{known[2]}\n".encode("utf-8", "surrogatepass"))
    if index_path is not None and fresh:
        write_bytes(index_path, orjson.dumps({**index, **fresh}))
    return hasher.hexdigest()


def _content_hash(path: str) -> str:
    hasher = xxhash.xxh3_128()
    try:
        with open_place(path) as file:
            for chunk in _plain_chunks(_Beginning(file)):
                hasher.update(chunk)
    except OSError:
        return "unreadable"
    return hasher.hexdigest()


class Truncated(Exception):
    """A compressed file ends, or breaks, before its end mark."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file: its number from 1, its first bytes, and how many bytes it has in all."""

    number: int
    data: bytes
    size_bytes: int


def lines(path: Path | str, max_line_bytes: int, first_bytes: int | None = None) -> Iterator[Line]:
    """The lines of a plain, .gz or .zst file at a path or URL, in bounded memory.

    Of a line longer than `max_line_bytes` only that much is kept. Truncated is raised after the last whole
    chunk of a damaged compressed file. With `first_bytes`, of the file as it is packed, the line that they end in is
    the last, and only what is missing of it, or of the block that it is packed in, is read beyond them; of a block
    of zstd that they end in, which unpacks all at once, as large a share of its lines counts as of its bytes.
    """
    place = str(path)
    chunks = next((read for suffix, read in CHUNKS.items() if place.endswith(suffix)), _plain_chunks)
    number, kept, size = 1, bytearray(), 0
    with open_place(place) as whole:
        file = _Beginning(whole, first_bytes)
        for chunk in chunks(file):
            *ended, rest = chunk.split(b"\n")
            for part in ended[: file.lines_before(len(ended))]:
                kept += part[: max(max_line_bytes - len(kept), 0)]
                yield Line(number, bytes(kept), size + len(part))
                number, size = number + 1, 0
                kept.clear()
            if ended and file.is_passed:
                return
            kept += rest[: max(max_line_bytes - len(kept), 0)]
            size += len(rest)
            if chunk:
                file.given = file.taken
    if size:
        yield Line(number, bytes(kept), size)


class _Beginning:
    """An open file that is read in small pieces once its first bytes have been."""

    def __init__(self, file: BinaryIO, first_bytes: int | None = None) -> None:
        self.file = file
        self.first_bytes = first_bytes
        self.is_passed = False
        self.taken = self.given = 0
        """Bytes read so far, and those of them that what was unpacked before came from."""

    def read(self, size: int) -> bytes:
        if self.first_bytes is not None:
            left = max(self.first_bytes - self.taken, 0)
            self.is_passed = not left
            size = min(size, left or PACKED_CHUNK_BYTES)
        data = self.file.read(size)
        self.taken += len(data)
        return data

    def lines_before(self, count: int) -> int:
        """Of so many lines just unpacked, those that belong to the first bytes; one of them at least."""
        if self.first_bytes is None or not self.is_passed:
            return count
        share = (self.first_bytes - self.given) / max(self.taken - self.given, 1)
        return max(1, int(share * count))


def _plain_chunks(file: _Beginning) -> Iterator[bytes]:
    while chunk := file.read(CHUNK_BYTES):
        yield chunk


def _gzip_chunks(file: _Beginning) -> Iterator[bytes]:
    return _unpacked(file, lambda: zlib.decompressobj(31), zlib.error)


def _zstd_chunks(file: _Beginning) -> Iterator[bytes]:
    import zstandard

    return _unpacked(file, zstandard.ZstdDecompressor().decompressobj, zstandard.ZstdError)


def _unpacked(file: _Beginning, new_frame: Callable[[], Any], broken: type[Exception]) -> Iterator[bytes]:
    """What a file's frames (gzip: members) hold; zeros may stand behind one."""
    frame, rest, inside, padding = new_frame(), b"", False, b""
    while chunk := rest or file.read(PACKED_CHUNK_BYTES):
        rest, packed = b"", chunk if inside else chunk.lstrip(padding)
        if not packed:
            continue
        try:
            yield frame.decompress(packed)
        except broken as error:
            raise Truncated(str(error)) from error
        inside, rest = not frame.eof, frame.unused_data
        if frame.eof:
            frame, padding = new_frame(), b"\0"
    if inside:
        raise Truncated("the file ends before what is packed in it does")


CHUNKS: dict[str, Callable[[_Beginning], Iterator[bytes]]] = {".gz": _gzip_chunks, ".zst": _zstd_chunks}
