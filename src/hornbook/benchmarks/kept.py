"""Verdicts kept on disk as they are reached, by contents: what was judged once is not judged again."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import sys
from dataclasses import asdict, astuple
from pathlib import Path
from typing import Any, Self, get_args

from hornbook.benchmarks.problem import Problem
from hornbook.benchmarks.proof import TIMES_OWN_SECONDS
from hornbook.core.errors import InputError
from hornbook.sandbox import Sandbox, Verdict
from hornbook.sandbox.program import Outcome

EDITION = 1
"""Raised by hand when the sandbox judges otherwise than before."""
OUTCOMES = get_args(Outcome)
Key = bytes
"""16 bytes."""


class Keys:
    """Keys of all that a verdict depends on: problem, program, Python, the sandbox's limits and its isolation."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._settings = {
            **{"edition": EDITION, "python": sys.version, "mode": sandbox.mode},
            **{"limits": asdict(sandbox.limits), "times_own_seconds": TIMES_OWN_SECONDS},
            "isolation": sandbox.isolation,
        }
        self._begun: dict[Problem, Any] = {}

    def key(self, problem: Problem, code: str) -> Key:
        """The key of a program's verdict on a problem."""
        if problem not in self._begun:
            text = json.dumps([self._settings, astuple(problem)], sort_keys=True)
            self._begun[problem] = hashlib.blake2b(text.encode(), digest_size=16)
        digest = self._begun[problem].copy()
        digest.update(code.encode("utf-8", "surrogatepass"))
        key: Key = digest.digest()
        return key


def row(key: Key, verdict: Verdict) -> dict[str, Any]:
    """A verdict as files hold it."""
    return {
        "key": key.hex(),
        "outcome": verdict.outcome,
        "reason": verdict.reason,
        "cpu_seconds": round(verdict.cpu_seconds, 6),
    }


class Kept:
    """The verdicts in a finished file and in an unfinished one beside it, to which new ones are added.

    Memory holds a key and a place of each, the files the rest. A line that is damaged counts as none. A context
    manager; InputError where the unfinished file cannot be written, or another process writes it.
    """

    def __init__(self, finished: Path) -> None:
        self.unfinished = finished.with_name(f"{finished.name}.unfinished")
        self._writer = _locked(self.unfinished)
        try:
            self._files = [_Lines(path) for path in (self.unfinished, finished) if path.exists()]
        except OSError as error:
            self._writer.close()
            raise InputError(
                f"{error.filename} cannot be read: {error.strerror}; name another with --out"
            ) from error
        if not self._files[0].ends_whole:
            self._files[0].size += self._writer.write(b"\n")

    def __contains__(self, key: Key) -> bool:
        return any(key in file.places for file in self._files)

    def __getitem__(self, key: Key) -> Verdict:
        """The verdict of this key; KeyError where there is none."""
        for file in self._files:
            if key in file.places:
                found = file.read(key)
                return Verdict(found["outcome"], found["reason"], found["cpu_seconds"])
        raise KeyError(key.hex())

    def __len__(self) -> int:
        return sum(len(file.places) for file in self._files)

    def add(self, key: Key, verdict: Verdict) -> None:
        """Handed to the system when this returns: a killed process loses nothing."""
        line = json.dumps(row(key, verdict)).encode() + b"\n"
        try:
            whole = self._writer.write(line) == len(line)
        except OSError:
            whole = False
        if not whole:
            raise InputError(
                f"{self.unfinished} cannot be written any more; free space and run the same command again: the verdicts"
                " in it are kept"
            )
        self._files[0].places[key] = self._files[0].size
        self._files[0].size += len(line)

    def finish(self) -> None:
        """Remove the unfinished file, now that the finished one holds all of it that is wanted."""
        self.unfinished.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if not self._files[0].size:
            self.finish()
        for file in self._files:
            file.reader.close()
        self._writer.close()


class _Lines:
    """A file of rows, and where the line of each key begins."""

    def __init__(self, path: Path) -> None:
        self.reader = path.open("rb")
        self.places: dict[Key, int] = {}
        self.size = 0
        self.ends_whole = True
        for line in self.reader:
            if key := _key(line):
                self.places[key] = self.size
            self.size += len(line)
            self.ends_whole = line.endswith(b"\n")

    def read(self, key: Key) -> dict[str, Any]:
        self.reader.seek(self.places[key])
        found: dict[str, Any] = json.loads(self.reader.readline())
        return found


def _key(line: bytes) -> Key | None:
    """The key of a line that holds a whole verdict."""
    try:
        found = json.loads(line)
        key = bytes.fromhex(found["key"])
        whole = found["outcome"] in OUTCOMES and isinstance(found["reason"], str) and len(key) == 16
        return key if whole and float(found["cpu_seconds"]) >= 0 else None
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def _locked(path: Path) -> io.FileIO:
    """The file open for appending, by this process alone."""
    try:
        file = path.open("ab", buffering=0)
    except OSError as error:
        raise InputError(
            f"{path.parent} cannot be written to: {error.strerror}; name another place with --out"
        ) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise InputError(
            f"another hornbook score is writing {path}; wait for it, or name another place with --out"
        ) from error
    return file
