"""The command line with a teacher behind a server: what it costs is said before, kept within, and shown after."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from server import Reply, Server, completion, serving

NANO = Path(str(files("hornbook") / "recipes" / "nano.toml"))
SECRET = "sk-do-not-write-me"
DOCUMENTS = 24


class Judge(Server):
    """Says Yes and No by turns, and writes a page that runs."""

    def _answer(self, once: str, body: dict[str, Any]) -> Reply:
        self.paid.append(body["messages"][-1]["content"])
        yes = -0.2 if len(self.paid) % 2 else -2.0
        reply = completion("Yes" if body.get("logprobs") else "Add.\n\n```python\nprint(1 + 1)\n```")
        top = [{"token": "Yes", "logprob": yes}, {"token": "No", "logprob": -1.0}]
        reply["choices"][0]["logprobs"] = {"content": [{"token": "Yes", "top_logprobs": top}]}
        return Reply.json({**reply, "model": body["model"]})


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serving(Judge(key=SECRET)) as started:
        yield started


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recipe")
    (folder / "corpus").mkdir()
    for number in range(DOCUMENTS):
        lines = (f"def f{number}_{k}(x):\n    return x * {number + k} + {k}\n\n" for k in range(number + 3))
        (folder / "corpus" / f"m{number}.py").write_text("".join(lines))
    text = NANO.read_text().replace('kind = "stdlib"', f'kind = "folder"\npath = "{folder / "corpus"}"')
    annotated = "[annotate]\nlabels = 200\nexcerpt_chars = 350\n\n[filter]\ngood_share = 0.3"
    text = text.replace('[filter]\nscore = "shipped"', annotated)
    (folder / "mine.toml").write_text(text.replace('[[read.sources]]\nkind = "installed"\n', ""))
    return folder / "mine.toml"


def machine(recipe: Path, server: Server, more: str = "") -> Path:
    path = recipe.parent / "machine.toml"
    path.write_text(
        f'[teachers."SmolLM2-135M-Instruct"]\nurl = "{server.url}"\nkey_variable = "TEST_TEACHER_KEY"\n'
        f"concurrency = 4\nprices = {{ tokens_in = 10.0, tokens_out = 20.0 }}\n{more}"
    )
    return path


def hornbook(*words: str, key: str = SECRET) -> tuple[int, str, str]:
    environment = {**os.environ, "TEST_TEACHER_KEY": key}
    command = [sys.executable, "-m", "hornbook", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    return done.returncode, done.stdout, done.stderr


def cost_of_annotate(recipe: Path, root: Path, where: Path) -> dict[str, Any]:
    code, said, error = hornbook(
        "plan", str(recipe), "--root", str(root), "--machine", str(where), "--json", key=""
    )
    assert code == 0, error
    return next(cost for cost in json.loads(said)["costs"] if cost["step"] == "annotate")


def test_costs_are_said_before_kept_within_and_known_after(
    recipe: Path, server: Server, tmp_path: Path
) -> None:
    where = machine(recipe, server, "[budgets.annotate]\nasks = 10\n")
    guess = cost_of_annotate(recipe, tmp_path, where)
    assert "no documents yet" in guess["guess"]
    assert guess["per_kept"] is None
    assert server.paid == []

    run = ("run", str(recipe), "--root", str(tmp_path), "--machine", str(where), "--quiet")
    code, _, error = hornbook(*run)
    assert (code, len(error.strip().splitlines())) == (8, 1)
    assert "the budget of nano/annotate is spent: asks = 10 are allowed" in error
    assert "raise [budgets.annotate] in the machine file and run again" in error
    assert len(server.paid) == 10
    exact = cost_of_annotate(recipe, tmp_path, where)
    assert exact["guess"] == ""
    assert (exact["estimate"]["asks"], exact["estimate"]["cached"]) == (DOCUMENTS, 10)
    assert exact["estimate"]["basis"] == "measured"
    assert exact["estimate"]["money"] == pytest.approx(14 * (10 * 10 + 1 * 20) / 1e6, rel=1)

    machine(recipe, server, "[budgets.textbooks]\nasks = 1\n")
    code, _, error = hornbook(*run)
    assert (code, "the budget of nano/textbooks is spent" in error) == (8, True)
    assert len(server.paid) == DOCUMENTS + 1
    assert len(set(server.paid)) == len(server.paid)
    changed = recipe.with_name("changed.toml")
    changed.write_text(recipe.read_text().replace("excerpt_chars = 350", "excerpt_chars = 300"))
    known = cost_of_annotate(changed, tmp_path, where)
    assert known["per_kept"] == pytest.approx((10 * 10 + 5 * 20) / 1e6)

    code, said, _ = hornbook("answers", "--root", str(tmp_path), "--machine", str(where), "--json")
    stats = json.loads(said)
    assert [row["answers"] for row in stats["models"]] == [DOCUMENTS + 1]
    spent = {row["spent_by"]: row["asks"] for row in stats["spent"]}
    assert spent == {"nano": DOCUMENTS + 1, "nano/annotate": DOCUMENTS, "nano/textbooks": 1}
    assert not any(SECRET.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())

    elsewhere = ("--root", str(tmp_path / "elsewhere"))
    file = str(tmp_path / "answers.jsonl")
    assert hornbook("answers", "export", file, "--root", str(tmp_path))[0] == 0
    code, said, _ = hornbook("answers", "import", file, *elsewhere)
    assert said == f"read {DOCUMENTS + 1}, new {DOCUMENTS + 1}, file {file}\n"


@pytest.mark.parametrize(
    ("changes", "key", "code", "said"),
    [
        (("", ""), "", 6, "environment variable TEST_TEACHER_KEY is not set"),
        (("", ""), "sk-other", 6, "does not accept the key in TEST_TEACHER_KEY"),
        (("concurrency", "concurency"), SECRET, 2, "did you mean concurrency?"),
        (("url", 'kind = "endpont"\nurl'), SECRET, 2, "should be one of 'local', 'canned', 'endpoint'"),
        (("http://", "ftp://"), SECRET, 2, "it should be like http://localhost:8080/v1"),
        (("prices", "prises"), SECRET, 2, "did you mean prices?"),
        (
            ("concurrency = 4", "concurrency = 4\n[budgets.textboks]\nasks = 1\n#"),
            SECRET,
            2,
            "budgets.textboks",
        ),
    ],
)
def test_a_mistake_in_the_machine_file_is_one_line(
    recipe: Path, server: Server, tmp_path: Path, changes: tuple[str, str], key: str, code: int, said: str
) -> None:
    where = machine(recipe, server)
    wrong = tmp_path / "wrong.toml"
    wrong.write_text(where.read_text().replace(*changes, 1) if changes[0] else where.read_text())
    root = str(recipe.parent / "mistakes")
    got, _, error = hornbook("run", str(recipe), "--root", root, "--machine", str(wrong), "--quiet", key=key)
    assert got == code
    assert said in error
    assert len(error.strip().splitlines()) == 1
    assert "sk-" not in error


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("answers",), "there are no answers in"),
        (("answers", "export"), "needs a file: hornbook answers export answers.jsonl"),
        (("answers", "import", "no-such.jsonl"), "no-such.jsonl cannot be read"),
    ],
)
def test_a_mistake_with_answers_is_one_line(tmp_path: Path, words: tuple[str, ...], said: str) -> None:
    code, _, error = hornbook(*words, "--root", str(tmp_path))
    assert code == 3
    assert said in error
    assert len(error.strip().splitlines()) == 1
