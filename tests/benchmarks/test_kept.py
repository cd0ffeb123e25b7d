"""Kept verdicts: found again by contents, and by nothing else; a damaged file costs its damaged lines alone."""

from __future__ import annotations

import errno
import fcntl
import json
import resource
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hornbook.benchmarks import load
from hornbook.benchmarks.verdict_cache import Kept, Keys
from hornbook.core.errors import InputError
from hornbook.sandbox import Limits, Verdict

PROBLEM = load("humaneval")[0]
SANDBOX = SimpleNamespace(limits=Limits(), mode="strict", isolation=("seccomp", "landlock"))
FAILED = Verdict("failed", "AssertionError: line\nbreak \udcff", 0.25)


SECRET, OTHERS = bytes(32), bytes(31) + b"1"


def keys(secret: bytes = SECRET, **changes: Any) -> Keys:
    return Keys(SimpleNamespace(**{**vars(SANDBOX), **changes}), secret)  # type: ignore[arg-type]


def opened(path: Path, fresh: bool = False) -> Kept:
    return Kept(path, keys(), fresh)


def install(name: str, version: str, folder: Path) -> None:
    (folder / f"{name}-{version}.dist-info").mkdir()
    (folder / f"{name}-{version}.dist-info" / "METADATA").write_text(f"Name: {name}\nVersion: {version}\n")


def test_a_key_follows_all_that_a_verdict_depends_on_and_nothing_else() -> None:
    first = keys().key(PROBLEM, "x = 1")
    assert keys().key(replace(PROBLEM), "x = 1") == first
    others = [
        keys().key(PROBLEM, "x = 2"),
        keys().key(replace(PROBLEM, tests=PROBLEM.tests + " "), "x = 1"),
        keys(limits=Limits(cpu_seconds=4)).key(PROBLEM, "x = 1"),
        keys(mode="fast").key(PROBLEM, "x = 1"),
        keys(isolation=("seccomp",)).key(PROBLEM, "x = 1"),
        keys(OTHERS).key(PROBLEM, "x = 1"),
    ]
    assert len({first, *others}) == 7


def test_a_key_follows_what_programs_can_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    found = [keys().key(PROBLEM, "x = 1")]
    (tmp_path / "broken-1.dist-info").mkdir()
    assert keys().key(PROBLEM, "x = 1") == found[0]
    for version in ("1.0", "1.1"):
        install("hornbook_tests_only", version, tmp_path)
        found.append(keys().key(PROBLEM, "x = 1"))
    assert len(set(found)) == 3


@pytest.mark.parametrize("where", ["out", "out.unfinished"])
def test_a_row_made_or_changed_elsewhere_counts_as_none(where: str, tmp_path: Path) -> None:
    verdict = Verdict("failed", "own", 0.25)
    one = keys().key(PROBLEM, "1")
    own = keys().row(one, verdict)
    two = keys().key(PROBLEM, "2").hex()
    forged = [
        {**own, "outcome": "passed"},
        {**own, "reason": "other"},
        {**own, "cpu_seconds": 0.5},
        {**own, "key": two},
        {**own, "outcome": "failed 0.25 own"},
        {**own, "seal": ""},
        {**own, "seal": None},
        {**own, "seal": keys().row(bytes.fromhex(two), verdict)["seal"]},
        {name: value for name, value in own.items() if name != "seal"},
        keys(OTHERS).row(one, Verdict("passed")),
        keys(OTHERS).row(keys(OTHERS).key(PROBLEM, "1"), Verdict("passed")),
    ]
    (tmp_path / where).write_text("".join(json.dumps(row) + "\n" for row in forged))
    with opened(tmp_path / "out") as kept:
        assert (len(kept), one in kept) == (0, False)
    (tmp_path / where).write_text(json.dumps({"line": 1, **own}) + "\n")
    with opened(tmp_path / "out") as kept:
        assert kept[one] == verdict
        (tmp_path / where).write_text(json.dumps({"line": 1, **forged[0]}) + "\n")
        with pytest.raises(KeyError):
            kept[one]


def test_a_timeout_counts_while_it_is_new_and_not_later(tmp_path: Path) -> None:
    one = keys().key(PROBLEM, "1")
    for _ in range(2):
        with opened(tmp_path / "out") as kept:
            assert one not in kept
            kept.add(one, Verdict("timeout", "3 s", 3.0))
            assert kept[one].outcome == "timeout"


def test_fresh_knows_nothing_of_before(tmp_path: Path) -> None:
    one, two = (keys().key(PROBLEM, code) for code in ("1", "2"))
    (tmp_path / "out").write_text(json.dumps(keys().row(one, FAILED)) + "\n")
    with opened(tmp_path / "out") as kept:
        kept.add(two, FAILED)
    with opened(tmp_path / "out", fresh=True) as kept:
        assert len(kept) == 0
        kept.add(two, Verdict("passed"))
    with opened(tmp_path / "out") as kept:
        assert (kept[one], kept[two]) == (FAILED, Verdict("passed"))


def test_verdicts_outlive_the_process_until_the_finished_file_has_them(tmp_path: Path) -> None:
    one, two = (keys().key(PROBLEM, code) for code in ("1", "2"))
    with opened(tmp_path / "out") as kept:
        kept.add(one, FAILED)
        kept.add(two, Verdict("passed"))
        assert kept[one] == FAILED
    with opened(tmp_path / "out") as kept:
        assert (kept[one], kept[two], len(kept)) == (FAILED, Verdict("passed"), 2)
        kept.unfinished.rename(tmp_path / "out")
    with opened(tmp_path / "out") as kept:
        assert kept[one] == FAILED
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    "tail", [b'{"key": "00', b"\0" * 4096, b"[" * 100_000, b'{"key": "zz"}\n', b"\xff\xfe\n", b"3\n"]
)
def test_a_damaged_tail_costs_no_other_line(tail: bytes, tmp_path: Path) -> None:
    one, two = (keys().key(PROBLEM, code) for code in ("1", "2"))
    with opened(tmp_path / "out") as kept:
        kept.add(one, FAILED)
    with kept.unfinished.open("ab") as file:
        file.write(tail)
    for _ in range(2):
        with opened(tmp_path / "out") as kept:
            kept.add(two, Verdict("timeout", "3 s", 3.0))
            assert (kept[one], kept[two].outcome) == (FAILED, "timeout")


def test_two_processes_do_not_write_one_file(tmp_path: Path) -> None:
    with (
        opened(tmp_path / "out"),
        pytest.raises(InputError, match=r"another hornbook score is writing .*out\.unfinished"),
    ):
        opened(tmp_path / "out")


def test_a_filesystem_without_locks_is_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    one = keys().key(PROBLEM, "1")
    with opened(tmp_path / "out") as kept:
        kept.add(one, FAILED)
    with opened(tmp_path / "out") as kept:
        assert kept[one] == FAILED


def test_a_file_removed_before_it_was_locked_is_opened_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real, calls = tmp_path / "out.unfinished", fcntl.flock, []

    def flock(file: Any, how: int) -> None:
        calls.append(how)
        if len(calls) == 1:
            path.unlink()
        elif len(calls) == 2:
            path.unlink()
            path.touch()
        real(file, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    one = keys().key(PROBLEM, "1")
    with opened(tmp_path / "out") as kept:
        kept.add(one, FAILED)
        assert kept[one] == FAILED
        with pytest.raises(InputError, match="another hornbook score"):
            opened(tmp_path / "out")
    with opened(tmp_path / "out") as kept:
        assert kept[one] == FAILED


def test_a_disk_still_full_is_told(tmp_path: Path) -> None:
    path = tmp_path / "out.unfinished"
    path.write_bytes(b'{"key": "00')
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size, limits[1]))
    try:
        with pytest.raises(InputError, match="free space and run the same command again"):
            opened(tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with opened(tmp_path / "out") as kept:
        assert len(kept) == 0


def test_a_full_disk_is_told_and_costs_nothing_that_was_kept(tmp_path: Path) -> None:
    one, two = (keys().key(PROBLEM, code) for code in ("1", "2"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with opened(tmp_path / "out") as kept:
        kept.add(one, FAILED)
        size = kept.unfinished.stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 9, limits[1]))
        try:
            with pytest.raises(InputError, match="free space and run the same command again"):
                kept.add(two, FAILED)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with opened(tmp_path / "out") as kept:
        assert kept[one] == FAILED
        assert two not in kept
