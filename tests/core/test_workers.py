from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from hornbook.core.errors import StageError
from hornbook.core.workers import Pool, open_workers


def _square(number: int) -> int:
    return number * number


def _die(number: int) -> int:
    os.kill(os.getpid(), signal.SIGKILL)
    return number


def test_results_come_in_order() -> None:
    pool = Pool(2)
    try:
        assert list(pool.map(_square, range(20))) == [n * n for n in range(20)]
    finally:
        pool.close()


def test_items_are_taken_only_a_few_ahead() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(1000):
            taken += 1
            yield number

    pool = Pool(2)
    try:
        next(pool.map(_square, items()))
        assert taken < 10
    finally:
        pool.close()


def test_a_dead_worker_is_an_error_not_a_hang() -> None:
    pool = Pool(2)
    try:
        with pytest.raises(StageError, match="worker process died"):
            list(pool.map(_die, range(3)))
        assert list(pool.map(_square, [3])) == [9]
    finally:
        pool.close()


def test_one_worker_is_this_process() -> None:
    assert list(open_workers("pool", 1).map(lambda _: os.getpid(), [0])) == [os.getpid()]


PARENT = """
import time
from hornbook.core.workers import Pool
from own_pid import own_pid
if __name__ == "__main__":
    pool = Pool(2)
    print(next(pool.map(own_pid, range(2))), flush=True)
    time.sleep(60)
"""


def test_workers_die_with_a_killed_parent(tmp_path: Path) -> None:
    (tmp_path / "parent.py").write_text(PARENT)
    (tmp_path / "own_pid.py").write_text("import os\n\n\ndef own_pid(_):\n    return os.getpid()\n")
    parent = subprocess.Popen([sys.executable, "parent.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent.stdout:
        worker = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and _alive(worker):
        time.sleep(0.05)
    assert not _alive(worker)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
