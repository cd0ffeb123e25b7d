"""evaluate: proves itself first, judges by execution, keeps every attempt, and resumes."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch

from hornbook.benchmarks import BENCHMARKS, Problem, load
from hornbook.benchmarks.proof import prove
from hornbook.core.context import Tools
from hornbook.core.errors import StageError
from hornbook.core.machine import CannedPlace, Machine
from hornbook.core.progress import Silent
from hornbook.core.records import Document, documents_table
from hornbook.core.shards import read_json, read_table, write_table
from hornbook.model.checkpoint import save_model
from hornbook.model.config import PhiConfig
from hornbook.model.phi import Phi
from hornbook.model.tokenizer import Tokenizer, train_tokenizer
from hornbook.sandbox import Sandbox
from hornbook.stages.evaluate import step as stage
from hornbook.teachers import open_teacher

TOOLS = Tools(seed=3, machine=Machine(device="cpu"), sandbox=partial(Sandbox, workers=2))


def _tools(out: Path) -> Tools:
    return dataclasses.replace(TOOLS, cache=out.parent / "cache")


HELDOUT = stage.EvaluateConfig(benchmarks=[], heldout_problems=6, max_answer_tokens=40, batch_problems=4)


def _exercise(number: int) -> Document:
    prompt = f'def add_{number}(value):\n    """Add {number} to a value."""\n'
    solution = f"    total = value + {number}\n    return total\n"
    asserts = [f"    assert candidate({n}) == {n + number}\n" for n in (1, -5)]
    meta = {
        "name": f"add_{number}",
        "prompt_chars": len(prompt),
        "tests": "def check(candidate):\n" + "".join(asserts),
        "entry_point": f"add_{number}",
        "concepts": ["odd" if number % 2 else "even", "sum"],
        "origin": "grammar",
        "verdict": "passed",
    }
    return Document(prompt + solution, f"grammar/{number}", "exercise", meta)


@pytest.fixture(scope="module")
def heldout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grammar")
    exercises = [_exercise(number) for number in range(1, 9)]
    write_table(folder / "heldout" / "shard-00000.parquet", documents_table(exercises))
    return folder


@pytest.fixture(scope="module")
def tokenizer() -> Tokenizer:
    return train_tokenizer([_exercise(number).text for number in range(1, 9)], 320)


def _small(tokenizer: Tokenizer) -> Phi:
    config = PhiConfig(
        layers=2, width=64, heads=1, mlp_width=128, vocabulary_rows=tokenizer.vocabulary, context_tokens=512
    )
    return Phi(config).initialise(0)


@pytest.fixture(scope="module")
def untrained(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("untrained")
    save_model(folder, _small(tokenizer), tokenizer)
    return folder


@pytest.fixture(scope="module")
def memorised(tokenizer: Tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model that has learnt the eight exercises by heart, each after end-of-text and tokenised as prompt and rest."""
    folder = tmp_path_factory.mktemp("memorised")
    model = _small(tokenizer)
    rows = []
    for number in range(1, 9):
        exercise = _exercise(number)
        cut = exercise.meta["prompt_chars"]
        prompt, rest = tokenizer.encode_pair(exercise.text[:cut], exercise.text[cut:])
        rows.append([tokenizer.end_of_text, *prompt, *rest, tokenizer.end_of_text])
    length = max(map(len, rows))
    batch = torch.tensor([row + [tokenizer.end_of_text] * (length - len(row)) for row in rows])
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # two wait for each other wherever something else is running
    for _ in range(150):
        loss = model.loss(batch) / batch.numel()
        loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    torch.set_num_threads(threads)
    save_model(folder, model.eval(), tokenizer)
    return folder


def _run(config: stage.EvaluateConfig, checkpoint: Path, heldout: Path, out: Path) -> dict[str, float]:
    out.mkdir(exist_ok=True)
    return dict(stage.run(config, {"checkpoint": checkpoint, "heldout": heldout}, out, _tools(out)))


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_memorised_solution_is_reproduced_from_its_prompt(
    memorised: Path, heldout: Path, tmp_path: Path
) -> None:
    counts = _run(HELDOUT, memorised, heldout, tmp_path / "out")
    assert counts["heldout.pass_at_1"] == 1.0
    assert counts["heldout.bits_per_byte"] < 0.2
    scores = read_json(tmp_path / "out" / "scores.json")
    found = scores["benchmarks"]["heldout"]
    assert scores["proof"]["verdicts"] == 12
    assert scores["proof"]["isolation"]
    assert found["pass_at_1"][1] < 1.0 == found["pass_at_1"][2]
    assert found["concepts"]["sum"] == [6, 6]
    assert found["failures"] == {}
    assert len(found["by_problem"]) == 6


def test_a_killed_evaluation_resumes_to_the_same_bytes(
    memorised: Path, heldout: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    _run(HELDOUT, memorised, heldout, out)
    whole = _bytes(out)
    kept = out / "attempts" / "heldout" / "shard-00000.parquet"
    written = kept.stat().st_mtime_ns
    (out.parent / "cache" / "completions.sqlite").unlink()
    for lost in ("attempts/heldout/shard-00001.parquet", "gold/heldout.parquet", "scores.json"):
        (out / lost).unlink()
    _run(HELDOUT, memorised, heldout, out)
    assert _bytes(out) == whole
    assert kept.stat().st_mtime_ns == written


def test_humaneval_of_an_untrained_model_is_zero_with_its_reasons(
    untrained: Path, heldout: Path, tmp_path: Path
) -> None:
    config = stage.EvaluateConfig(heldout_problems=2, max_answer_tokens=6, batch_problems=164)
    counts = _run(config, untrained, heldout, tmp_path / "out")
    assert counts["problems"] == 166
    assert counts["passed"] == 0
    assert 6 < counts["humaneval.bits_per_byte"] < 12
    found = read_json(tmp_path / "out" / "scores.json")["benchmarks"]
    assert sum(found["humaneval"]["failures"].values()) == 164
    assert found["humaneval"]["pass_at_1"][2] > 0.02
    attempts = read_table(tmp_path / "out" / "attempts" / "humaneval" / "shard-00000.parquet").to_pylist()
    assert {row["id"] for row in attempts} == {problem.id for problem in load("humaneval")}
    assert all(row["completion"].startswith(row["judged"]) for row in attempts)


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(workers=2, mode="strict") as opened:
        yield opened


def _problem(**changes: str) -> Problem:
    problem = Problem(
        "p/1", "def one():\n", "    return 1\n", "def check(f):\n    assert f() == 1\n", "one", "p"
    )
    return dataclasses.replace(problem, **changes)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"solution": "    return 2\n"}, r"1 of 2 verdicts.*p/1 \(its own solution failed: AssertionError"),
        (
            {"prompt": "def one():\n    return 1\n", "solution": "    return 1\n"},
            r"p/1 \(an empty solution passes\)",
        ),
        (
            {"tests": "def check(f):\n    pass\n", "prompt": "def one():\n    ''\n"},
            "an empty solution passes",
        ),
    ],
)
def test_an_evaluator_that_is_wrong_says_nothing_else(
    changes: dict[str, str], said: str, sandbox: Sandbox
) -> None:
    prove(sandbox, [_problem()])
    with pytest.raises(StageError, match=said):
        prove(sandbox, [_problem(), _problem(**changes)][1:])


def test_no_score_is_written_where_the_proof_fails(
    untrained: Path, heldout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(BENCHMARKS, "broken", lambda _path: [_problem(solution="    return 2\n")])
    config = stage.EvaluateConfig(benchmarks=["broken"], heldout_problems=0)
    with pytest.raises(StageError, match="nothing is scored"):
        _run(config, untrained, heldout, tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_too_few_heldout_exercises_are_named(untrained: Path, heldout: Path, tmp_path: Path) -> None:
    config = stage.EvaluateConfig(benchmarks=[], heldout_problems=50)
    with pytest.raises(StageError, match=r"50 held-out exercises are wanted to evaluate, but .* has 6"):
        _run(config, untrained, heldout, tmp_path / "out")


def test_margins_other_wordings_probes_and_grades_stand_beside_the_scores(
    memorised: Path, heldout: Path, tmp_path: Path
) -> None:
    grades = (
        '{"match": "", "text": "{\\"argument\\": \\"It adds.\\", \\"understanding\\": 8, \\"logic\\": 9}"}'
    )
    (tmp_path / "script.jsonl").write_text(grades)
    config = HELDOUT.model_copy(
        update={
            "heldout_problems": 4,
            "mutants": 2,
            "robustness_problems": 2,
            "probes": True,
            "grade": stage.GradeConfig(grader="canned", problems=3, repeats=1),
        }
    )
    out = tmp_path / "out"
    out.mkdir()
    teacher = partial(
        open_teacher, "canned", CannedPlace(path=str(tmp_path / "script.jsonl")), tmp_path / "cache", Silent()
    )
    tools = dataclasses.replace(_tools(out), teacher=teacher)
    inputs = {"checkpoint": memorised, "heldout": heldout, "finetuned_on.exercises/grammar": heldout}
    counts = stage.run(config, inputs, out, tools)
    scores = read_json(out / "scores.json")
    found = scores["benchmarks"]["heldout"]
    assert found["margin"]["problems"] == 4
    assert 0 <= found["over_mutants"][0] <= 1
    assert scores["robustness"]["heldout"]["kinds"]["longer"]["problems"] == 2
    assert scores["robustness"]["layers"]["problems"] == 2
    assert scores["grades"]["heldout"]["score"][0] == 85
    assert "pygame" in scores["emergence"]["absent"]
    assert scores["benchmarks"]["emergence"]["problems"] >= 18
    assert counts["heldout.pass_at_1"] == found["pass_at_1"][0]
    asking = config.model_copy(update={"benchmarks": ["humaneval"]})
    unknown, known = (stage.asks(asking, inputs, 0) for inputs in ({}, {"heldout": heldout}))
    assert (unknown.count, known.count) == (3, 6)
    assert "held-out exercises, which are not there yet" in unknown.guess
    assert "held-out" not in known.guess
