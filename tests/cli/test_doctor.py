"""doctor: what holds here, in words and as JSON; its exit code says whether a run can start."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hornbook.cli.main import app
from hornbook.sandbox.isolation import FILTERED, LEVELS, PROCESS, SPACES, level


def test_it_names_isolation_and_what_a_run_needs(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["doctor", "--json", "--root", str(tmp_path / "new" / "root")])
    found = {row["what"]: row for row in json.loads(done.stdout)}
    assert {
        "hornbook",
        "cores",
        "memory",
        "disk",
        "torch",
        "GPU",
        "teacher",
        "isolation",
        "verdicts",
    } <= found.keys()
    assert found["verdicts"]["state"] == "ok"
    assert "process" in found["isolation"]["found"]
    assert done.exit_code == any(row["state"] == "bad" for row in found.values())
    assert not (tmp_path / "new").exists()


def test_a_level_that_does_not_hold_is_bad_and_says_what_is_missing() -> None:
    done = CliRunner().invoke(app, ["doctor", "--require-isolation", "moat"])
    assert done.exit_code == 1
    assert "moat cannot be had here; what holds: process" in " ".join(done.stdout.split())
    assert "levels: process, filtered, full" in " ".join(done.stdout.split())


def test_a_missing_teacher_file_and_gpu_are_bad(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    machine = tmp_path / "machine.toml"
    machine.write_text('device = "cuda"\n[teachers.big]\nkind = "local"\npath = "absent.gguf"\n')
    done = CliRunner().invoke(app, ["doctor", "--json", "--machine", str(machine)])
    bad = {row["what"]: row["found"] for row in json.loads(done.stdout) if row["state"] == "bad"}
    assert "absent.gguf" in bad["teacher big"]
    assert ("GPU" in bad) == (not torch.cuda.is_available())
    assert done.exit_code == 1


def test_levels_are_named_by_the_layers_that_hold() -> None:
    assert level(PROCESS) == "process"
    assert level(FILTERED) == "filtered"
    assert level((*FILTERED, *SPACES)) == "full" == list(LEVELS)[-1]
    assert level(("process",)) == "none"
