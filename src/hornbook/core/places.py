"""Places: a path of this machine, or any URL that fsspec knows (s3://, gs://, hf://, memory://, file://, https://)."""

from __future__ import annotations

from typing import Any, BinaryIO, cast

from hornbook.core.errors import InputError


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
    """A file to read bytes from; of a URL only what is read is fetched."""
    if not is_url(place):
        return open(place, "rb")  # noqa: PTH123  (a Path costs as much as the reading)
    system, path = filesystem(place)
    return cast(BinaryIO, system.open(path, "rb"))
