"""Verdicts kept on disk as they are reached, by contents: what was judged once is not judged again."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import secrets
import sys
from contextlib import ExitStack, suppress
from hmac import compare_digest
from importlib.metadata import distributions
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, BinaryIO, Self

from hornbook.benchmarks.problem import Problem, key_values
from hornbook.benchmarks.proof import TIMES_OWN_SECONDS
from hornbook.core.errors import InputError, StoreError
from hornbook.sandbox import Limits, Sandbox, Verdict

EDITION = 1
"""Raised by hand when the sandbox judges otherwise than before."""
Key = bytes
"""16 bytes."""


class Keys:
    """Keys of what is known to bear on a verdict, and seals under a secret of 32 bytes.

    A key is of the problem, the program, Python, the names and versions of installed packages, the sandbox's limits and
    its isolation; how fast the machine is is in none. A seal covers a whole row: who lacks the secret makes no row.
    """

    def __init__(self, sandbox: Sandbox, secret: bytes) -> None:
        self._settings = {
            **{"edition": EDITION, "python": sys.version, "mode": sandbox.mode, "packages": _packages()},
            **{"limits": _limit_fields(sandbox.limits), "times_own_seconds": TIMES_OWN_SECONDS},
            "isolation": sandbox.isolation,
        }
        self._begun: dict[Problem, Any] = {}
        self._keyed = hashlib.blake2b(digest_size=16, key=secret, person=b"key")
        self._sealed = hashlib.blake2b(digest_size=16, key=secret, person=b"seal")

    def key(self, problem: Problem, code: str) -> Key:
        """The key of a program's verdict on a problem."""
        if problem not in self._begun:
            text = json.dumps([self._settings, key_values(problem)], sort_keys=True)
            self._begun[problem] = self._keyed.copy()
            self._begun[problem].update(text.encode())
        digest = self._begun[problem].copy()
        digest.update(code.encode("utf-8", "surrogatepass"))
        key: Key = digest.digest()
        return key

    def row(self, key: Key, verdict: Verdict) -> dict[str, Any]:
        """A verdict as files hold it."""
        seconds = round(verdict.cpu_seconds, 6)
        return {
            "key": key.hex(),
            "outcome": verdict.outcome,
            "reason": verdict.reason,
            "cpu_seconds": seconds,
            "seal": self._seal(key.hex(), verdict.outcome, seconds, verdict.reason),
        }

    def read(self, line: bytes) -> tuple[Key, Verdict] | None:
        """The key and the verdict of a row that was made with the same secret and is as it was made."""
        try:
            found = json.loads(line)
            key, outcome, reason, seconds = (
                found[name] for name in ("key", "outcome", "reason", "cpu_seconds")
            )
            if not compare_digest(found["seal"], self._seal(key, outcome, seconds, reason)):
                return None
            return bytes.fromhex(key), Verdict(outcome, reason, seconds)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return None

    def _seal(self, key: str, outcome: str, seconds: float, reason: str) -> str:
        digest = self._sealed.copy()
        digest.update(json.dumps([key, outcome, seconds, reason]).encode())
        seal: str = digest.hexdigest()
        return seal


def _limit_fields(limits: Limits) -> dict[str, float]:
    """The limits as keys hold them. These names are part of every key: they never change."""
    return {
        "cpu_seconds": limits.cpu_seconds,
        "wall_seconds": limits.wall_seconds,
        "memory_bytes": limits.memory_bytes,
        "processes": limits.processes,
        "file_bytes": limits.file_bytes,
        "output_bytes": limits.output_bytes,
    }


def _packages() -> list[list[str]]:
    """Names and versions of all that is installed, and so of what programs can import."""
    return sorted([one.name, str(one.version)] for one in distributions() if "Name" in one.metadata)


class Kept:
    """The verdicts in a finished file and in an unfinished one beside it, to which new ones are added.

    Memory holds a key and a place of each, the files the rest. A line that is damaged, or was sealed with another
    secret, counts as none, and so does a timeout of before: limits follow the machine. A context manager; InputError
    where the unfinished file cannot be written, or another process writes it. `fresh`: nothing of before counts.
    """

    def __init__(self, finished: Path, keys: Keys, fresh: bool = False) -> None:
        self.unfinished = finished.with_name(f"{finished.name}.unfinished")
        self._keys = keys
        with ExitStack() as opened:
            self._writer = opened.enter_context(_locked(self.unfinished))
            if fresh:
                self._writer.truncate(0)
            others = [finished] if finished.exists() and not fresh else []
            self._files = [_lines(path, keys, opened) for path in (self.unfinished, *others)]
            if not self._files[0].ends_whole:
                self._files[0].size += self._write(b"\n")
            self._opened = opened.pop_all()

    def __contains__(self, key: Key) -> bool:
        return any(key in file.places for file in self._files)

    def __getitem__(self, key: Key) -> Verdict:
        """The verdict of this key; KeyError where there is none."""
        for file in self._files:
            if key in file.places:
                return file.read(key)
        raise KeyError(key.hex())

    def __len__(self) -> int:
        return sum(len(file.places) for file in self._files)

    def add(self, key: Key, verdict: Verdict) -> None:
        """Handed to the system when this returns: a killed process loses nothing."""
        line = json.dumps(self._keys.row(key, verdict)).encode() + b"\n"
        place = self._files[0].size
        self._files[0].size += self._write(line)
        self._files[0].places[key] = place

    def _write(self, line: bytes) -> int:
        try:
            if self._writer.write(line) == len(line):
                return len(line)
        except OSError:
            pass
        raise InputError(
            f"{self.unfinished} cannot be written any more; free space and run the same command again: the verdicts"
            " in it are kept"
        )

    def finish(self) -> None:
        """Remove the unfinished file, now that the finished one holds all of it that is wanted."""
        self.unfinished.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if not self._files[0].size:
            self.finish()
        self._opened.close()


class _Lines:
    """A file of rows, and where the line of each key begins."""

    def __init__(self, reader: BinaryIO, keys: Keys) -> None:
        self._reader = reader
        self._keys = keys
        self.places: dict[Key, int] = {}
        self.size = 0
        self.ends_whole = True
        for line in reader:
            if (found := keys.read(line)) and found[1].outcome != "timeout":
                self.places[found[0]] = self.size
            self.size += len(line)
            self.ends_whole = line.endswith(b"\n")

    def read(self, key: Key) -> Verdict:
        """KeyError where the file has changed since."""
        self._reader.seek(self.places[key])
        found = self._keys.read(self._reader.readline())
        if not found or found[0] != key:
            raise KeyError(key.hex())
        return found[1]


def _lines(path: Path, keys: Keys, opened: ExitStack) -> _Lines:
    try:
        return _Lines(opened.enter_context(path.open("rb")), keys)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; name another with --out") from error


def _locked(path: Path) -> io.FileIO:
    """The file open for appending, by this process alone where the filesystem has locks."""
    while True:
        try:
            file = path.open("ab", buffering=0)
        except OSError as error:
            raise InputError(
                f"{path.parent} cannot be written to: {error.strerror}; name another place with --out"
            ) from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            file.close()
            raise InputError(
                f"another hornbook score is writing {path}; wait for it, or name another place with --out"
            ) from error
        except OSError:
            pass  # Lustre and NFS may have no locks
        # Whoever held the lock may have removed the file since it was opened here.
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()


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
