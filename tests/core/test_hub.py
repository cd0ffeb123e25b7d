"""A branch of the Hub stands for one commit; without a network, for the one that was fetched last."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hub import COMMIT, mirror

from hornbook.core.errors import InputError
from hornbook.core.fs import commit_of, moving

ASK = """
import sys
from hornbook.core.errors import InputError
from hornbook.core.fs import commit_of
try:
    print(commit_of("o/m", sys.argv[1]))
except InputError as error:
    print(error)
"""


def ask(revision: str, hub: str, home: Path) -> str:
    env = {**os.environ, "HF_ENDPOINT": hub, "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1"}
    command = [sys.executable, "-c", ASK, revision]
    return subprocess.run(command, env=env, capture_output=True, text=True, check=True).stdout.strip()


def test_a_commit_is_itself_and_asks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert commit_of("o/m", COMMIT) == COMMIT
    assert moving("o/m", COMMIT) == {}


def test_a_path_is_no_name_of_the_hub() -> None:
    with pytest.raises(
        InputError, match="path/to/model is neither a folder nor a name on the Hugging Face Hub"
    ):
        commit_of("path/to/model", "main")


def test_a_branch_is_looked_up_and_without_a_network_what_was_fetched_last_counts(tmp_path: Path) -> None:
    (tmp_path / "hub" / "models" / "o" / "m" / "main").mkdir(parents=True)
    with mirror(tmp_path / "hub") as (hub, _):
        assert ask("main", hub, tmp_path / "home") == COMMIT
        assert "v9 of the model o/m cannot be looked up" in ask("v9", hub, tmp_path / "home")
    nowhere = "http://127.0.0.1:9"
    assert "check the spelling, the access and the network" in ask("main", nowhere, tmp_path / "home")
    refs = tmp_path / "home" / "hub" / "models--o--m" / "refs"
    refs.mkdir(parents=True)
    (refs / "main").write_text("a" * 40)
    assert ask("main", nowhere, tmp_path / "home") == "a" * 40
