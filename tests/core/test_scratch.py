"""Scratch folders go when they are closed, and those of dead processes when the next is made."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hornbook.core.scratch import YOUNG_SECONDS, Scratch, remove_abandoned, scratch

KILLED = """
import os, signal
from hornbook.core.scratch import Scratch
print(Scratch("launch").path, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    remove_abandoned.cache_clear()
    return tmp_path


def _age(folder: Path) -> None:
    long_ago = folder.stat().st_mtime - 2 * YOUNG_SECONDS
    os.utime(folder, (long_ago, long_ago))


def test_what_a_killed_process_left_is_removed_and_nothing_else(place: Path) -> None:
    command = [sys.executable, "-c", KILLED]
    env = {**os.environ, "TMPDIR": str(place)}
    abandoned = Path(subprocess.run(command, env=env, capture_output=True, text=True).stdout.strip())  # noqa: PLW1510
    (abandoned / "log").write_text("x")
    living = Scratch("sandbox")
    foreign = place / "hornbook-data-12345678"
    foreign.mkdir()
    for folder in (abandoned, living.path, foreign):
        _age(folder)
    remove_abandoned.cache_clear()
    with scratch("launch") as made:
        assert set(place.iterdir()) == {living.path, foreign, made}
    living.close()
    living.close()
    assert set(place.iterdir()) == {foreign}


def test_a_folder_that_may_be_waiting_for_its_lock_stays(place: Path) -> None:
    young = place / "hornbook-sandbox-abcdefgh"
    young.mkdir()
    remove_abandoned(str(place))
    assert young.exists()
    _age(young)
    remove_abandoned.cache_clear()
    remove_abandoned(str(place))
    assert not young.exists()
