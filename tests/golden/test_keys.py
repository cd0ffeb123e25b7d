"""The cache keys of answers, completions and verdicts are those of version 0.1, whatever Python calls the fields."""
# ruff: noqa: E501  (texts to the letter)

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from hornbook.benchmarks.problem import Problem, problems_hash
from hornbook.benchmarks.verdict_cache import Keys
from hornbook.model.sampling import Completion, Sampling
from hornbook.sandbox import Limits
from hornbook.stages.evaluate.evaluator import Completions
from hornbook.teachers import Answer, Ask
from hornbook.teachers.cache import Answers, question

SMALL_ASK = Ask((("user", "Say yes."),))
FULL_ASK = Ask(
    (("system", "Be brief. é"), ("user", "Say\nyes.")), 17, 0.7, 0.9, 3, ("Yes", "No"), '{"type": "object"}'
)
SMALL_PROBLEM = Problem("a/1", "def f():\n", "    return 1\n", "def check(f):\n    assert f()\n", "f", "mine")
FULL_PROBLEM = Problem(
    *("a/2", "def g():\n", "    return 2\n", "def check(g):\n    assert g()\n", "g", "mine"),
    *(("loops", "sums"), "hard", "def g( ):\n"),
)


@pytest.mark.parametrize(
    ("model", "revision", "ask", "key", "asked"),
    [
        (
            "m",
            "",
            SMALL_ASK,
            "e71daf27b55d04aa362ffe208b007c3b0604b0e74663f92a37768d75c8757358",
            '{"choices":[],"max_answer_tokens":256,"messages":[["user","Say yes."]],"schema":"","seed":0,"temperature":0.0,"top_p":1.0}',
        ),
        (
            "m/n",
            "r1",
            FULL_ASK,
            "c384bafd9f59e4008b2ed5de4cfe944f07c5bcf49e1349cd1351235e4f0edd29",
            '{"choices":["Yes","No"],"max_answer_tokens":17,"messages":[["system","Be brief. é"],["user","Say\\nyes."]],"schema":"{\\"type\\": \\"object\\"}","seed":3,"temperature":0.7,"top_p":0.9}',
        ),
    ],
)
def test_the_key_of_an_answer(model: str, revision: str, ask: Ask, key: str, asked: str) -> None:
    found = question(model, revision, ask)
    assert (found.key.hex(), found.asked) == (key, asked)


def test_an_exported_answer_to_the_letter(tmp_path: Path) -> None:
    answers = Answers(tmp_path / "answers.sqlite")
    answers.keep(question("m/n", "r1", FULL_ASK), Answer("Yes", 5, 1, {"Yes": -0.25}, truncated=True))
    answers.export(tmp_path / "out.jsonl")
    assert (
        (tmp_path / "out.jsonl").read_text()
        == '{"model":"m/n","revision":"r1","ask":{"choices":["Yes","No"],"max_answer_tokens":17,"messages":[["system","Be brief. é"],["user","Say\\nyes."]],"schema":"{\\"type\\": \\"object\\"}","seed":3,"temperature":0.7,"top_p":0.9},"answer":{"cached":false,"logprobs":{"Yes":-0.25},"text":"Yes","tokens_in":5,"tokens_out":1,"truncated":true}}\n'
    )


@pytest.mark.parametrize(
    ("sampling", "key", "asked"),
    [
        (
            Sampling(),
            "5765a08c1aa9bf8502fe1545fa8ef366c3e3a66c123afae6788785d396edfaa8",
            '{"max_new_tokens":256,"prompt":"def f():\\n","seed":0,"stop":[],"temperature":0.0,"top_p":1.0}',
        ),
        (
            Sampling(9, 0.5, 0.9, ("\ndef", "\nclass"), 3),
            "22d087e0c8b9252fb7a34be01b9955a3d0994e810eb8b2514d1c749e8bd8f390",
            '{"max_new_tokens":9,"prompt":"def f():\\n","seed":7,"stop":["\\ndef","\\nclass"],"temperature":0.5,"top_p":0.9}',
        ),
    ],
)
def test_the_key_of_a_completion(tmp_path: Path, sampling: Sampling, key: str, asked: str) -> None:
    with Completions(tmp_path / "completions.sqlite") as completions:
        completions.keep("model", "def f():\n", sampling, 7, Completion("    pass", 4, "stop"))
        with completions._database as db:
            rows = db.execute("select key, model, asked, completion from completions").fetchall()
    assert [(row[0].hex(), *row[1:]) for row in rows] == [
        (key, "model", asked, '{"ended":"stop","text":"    pass","tokens":4}')
    ]


@pytest.mark.parametrize(
    ("limits", "problem", "key"),
    [
        (Limits(), SMALL_PROBLEM, "6652d475ba908d300b925cd935433ec7"),
        (Limits(4.0, 20.0, 1 << 20, 3, 5_000, 700), FULL_PROBLEM, "b3ab0eed229276a31ec40cb14439bbeb"),
    ],
)
def test_the_key_of_a_verdict(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limits: Limits, problem: Problem, key: str
) -> None:
    (tmp_path / "one-1.dist-info").mkdir()
    (tmp_path / "one-1.dist-info" / "METADATA").write_text("Name: one\nVersion: 1\n")
    sandbox = SimpleNamespace(limits=limits, mode="strict", isolation=("seccomp", "landlock"))
    with monkeypatch.context() as patch:  # the interpreter and the packages are part of the key
        patch.setattr(sys, "version", "3.11.0")
        patch.setattr(sys, "path", [str(tmp_path)])
        keys = Keys(sandbox, bytes(range(32)))  # type: ignore[arg-type]
    assert keys.key(problem, "def f():\n    return '\udcff'\n").hex() == key


def test_the_hash_of_problems() -> None:
    assert problems_hash([SMALL_PROBLEM, FULL_PROBLEM]) == "2bd4222d1ded2c17c41d770fc38c4efb"
