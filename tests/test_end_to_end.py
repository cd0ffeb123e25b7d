"""A whole recipe with a scripted teacher: run, killed, resumed, run again; the bytes must not care."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

RECIPE = """
name = "tiny"
teacher = "scripted"
row_tokens = 64
[read]
shard_bytes = 150_000
sources = [{ kind = "folder", path = "CORPUS", name = "corpus" }]
[dedup]
[annotate]
labels = 24
[again.reworded]
labels = 8
prompt = "annotate-again"
[filter]
trees = 20
good_share = 0.4
keep_share = 0.5
stratum_share = 0.1
[filters.random]
score = "random"
keep_share = 0.5
[textbooks]
pages = 6
[exercises.corpus]
source = "corpus"
[exercises.teacher]
source = "teacher"
asks = 2
[exercises.grammar]
source = "grammar"
count = 300
heldout_count = 20
[degrade.wrong]
dataset = "exercises/grammar"
wrong_solutions = 0.1
[decontaminate]
[tokenizer]
vocabulary = 512
sample_bytes = 200_000
[mixes]
raw = { tokens = 6_400, parts = { dedup = 1.0 } }
chance = { tokens = 6_400, parts = { "filter.random" = 1.0 } }
textbook = { tokens = 6_400, parts = { filter = 0.4, textbooks = 0.1, "exercises/corpus" = 0.5 } }
exercises = { tokens = 6_400, parts = { "exercises/grammar" = 0.5, "degrade/wrong" = 0.5 } }
[pretrain]
size = "nano"
tokens = 6_400
tokens_per_step = 640
warmup_steps = 2
dropout = 0.0
checkpoint_every_steps = 3
[finetune]
tokens = 6_400
tokens_per_step = 640
warmup_steps = 2
dropout = 0.0
checkpoint_every_steps = 3
choose_exercises = 2
[evaluate]
heldout_problems = 10
max_answer_tokens = 8
[arms]
raw = { mix = "raw" }
textbook = { mix = "textbook", finetune = "exercises" }
"""
MACHINE = """
[teachers.scripted]
kind = "canned"
path = "ANSWERS"
"""
PAGE = (
    "A list holds values.\n\n```python\nvalues = [{n}, 2, 3]\nprint(sum(values))\n```\n\nIt prints their sum."
)
EXERCISE = """```python
def double(x):
    '''Return twice x.'''
    return 2 * x

assert double(2) == 4
assert double(0) == 0
assert double(5) == 10
```"""
MODULES = (
    "bisect",
    "calendar",
    "colorsys",
    "copy",
    "difflib",
    "fnmatch",
    "heapq",
    "keyword",
    "linecache",
    "nturl2path",
)
MODULES += (
    "opcode",
    "operator",
    "posixpath",
    "pprint",
    "quopri",
    "random",
    "reprlib",
    "shlex",
    "stat",
    "statistics",
)
MODULES += (
    "string",
    "stringprep",
    "struct",
    "textwrap",
    "timeit",
    "token",
    "types",
    "uuid",
    "warnings",
    "weakref",
)


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "corpus").mkdir()
    for module in MODULES:
        source = Path(sysconfig.get_paths()["stdlib"]) / f"{module}.py"
        if source.exists():
            shutil.copy(source, folder / "corpus")
    script = [
        {"match": "textbook page", "texts": [PAGE.format(n=n) for n in range(12)]},
        {
            "match": "def |assert|function",
            "text": EXERCISE,
            "logprobs": [{"Yes": -y, "No": -1.0} for y in (0.2, 2.0)],
        },
        {"match": "", "text": "Yes", "logprobs": [{"Yes": -0.4, "No": -1.1}, {"Yes": -1.4, "No": -0.3}]},
    ]
    (folder / "answers.jsonl").write_text("".join(json.dumps(line) + "\n" for line in script))
    (folder / "machine.toml").write_text(MACHINE.replace("ANSWERS", str(folder / "answers.jsonl")))
    (folder / "tiny.toml").write_text(RECIPE.replace("CORPUS", str(folder / "corpus")))
    return folder / "tiny.toml"


def _command(recipe: Path, root: Path, *more: str, verb: str = "run") -> list[str]:
    machine = str(recipe.parent / "machine.toml")
    return [
        sys.executable,
        "-m",
        "hornbook",
        verb,
        str(recipe),
        "--root",
        str(root),
        "--machine",
        machine,
        *more,
    ]


def _run(recipe: Path, root: Path, *more: str, verb: str = "run") -> str:
    done = subprocess.run(
        _command(recipe, root, *more, verb=verb), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def _made(root: Path) -> dict[str, str]:
    """Stage and fingerprint -> manifest, which holds the hash of every file; the report tells times, so not it."""
    found = {path: path.read_text() for path in root.glob("store/*/*/manifest.json")}
    return {str(p.relative_to(root)): text for p, text in found.items() if p.parts[-3] != "report"}


@pytest.fixture(scope="module")
def finished(recipe: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    root = tmp_path_factory.mktemp("finished")
    begun = time.monotonic()
    _run(recipe, root, "--workers", "2", "--quiet")
    return root, time.monotonic() - begun


def test_a_recipe_ends_in_a_report_and_its_numbers(finished: tuple[Path, float]) -> None:
    run = finished[0] / "runs" / "tiny"
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "<script" not in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert json.loads((run / "results.json").read_text())["models"]


def test_running_again_builds_nothing(recipe: Path, finished: tuple[Path, float]) -> None:
    assert json.loads(_run(recipe, finished[0], "--json"))["built"] == 0
    assert "Nothing to do" in _run(recipe, finished[0])


def test_a_change_rebuilds_only_what_depends_on_it(recipe: Path, finished: tuple[Path, float]) -> None:
    changed = recipe.parent / "changed.toml"
    changed.write_text(recipe.read_text().replace("[finetune]\n", "[finetune]\npeak_learning_rate = 0.002\n"))
    rows = json.loads(_run(changed, finished[0], "--json", verb="plan"))["steps"]
    why = {row["step"]: row["why"] for row in rows if row["state"] != "reuse"}
    assert set(why) == {"finetune/textbook", "evaluate/textbook.finetuned", "report"}
    assert why["finetune/textbook"] == "peak_learning_rate: 0.0001 -> 0.002"


def test_killed_three_times_and_resumed_with_one_worker_it_makes_the_same_bytes(
    recipe: Path, finished: tuple[Path, float], tmp_path: Path
) -> None:
    root, seconds = finished
    rng = random.Random(7)
    for _ in range(3):
        process = subprocess.Popen(
            _command(recipe, tmp_path, "--workers", "2", "--quiet"), stderr=subprocess.DEVNULL
        )
        time.sleep(rng.uniform(0.15, 0.45) * seconds)
        process.kill()
        process.wait()
    _run(recipe, tmp_path, "--workers", "1", "--quiet")
    assert _made(tmp_path) == _made(root)


def test_show_status_and_clean_speak_of_what_was_made(recipe: Path, finished: tuple[Path, float]) -> None:
    def ask(*words: str) -> str:
        command = [sys.executable, "-m", "hornbook", *words, "--root", str(finished[0])]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    kept = json.loads(ask("show", "tiny", "filter", "--where", "score >= 0", "--limit", "3", "--json"))
    assert len(kept) == 3
    assert all(0 <= record["score"] <= 1 for record in kept)
    assert "low_score" in ask("show", "tiny", "filter", "--dropped", "--limit", "1")
    why = ask("show", "tiny", "filter", "--id", kept[0]["id"][:12])
    assert "what moved the score most" in why
    assert "nearest labelled documents" in why
    chance = json.loads(ask("show", "tiny", "filter.random", "--id", kept[0]["id"], "--json"))
    assert chance["explanation"]["scored_by"] == "random"
    assert "tiny" in ask("status")
    assert "Nothing to clean" in ask("clean")


def _agree_on_logits(folder: Path) -> None:
    """transformers and hornbook compute the same from these trained weights."""
    torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
    from hornbook.model.checkpoint import load_model

    ours, tokenizer = load_model(folder)
    theirs = transformers.AutoModelForCausalLM.from_pretrained(str(folder)).eval()
    tokens = torch.tensor([tokenizer.encode("def double(x):\n    return 2 * x\n")])
    with torch.no_grad():
        torch.testing.assert_close(ours(tokens), theirs(tokens).logits, atol=1e-4, rtol=0)


def test_a_trained_model_completes_and_is_exported(finished: tuple[Path, float], tmp_path: Path) -> None:
    def ask(*words: str, told: str = "") -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "hornbook", *words, "--root", str(finished[0])]
        return subprocess.run(command, input=told, capture_output=True, text=True, check=False)

    prompt = "def double(x):\n"
    there = ask("complete", "tiny/textbook", prompt, "--tokens", "5", "--json")
    assert json.loads(there.stdout)["prompt"] == prompt
    streamed = ask("complete", "tiny/textbook", "--tokens", "5", told=prompt).stdout
    assert streamed == json.loads(there.stdout)["completion"] + "\n"

    folder, file = tmp_path / "out" / "model", tmp_path / "out" / "model.gguf"
    assert ask("export", "tiny/textbook", "--to", "hf", "--out", str(folder)).returncode == 0
    assert ask("export", "tiny/textbook", "--to", "gguf", "-o", str(file)).returncode == 0
    assert file.read_bytes().startswith(b"GGUF")
    card = (folder / "README.md").read_text()
    assert card == (tmp_path / "out" / "model.md").read_text()
    assert "by the recipe `tiny`, arm `textbook` (finetuned)" in card
    assert re.search(
        r"^\| finetune \| exercises/grammar \| 50% \| \d+ \| \d+\.\d \| 0 \|$", card, re.MULTILINE
    )
    assert re.search(r"^After [\d,]+ tokens of pretraining, [\d,]+ tokens in ", card, re.MULTILINE)
    assert "| Held-out exercises | 10 |" in card
    assert json.loads(ask("complete", str(folder), prompt, "--tokens", "5", "--json").stdout) == json.loads(
        there.stdout
    )

    _agree_on_logits(folder)

    again = ask("export", "tiny/textbook", "--to", "hf", "--out", str(folder))
    assert (again.returncode, "is there already" in again.stderr) == (3, True)
    missing = ask("complete", "tiny/nobody", "x")
    assert (
        missing.stderr.strip() == "error: run tiny trained no 'nobody'; its models: tiny/raw, tiny/textbook"
    )
