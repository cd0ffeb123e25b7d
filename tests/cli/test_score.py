"""score: attempts made elsewhere get their published verdicts, and nothing is silently zero."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import zstandard
from typer.testing import CliRunner

from hornbook.benchmarks import load
from hornbook.cli.main import app
from hornbook.core.errors import ConfigError, HornbookError, InputError

DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
PROBLEMS = {problem.id: problem for problem in load("humaneval")}
ZERO, TWO = PROBLEMS["HumanEval/0"], PROBLEMS["HumanEval/2"]


@pytest.fixture(autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the secret is; nothing of the user's is seen."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    return folder


def score(path: Path, *words: str) -> dict[str, Any]:
    done = CliRunner().invoke(app, ["score", str(path), "--quiet", "--json", *words])
    if isinstance(done.exception, HornbookError):
        raise done.exception
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def write(path: Path, rows: list[Any]) -> Path:
    data = b"".join((row if isinstance(row, bytes) else json.dumps(row).encode()) + b"\n" for row in rows)
    packed = {".gz": gzip.compress, ".zst": zstandard.compress}.get(path.suffix, bytes)(data)
    path.write_bytes(packed)
    return path


def results(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(found["results"]).read_text().splitlines()]


def test_published_samples_get_their_published_verdicts(tmp_path: Path) -> None:
    published = DATA / "humaneval_published_samples.jsonl.gz"
    if not published.exists():
        pytest.skip("the published samples are not in shared/data")
    truth = {
        row["task_id"]: row["passed"]
        for row in map(json.loads, gzip.decompress(published.read_bytes()).splitlines())
    }
    found = score(published, "-b", "humaneval", "--out", str(tmp_path / "out.jsonl"))
    assert {row["task_id"]: row["passed"] for row in results(found)} == truth
    assert found["pass_at_k"]["1"][0] == pytest.approx(98 / 164)
    assert (found["missing"], found["quarantined"], found["proof_verdicts"]) == ([], 0, 328)


@pytest.mark.parametrize("name", ["s.jsonl", "s.jsonl.gz", "s.jsonl.zst"])
def test_both_forms_and_every_packing_are_read(name: str, tmp_path: Path) -> None:
    rows = [
        {"task_id": "HumanEval/0", "completion": ZERO.solution},
        {"task_id": "HumanEval/0", "completion": "    return None\n"},
        {"task_id": "humaneval/2", "solution": TWO.prompt + TWO.solution, "completion": "ignored"},
        {"task_id": 2, "solution": "def truncate_number(x):\n    return y\n"},
    ]
    found = score(write(tmp_path / name, rows), "-b", "humaneval", "--k", "1", "--k", "2")
    assert [row["passed"] for row in results(found)] == [True, False, True, False]
    assert {k: value for k, (value, _, _) in found["pass_at_k"].items()} == {"1": 0.5, "2": 1.0}
    assert found["failures"] == {"assertion": 1, "name": 1}
    assert Path(found["results"]) == tmp_path / "s.results.jsonl"
    assert len(found["missing"]) == 162


def test_bad_lines_are_set_aside_with_their_reason(tmp_path: Path) -> None:
    rows: list[Any] = [
        b"{not json",
        [1, 2],
        {"completion": "x"},
        {"task_id": "HumanEval/999", "completion": "x"},
        {"task_id": "HumanEval/1", "\x1b[2J": "x"},
        {"task_id": "HumanEval/1", "completion": None},
        b"\xff\xfe",
        b"[" * 100_000,
        b"",
        {"task_id": "HumanEval/0", "completion": ZERO.solution},
    ]
    found = score(write(tmp_path / "s.jsonl", rows), "-b", "humaneval")
    assert (found["quarantined"], found["attempts"], found["passed"]) == (8, 1, 1)
    reasons = [row["reason"] for row in results(found) if row["outcome"] == "quarantined"]
    assert "it has 'task_id', '\\x1b[2J'" in reasons[4]  # shown, not sent to a terminal
    for said, reason in zip(
        (
            "not JSON",
            "no task_id",
            "no task_id",
            "no problem is called 'HumanEval/999'",
            "neither",
            "neither",
        ),
        reasons,
        strict=False,
    ):
        assert said in reason


def test_a_file_without_attempts_is_an_error_not_a_zero(tmp_path: Path) -> None:
    other = write(tmp_path / "s.jsonl", [{"task_id": "Mbpp/2", "completion": "x"}])
    with pytest.raises(
        InputError, match="no attempt at any of the 164 problems; line 1: no problem is called 'Mbpp/2'"
    ):
        score(other, "-b", "humaneval")
    with pytest.raises(InputError, match="cannot be read: No such file"):
        score(tmp_path / "absent.jsonl", "-b", "humaneval")
    cut = tmp_path / "cut.jsonl.gz"
    cut.write_bytes(
        gzip.compress(json.dumps({"task_id": "HumanEval/0", "completion": "x"}).encode() * 99)[:-30]
    )
    with pytest.raises(InputError, match="breaks off"):
        score(cut, "-b", "humaneval")


def test_a_k_that_cannot_be_had_is_refused_before_anything_runs(tmp_path: Path) -> None:
    rows = [{"task_id": "HumanEval/0", "completion": "x"}]
    with pytest.raises(
        ConfigError, match=r"pass@5 cannot be had: a problem has 1 attempts, so k runs from 1 to 1"
    ):
        score(write(tmp_path / "s.jsonl", rows), "-b", "humaneval", "--k", "5")


def test_a_tab_indented_completion_follows_its_published_prompt(tmp_path: Path) -> None:
    path = DATA / "mbpp_wtest.jsonl.gz"
    if not path.exists():
        pytest.skip("MBPP is not in shared/data")
    rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()[:3]]
    attempts = [{"task_id": row["task_id"], "completion": row["canonical_solution"]} for row in rows]
    found = score(write(tmp_path / "s.jsonl", attempts), "-b", f"mbpp:{path}")
    assert found["passed"] == 3


def test_a_person_reads_score_failures_and_what_is_missing(tmp_path: Path) -> None:
    rows = [{"task_id": "HumanEval/0", "completion": "    return x\n"}, {"task_id": "X", "completion": ""}]
    path = write(tmp_path / "s.jsonl", rows)
    said = CliRunner().invoke(app, ["score", str(path), "--quiet", "-b", "humaneval"]).stdout
    for words in (
        "humaneval: 1 attempts at 1 of 164 problems",
        "pass@1   0.0 ",
        "failed by  name 1",
        "163 problems have no attempt and are not in the score: HumanEval/1, HumanEval/2",
        "1 lines: line 2: no problem is called 'X'",
        "proved by  2 verdicts",
        "seccomp",
    ):
        assert words in said


def test_what_a_killed_run_judged_is_not_judged_again(tmp_path: Path) -> None:
    spent = "    t = __import__('time').process_time()\n    while __import__('time').process_time() < t + .03: pass\n"
    rows = [
        {"task_id": "HumanEval/0", "completion": f"{spent}    return {n}\n"} for n in range(150) for _ in "ab"
    ]
    path = write(tmp_path / "s.jsonl", [*rows, {"task_id": "HumanEval/0", "completion": ZERO.solution}])
    unfinished = tmp_path / "s.results.jsonl.unfinished"
    words = [sys.executable, "-m", "hornbook", "score", str(path), "-b", "humaneval", "--workers", "2"]
    with subprocess.Popen(words, stderr=subprocess.DEVNULL, start_new_session=True) as run:
        while not unfinished.exists() or unfinished.read_bytes().count(b"\n") < 20:
            assert run.poll() is None
            time.sleep(0.01)
        run.send_signal(signal.SIGKILL)
    lines = unfinished.read_bytes().splitlines()
    unfinished.write_bytes(b"".join(line + b"\n" for line in lines[:19]))
    with unfinished.open("ab") as file:
        file.write(lines[19][:-9])
    assert not (tmp_path / "s.results.jsonl").exists()

    again = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "38 of 301 attempts have a verdict from before" in again.stderr
    assert "kept       38 of 301 verdicts, from before" in again.stdout
    assert "1 passed" in again.stdout
    found = results({"results": tmp_path / "s.results.jsonl"})
    assert [row["outcome"] for row in found] == ["failed"] * 300 + ["passed"]
    before = [json.loads(line) for line in lines[:19] for _ in "ab"]
    assert [row["cpu_seconds"] for row in found[:38]] == [row["cpu_seconds"] for row in before]
    assert not unfinished.exists()


def test_a_finished_score_is_extended_and_other_settings_judge_anew(tmp_path: Path) -> None:
    one = {"task_id": "HumanEval/0", "completion": ZERO.solution}
    two = {"task_id": "HumanEval/2", "completion": TWO.solution}
    path = write(tmp_path / "s.jsonl", [one])
    assert score(path, "-b", "humaneval")["kept"] == 0
    write(path, [two, one, one])
    assert score(path, "-b", "humaneval")["kept"] == 2
    assert [row["line"] for row in results({"results": tmp_path / "s.results.jsonl"})] == [1, 2, 3]
    assert score(path, "-b", "humaneval", "--cpu-seconds", "4")["kept"] == 0
    assert sorted(file.name for file in tmp_path.iterdir()) == ["s.jsonl", "s.results.jsonl"]


def test_verdicts_made_or_changed_elsewhere_are_judged_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        {"task_id": "HumanEval/0", "completion": "    return None\n"},
        {"task_id": 2, "completion": "rubbish"},
    ]
    path, place = write(tmp_path / "s.jsonl", rows), tmp_path / "s.results.jsonl"
    assert score(path, "-b", "humaneval")["passed"] == 0
    place.write_text(place.read_text().replace('"outcome": "failed"', '"outcome": "passed"'))
    found = score(path, "-b", "humaneval")
    assert (found["kept"], found["passed"], found["not_kept"]) == (0, 0, "")
    assert score(path, "-b", "humaneval")["kept"] == 2
    assert score(path, "-b", "humaneval", "--fresh")["kept"] == 0
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another user"))
    assert score(path, "-b", "humaneval")["kept"] == 0


def test_where_no_secret_can_be_kept_all_is_judged_and_said(own_state: Path, tmp_path: Path) -> None:
    (own_state / "hornbook").touch()
    path = write(tmp_path / "s.jsonl", [{"task_id": "HumanEval/0", "completion": ZERO.solution}])
    for _ in range(2):
        found = score(path, "-b", "humaneval")
        assert (found["kept"], found["passed"]) == (0, 1)
        assert "hornbook/secret cannot be kept: " in found["not_kept"]
    said = CliRunner().invoke(app, ["score", str(path), "-b", "humaneval"])
    assert "not kept   all was judged, and will be the next time: " in said.stdout
    assert "no verdict can be used again: " in said.stderr


def test_attempts_are_never_overwritten_and_are_a_file(tmp_path: Path) -> None:
    path = write(tmp_path / "s.jsonl", [{"task_id": "HumanEval/0", "completion": "x"}])
    with pytest.raises(InputError, match="is the file of the attempts"):
        score(path, "-b", "humaneval", "--out", str(path))
    for place in ("/dev/null", str(tmp_path)):
        with pytest.raises(InputError, match="is no ordinary file"):
            score(path, "-b", "humaneval", "--out", place)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InputError, match="no ordinary file"):
        score(tmp_path / "pipe", "-b", "humaneval")
