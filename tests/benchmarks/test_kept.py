"""Kept verdicts: found again by contents, and by nothing else; a damaged file costs its damaged lines alone."""

from __future__ import annotations

import json
import resource
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hornbook.benchmarks import load
from hornbook.benchmarks.kept import Kept, Keys
from hornbook.core.errors import InputError
from hornbook.sandbox import Limits, Verdict

PROBLEM = load("humaneval")[0]
SANDBOX = SimpleNamespace(limits=Limits(), mode="strict", isolation=("seccomp", "landlock"))
FAILED = Verdict("failed", "AssertionError: line\nbreak \udcff", 0.25)


def keys(**changes: Any) -> Keys:
    return Keys(SimpleNamespace(**{**vars(SANDBOX), **changes}))  # type: ignore[arg-type]


def test_a_key_follows_all_that_a_verdict_depends_on_and_nothing_else() -> None:
    first = keys().key(PROBLEM, "x = 1")
    assert keys().key(replace(PROBLEM), "x = 1") == first
    others = [
        keys().key(PROBLEM, "x = 2"),
        keys().key(replace(PROBLEM, tests=PROBLEM.tests + " "), "x = 1"),
        keys(limits=Limits(cpu_seconds=4)).key(PROBLEM, "x = 1"),
        keys(mode="fast").key(PROBLEM, "x = 1"),
        keys(isolation=("seccomp",)).key(PROBLEM, "x = 1"),
    ]
    assert len({first, *others}) == 6


def test_verdicts_outlive_the_process_until_the_finished_file_has_them(tmp_path: Path) -> None:
    one, two = (keys().key(PROBLEM, code) for code in ("1", "2"))
    with Kept(tmp_path / "out") as kept:
        kept.add(one, FAILED)
        kept.add(two, Verdict("passed"))
        assert kept[one] == FAILED
    with Kept(tmp_path / "out") as kept:
        assert (kept[one], kept[two], len(kept)) == (FAILED, Verdict("passed"), 2)
        kept.unfinished.rename(tmp_path / "out")
    with Kept(tmp_path / "out") as kept:
        assert kept[one] == FAILED
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    "tail", [b'{"key": "00', b"\0" * 4096, b"[" * 100_000, b'{"key": "zz"}\n', b"\xff\xfe\n", b"3\n"]
)
def test_a_damaged_tail_costs_no_other_line(tail: bytes, tmp_path: Path) -> None:
    one, two = (keys().key(PROBLEM, code) for code in ("1", "2"))
    with Kept(tmp_path / "out") as kept:
        kept.add(one, FAILED)
    with kept.unfinished.open("ab") as file:
        file.write(tail)
    for _ in range(2):
        with Kept(tmp_path / "out") as kept:
            kept.add(two, Verdict("timeout", "3 s", 3.0))
            assert (kept[one], kept[two].outcome) == (FAILED, "timeout")


def test_a_line_whose_verdict_is_none_is_none(tmp_path: Path) -> None:
    one = keys().key(PROBLEM, "1")
    row = {"key": one.hex(), "outcome": "quarantined", "reason": "", "cpu_seconds": 0}
    (tmp_path / "out").write_text(json.dumps(row) + "\n")
    with Kept(tmp_path / "out") as kept:
        assert one not in kept
        with pytest.raises(KeyError):
            kept[one]


def test_two_processes_do_not_write_one_file(tmp_path: Path) -> None:
    with (
        Kept(tmp_path / "out"),
        pytest.raises(InputError, match=r"another hornbook score is writing .*out\.unfinished"),
    ):
        Kept(tmp_path / "out")


def test_a_full_disk_is_told_and_costs_nothing_that_was_kept(tmp_path: Path) -> None:
    one, two = (keys().key(PROBLEM, code) for code in ("1", "2"))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Kept(tmp_path / "out") as kept:
        kept.add(one, FAILED)
        size = kept.unfinished.stat().st_size
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + 9, limits[1]))
        try:
            with pytest.raises(InputError, match="free space and run the same command again"):
                kept.add(two, FAILED)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    with Kept(tmp_path / "out") as kept:
        assert kept[one] == FAILED
        assert two not in kept
