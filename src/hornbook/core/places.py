"""Places: a path of this machine, or any URL that fsspec knows (s3://, gs://, hf://, memory://, file://, https://)."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, BinaryIO, cast

from hornbook.core.errors import HornbookError, InputError, first_line


class Unreachable(Exception):
    """What is behind a URL could not be read just now: worth another try, and no fault of the file."""


def is_url(place: str) -> bool:
    return "://" in place


def filesystem(place: str) -> tuple[Any, str]:
    """The fsspec filesystem of a URL and the path inside it; InputError names a package that is missing."""
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(place)
    except (ImportError, ValueError) as error:
        raise InputError(f"{place} cannot be reached: {error}") from error
    return system, path


def open_place(place: str) -> BinaryIO:
    """A file to read bytes from; of a URL only what is read is fetched, and a failure is Unreachable."""
    if not is_url(place):
        return open(place, "rb")  # noqa: PTH123  (a Path costs as much as the reading)
    system, path = filesystem(place)
    with reaching(place):
        return cast(BinaryIO, _Far(place, system.open(path, "rb")))


@contextmanager
def reaching(place: str) -> Iterator[None]:
    """Every filesystem and network library has errors of its own: all of them become Unreachable."""
    try:
        yield
    except (HornbookError, Unreachable):
        raise
    except Exception as error:
        raise Unreachable(
            f"{place} cannot be read: {first_line(error)}; check the address, the credentials and the network"
        ) from error


class _Far(io.RawIOBase):
    """A file behind a URL."""

    def __init__(self, place: str, file: Any) -> None:
        self.place = place
        self.file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return int(self.file.tell())

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self.file.seek(offset, whence))

    def readinto(self, buffer: Any) -> int:
        with reaching(self.place):
            data = self.file.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def readall(self) -> bytes:
        with reaching(self.place):
            return bytes(self.file.read())

    def close(self) -> None:
        self.file.close()
        super().close()
