"""Places: a path of this machine, or any URL that fsspec knows (s3://, gs://, hf://, memory://, file://, https://)."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
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


COMMIT = re.compile(r"[0-9a-f]{40}")
REASONS = {
    "GatedRepoError": "it is gated: accept its terms there, then log in with `hf auth login`",
    "RepositoryNotFoundError": "there is none of that name, or you may not see it",
    "RevisionNotFoundError": "it has no such branch, tag or commit",
}
"""What the client's errors mean, whose texts begin with a number."""


@lru_cache(maxsize=256)
def commit_of(name: str, revision: str, kind: str = "model") -> str:
    """The commit of a repository (`owner/name`, of kind model or dataset): one answer for the whole process.

    Without a network, what its client last fetched under that revision. InputError where nobody knows.
    """
    if COMMIT.fullmatch(revision):
        return revision
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HFValidationError

    try:
        return str(HfApi().repo_info(name, revision=revision, repo_type=kind).sha)
    except HFValidationError as error:
        raise InputError(
            f"{name} is neither a folder nor a name on the Hugging Face Hub, as in owner/name"
        ) from error
    except Exception as error:  # the client's, the network's, the server's
        fetched = _last_fetched(name, revision, kind)
        if fetched:
            return fetched
        reason = REASONS.get(type(error).__name__) or first_line(error)
        raise InputError(
            f"{revision} of the {kind} {name} cannot be looked up on the Hugging Face Hub ({reason}); check the "
            "spelling, the access and the network, or name a commit"
        ) from error


def moving(name: str, revision: str, kind: str = "model") -> Mapping[str, str]:
    """`name@revision` -> its commit today, where the revision is none itself; else nothing."""
    return {} if COMMIT.fullmatch(revision) else {f"{name}@{revision}": commit_of(name, revision, kind)}


def _last_fetched(name: str, revision: str, kind: str) -> str:
    from huggingface_hub import constants
    from huggingface_hub.file_download import repo_folder_name

    path = Path(constants.HF_HUB_CACHE) / repo_folder_name(repo_id=name, repo_type=kind) / "refs" / revision
    return path.read_text(encoding="utf-8").strip() if path.is_file() else ""
