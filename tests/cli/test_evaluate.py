"""hornbook evaluate: any model on any benchmark, extended without asking again, beside a run's models."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from adding import PROBLEMS
from typer.testing import CliRunner

from hornbook.cli.main import app
from hornbook.core.errors import HornbookError
from hornbook.core.shards import read_json, write_json
from hornbook.model.checkpoint import save_model
from hornbook.model.config import PhiConfig
from hornbook.model.phi import Phi
from hornbook.model.tokenizer import train_tokenizer
from hornbook.report import inspect as inspection


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a model, a benchmark in HumanEval's form, and a finished run that evaluated another model."""
    folder = tmp_path_factory.mktemp("place")
    tokenizer = train_tokenizer([p.prompt + p.solution for p in PROBLEMS], 300)
    config = PhiConfig(
        layers=1, width=64, heads=1, mlp_width=64, vocabulary_rows=tokenizer.vocabulary, context_tokens=256
    )
    for seed, name in enumerate(("tiny", "other")):
        save_model(folder / name, Phi(config).initialise(seed), tokenizer)
    rows = [
        {
            "task_id": p.id,
            "prompt": p.prompt,
            "canonical_solution": p.solution,
            "test": p.tests,
            "entry_point": p.entry_point,
        }
        for p in PROBLEMS
    ]
    (folder / "adding.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder


def _evaluate(place: Path, *options: str, model: str = "tiny") -> dict[str, Any]:
    fixed = ["--benchmark", f"humaneval:{place}/adding.jsonl", "--tokens", "6", "--root", str(place / "root")]
    done = CliRunner().invoke(app, ["evaluate", str(place / model), *fixed, "-q", "--json", *options])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_a_model_stands_beside_those_of_a_run(place: Path) -> None:
    other = _evaluate(place, model="other")
    run = place / "root" / "runs" / "mine"
    write_json(run / "lock.json", {"evaluate/raw.base": {}})
    (run / "steps" / "evaluate").mkdir(parents=True)
    (run / "steps" / "evaluate" / "raw.base").symlink_to(other["folder"])
    assert list(inspection.run_scores(_machine(place), "mine")) == ["raw.base"]
    found = _evaluate(place, "--beside", "mine", "--n", "2", "--temperature", "0.5", "--mutants", "2")
    assert [row["model"] for row in found["scores"]] == ["tiny", "raw.base"]
    assert found["scores"][0]["problems"] == 3
    assert "%" in found["scores"][0]["wrong versions beaten"]
    assert found["scores"][1]["wrong versions beaten"] == "-"
    assert {row["measure"] for row in found["differences"]} >= {"pass@1"}
    assert {note.split(" was ")[0] for note in found["notes"]} == {"temperature", "samples"}
    scores = read_json(Path(found["folder"]) / "scores.json")
    assert scores["sampling"]["temperature"] == 0.5
    assert scores["benchmarks"]["humaneval"]["attempts"] == 6


def _machine(place: Path) -> Any:
    from hornbook.core.machine import Machine

    return Machine(root=str(place / "root"))


def test_more_attempts_keep_those_that_are_there(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _evaluate(place, "--n", "2", "--temperature", "0.7")
    asked: list[int] = []
    from hornbook.model import generate

    first = generate.generate

    def counted(model: Any, tokenizer: Any, prompts: Any, *rest: Any) -> Any:
        asked.append(len(prompts))
        return first(model, tokenizer, prompts, *rest)

    monkeypatch.setattr(generate, "generate", counted)
    found = _evaluate(place, "--n", "5", "--temperature", "0.7")
    assert sum(asked) == 9
    assert read_json(Path(found["folder"]) / "scores.json")["benchmarks"]["humaneval"]["samples"] == 5
    _evaluate(place, "--n", "5", "--temperature", "0.7")
    assert sum(asked) == 9


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--n", "3"], r"^options: samples is 3, but at temperature 0"),
        (["--url", "ftp://x"], "it should be like http"),
        (["--beside", "nope"], "no finished run 'nope'"),
        (["--boundary", "middle"], "no boundary 'middle'; known: as_is, stripped"),
        (["--kind", "magic"], "kind is 'magic'"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(place: Path, options: list[str], said: str) -> None:
    with pytest.raises(HornbookError, match=said) as caught:
        _evaluate(place, *options)
    assert "\n" not in str(caught.value)
