"""What the Tab key offers, asked as a shell asks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hornbook.core.shards import write_json


def _offered(words: str, folder: Path) -> list[str]:
    asked = {"_HORNBOOK_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(words.count(" "))}
    done = subprocess.run(
        [sys.executable, "-c", "from hornbook.cli.main import app; app(prog_name='hornbook')"],
        env={**os.environ, **asked},
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("hornbook run na", ["nano"]),
        ("hornbook run m", ["mine.toml", "more/"]),
        ("hornbook plan more/", ["more/other.toml"]),
        ("hornbook plan nowhere/", []),
        ("hornbook show ", ["first"]),
        ("hornbook show first pre", ["pretrain/raw"]),
        ("hornbook complete first/", ["first/raw"]),
    ],
)
def test_tab_knows_recipes_runs_steps_and_models(words: str, offered: list[str], tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    for name in ("mine.toml", "more/other.toml", "mine.txt"):
        (tmp_path / name).touch()
    run = tmp_path / "hornbook-data" / "runs" / "first"
    write_json(run / "lock.json", {})
    (run / "steps" / "pretrain").mkdir(parents=True)
    (run / "steps" / "pretrain" / "raw").symlink_to(tmp_path)
    assert _offered(words, tmp_path) == offered
