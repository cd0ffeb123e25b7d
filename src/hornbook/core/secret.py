"""A secret of the user's own: what is sealed with it was made here."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path
from tempfile import NamedTemporaryFile

from hornbook.core.errors import StoreError

FILE = "secret"
BYTES = 32


def user_secret(folder: Path) -> bytes:
    """32 random bytes that only this user can read, made on first use and the same ever after.

    StoreError where they cannot be kept, or another could have read them.
    """
    path = folder / FILE
    try:
        if not path.exists():
            _make(path)
        with path.open("rb") as file:
            state, found = os.fstat(file.fileno()), file.read(BYTES + 1)
    except OSError as error:
        raise StoreError(
            f"{path} cannot be kept: {error.strerror}; make {folder} a folder that you can write to"
        ) from error
    if state.st_uid != os.geteuid() or state.st_mode & 0o077:
        raise StoreError(f"{path} is not this user's alone; remove it, and another is made")
    if len(found) != BYTES:
        raise StoreError(f"{path} is damaged; remove it, and another is made")
    return found


def _make(path: Path) -> None:
    """Whole or not at all; of several processes one makes it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}-") as file:
        file.write(secrets.token_bytes(BYTES))
        file.flush()
        os.fsync(file.fileno())
        with suppress(FileExistsError):
            path.hardlink_to(file.name)
