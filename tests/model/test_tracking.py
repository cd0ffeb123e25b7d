"""Metrics go to trackers that really run, on this machine alone, and are read back from what they wrote."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hornbook.core.errors import InputError
from hornbook.core.machine import Machine
from hornbook.model.tracking import open_tracker

PROGRAM = """
import sys
from hornbook.core.machine import Machine
from hornbook.model.tracking import open_tracker
_, root, tracker, first, last = sys.argv
opened = open_tracker(Machine(root=root, tracker=tracker), "pretrain-1f", {"size": "nano", "tokens": 12})
for step in range(int(first), int(last) + 1):
    opened.log(step, {"loss": 1 / step, "flops_utilisation": 0.5})
opened.close()
"""
BLOCK, HEADER, LAST = 32_768, 7, (1, 4)
"""Of LevelDB's log format, in which wandb writes: a record is whole, or ends, with these kinds of chunk."""


def _track(folder: Path, tracker: str, steps: tuple[int, int], **variables: str) -> tuple[str, str]:
    """Track these steps of one run in a process of its own, as packages read their environment once; what it said."""
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, str(folder), tracker, *map(str, steps)]
    places = {"HOME": str(folder), "TRACKIO_DIR": str(folder / "trackio"), **variables}
    environment = {"PATH": os.defpath, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), **places}
    done = subprocess.run(
        command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    return done.stdout, done.stderr


def _wandb_records(file: Path) -> Iterator[Any]:
    from wandb.proto.wandb_internal_pb2 import Record

    data, at, record = file.read_bytes(), HEADER, b""
    while at + HEADER <= len(data):
        if (left := BLOCK - at % BLOCK) < HEADER:
            at += left
            continue
        size, kind = int.from_bytes(data[at + 4 : at + 6], "little"), data[at + 6]
        record += data[at + HEADER : at + HEADER + size]
        at += HEADER + size
        if kind in LAST:
            found = Record()
            found.ParseFromString(record)
            yield found
            record = b""


def _of_wandb(tmp_path: Path) -> tuple[dict[str, Any], dict[int, float]]:
    config, losses = {}, {}
    for file in sorted((tmp_path / "tracking").glob("wandb/offline-run-*/run-pretrain-1f.wandb")):
        for record in _wandb_records(file):
            if record.WhichOneof("record_type") == "run":
                assert (record.run.project, record.run.display_name) == ("hornbook", "pretrain-1f")
                config = {item.key: json.loads(item.value_json) for item in record.run.config.update}
            items = {item.nested_key[0]: json.loads(item.value_json) for item in record.history.item}
            losses |= {items["_step"]: items["loss"]} if items else {}
    return config, losses


def _of_trackio(tmp_path: Path) -> tuple[dict[str, Any], dict[int, float]]:
    database = sqlite3.connect(tmp_path / "trackio" / "hornbook.db")
    configs = database.execute("select config from configs where run_name = 'pretrain-1f'").fetchall()
    steps = database.execute("select step, metrics from metrics where run_name = 'pretrain-1f'").fetchall()
    return json.loads(configs[0][0]), {step: json.loads(numbers)["loss"] for step, numbers in steps}


@pytest.mark.parametrize(("tracker", "read"), [("wandb", _of_wandb), ("trackio", _of_trackio)])
def test_a_run_and_its_resumption_are_read_back(tmp_path: Path, tracker: str, read: Any) -> None:
    pytest.importorskip(tracker, reason=f"the extra {tracker} is not installed")
    for steps in ((1, 5), (4, 7)):  # steps 4 and 5 are done again, as after a kill
        stdout, stderr = _track(tmp_path, tracker, steps, WANDB_MODE="offline")
        assert (stdout, "Traceback" in stderr) == ("", False)
    config, losses = read(tmp_path)
    assert {"size": "nano", "tokens": 12}.items() <= config.items()
    assert losses == pytest.approx({step: 1 / step for step in range(1, 8)})


def test_a_tracker_without_its_key_is_one_clear_line(tmp_path: Path) -> None:
    pytest.importorskip("wandb", reason="the extra wandb is not installed")
    _, stderr = _track(tmp_path, "wandb", (1, 2))
    last = stderr.splitlines()[-1]
    assert "InputError: tracker is 'wandb', but it did not start: No API key configured." in last


def test_a_tracker_that_does_not_start_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "tracking").write_text("a file where the folder should be")
    with pytest.raises(InputError, match=r"tracker is 'wandb', but it did not start: .*File exists"):
        open_tracker(Machine(root=str(tmp_path), tracker="wandb"), "run", {})


def test_a_tracker_that_is_not_installed_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "trackio", None)
    with pytest.raises(InputError, match=r"pip install hornbook\[trackio\]"):
        open_tracker(Machine(tracker="trackio"), "run", {})
