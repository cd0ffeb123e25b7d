"""The golden record is equal to what the code makes, but for names that a table of renames gives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from golden.record import differences

SCRIPT = Path(__file__).with_name("record.py")
GOLDEN = {
    "machine": "a",
    "store": {
        "judge.random": {"judge.json": {"score": "forest", "rows": 3}},
        "filter": {"score": 1, "why": {}},
    },
    "here": {"loss": 0.5},
}


@pytest.mark.slow
def test_everything_made_is_as_it_was_recorded() -> None:
    done = subprocess.run([sys.executable, SCRIPT, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_difference_is_said_in_words() -> None:
    made = {"machine": "a", "store": {"filter": {"score": 2, "new": 1, "why": {}}}, "here": {"loss": 0.5}}
    assert differences(GOLDEN, made, {}) == [
        "store > judge.random > judge.json > score: 'forest' -> missing",
        "store > judge.random > judge.json > rows: 3 -> missing",
        "store > filter > new: new, 1",
        "store > filter > score: 1 -> 2",
    ]


def test_new_names_are_no_difference() -> None:
    renames = {"judge": "classify", "forest": "random_forest", "filter > score": "filter > probability"}
    made = {
        "machine": "a",
        "store": {
            "classify.random": {"classify.json": {"score": "random_forest", "rows": 3}},
            "filter": {"probability": 1, "why": {}},
        },
        "here": {"loss": 0.5},
    }
    assert differences(GOLDEN, made, renames) == []


def test_trained_models_are_compared_on_the_same_machine_alone() -> None:
    made = {**GOLDEN, "here": {"loss": 0.25}}
    assert differences(GOLDEN, made, {}) == ["here > loss: 0.5 -> 0.25"]
    assert differences(GOLDEN, {**made, "machine": "b"}, {}) == []
