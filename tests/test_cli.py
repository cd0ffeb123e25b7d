"""A person's mistake ends in one clear line and a non-zero exit code."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from importlib.resources import files
from pathlib import Path

import pytest

from hornbook.core.settings import parse, read_toml
from hornbook.experiment.recipe import Recipe
from hornbook.experiment.steps import steps

NANO = Path(str(files("hornbook") / "recipes" / "nano.toml"))


def _fail(*words: str, **more: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "hornbook", *words],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **more},
    )
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("keep_share", "keep_shar"), "unknown key filter.keep_shar; did you mean keep_share?"),
        (
            ("keep_share = 0.2", "keep_share = 7"),
            "filter.keep_share is 7; it should be less than or equal to 1",
        ),
        (('mix = "raw"', 'mix = "row"'), "arms.raw names mix 'row'; the mixes are exercises, raw, textbook"),
        (('kind = "stdlib"', 'kind = "folder"\npath = "nowhere"'), "nowhere"),
        (("[read]", "[read"), "is not TOML"),
        (("[read]", '[read]\n"\\u001b[2J" = 1'), r"unknown key read.\x1b[2J"),
    ],
)
def test_a_wrong_recipe_is_one_line(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(NANO.read_text().replace(*change))
    code, error = _fail("plan", str(path), "--root", str(tmp_path / "root"))
    assert code in (2, 3)
    assert said in error
    assert len(error.strip().splitlines()) == 1
    assert error.startswith("error: ")


def test_an_unknown_recipe_and_run_name_the_known_ones(tmp_path: Path) -> None:
    code, error = _fail("plan", "nanoo")
    assert (code, "shipped recipes: " in error, "nano" in error) == (3, True, True)
    code, error = _fail("show", "nano", "read", "--root", str(tmp_path))
    assert (code, "no finished run 'nano'" in error) == (3, True)


def test_a_missing_teacher_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    for number in range(30):
        (tmp_path / "corpus" / f"m{number}.py").write_text(
            f"def f{number}(x):\n    return x + {number}\n" * 9
        )
    machine = tmp_path / "machine.toml"
    machine.write_text('[teachers."SmolLM2-135M-Instruct"]\npath = "no-such.gguf"\n')
    recipe = tmp_path / "mine.toml"
    text = NANO.read_text().replace('kind = "stdlib"', f'kind = "folder"\npath = "{tmp_path / "corpus"}"')
    recipe.write_text(text.replace('[[read.sources]]\nkind = "installed"\n', ""))
    code, error = _fail(
        "run", str(recipe), "--root", str(tmp_path / "r"), "--machine", str(machine), "--quiet"
    )
    assert code == 6
    assert "no-such.gguf" in error
    assert "Traceback" not in error


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    """A recipe of one folder with one file, from which no model is made."""
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "m.py").write_text("def half(x):\n    return x / 2\n" * 5)
    recipe = tmp_path / "mine.toml"
    source = f'[[read.sources]]\nkind = "folder"\npath = "{tmp_path / "code"}"\n'
    recipe.write_text(f'name = "mine"\n[dedup]\n{source}')
    return recipe


def test_a_corpus_needs_few_lines_and_the_run_ends_with_its_answer(corpus: Path) -> None:
    root = str(corpus.parent / "root")
    words = [sys.executable, "-m", "hornbook", "run", str(corpus), "--root", root, "--workers", "1"]
    said = subprocess.run(words, capture_output=True, text=True, check=True)
    assert said.stdout.splitlines()[1:3] == [
        "No model was trained.",
        f"Report:  {root}/runs/mine/report.html",
    ]
    corpus.write_text(corpus.read_text().replace("kind", 'suffix = ".txt"\nkind'))
    (corpus.parent / "code" / "empty.txt").touch()
    again = subprocess.run(words, capture_output=True, text=True, check=True)
    assert "sources.0.suffix: '.py' -> '.txt'; files changed" in again.stderr
    assert "read: nothing was kept of 1 (empty 1); hornbook show mine read --dropped" in again.stderr
    told = subprocess.run(
        [*words[:3], "show", "mine", "read", "--root", root], capture_output=True, text=True, check=True
    )
    assert told.stdout == "There is no record in it.\n"


def test_a_step_that_was_left_unfinished_is_planned_as_such(corpus: Path) -> None:
    words = [
        sys.executable,
        "-m",
        "hornbook",
        "plan",
        str(corpus),
        "--json",
        "--root",
        str(corpus.parent),
    ]
    (first, *_) = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)[
        "steps"
    ]
    assert (first["state"], first["why"]) == ("build", "not built yet")
    (corpus.parent / "store" / "read" / f"{first['fingerprint']}.partial").mkdir(parents=True)
    (first, *_) = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)[
        "steps"
    ]
    assert (first["state"], first["why"]) == ("resume", "left unfinished")


def test_an_interrupt_says_that_the_work_is_kept(corpus: Path) -> None:
    corpus.write_text('name = "mine"\n[dedup]\n[[read.sources]]\nkind = "stdlib"\n')
    words = [sys.executable, "-m", "hornbook", "run", str(corpus), "--root", str(corpus.parent / "root")]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as run:
        assert run.stderr is not None
        assert run.stderr.readline().startswith("[ 1/4] read")
        run.send_signal(signal.SIGINT)
        assert run.stderr.readline() == "\n"
        assert run.stderr.readline().startswith("stopping: ")
        said = run.stderr.read()
    assert run.returncode == 130
    assert said.endswith("stopped; run the same command again to resume: finished work is kept\n")
    assert "Traceback" not in said


def test_the_help_imports_nothing_heavy() -> None:
    heavy = "pydantic duckdb sklearn scipy torch openai pyarrow numpy huggingface_hub tokenizers transformers"
    program = (
        "import sys\nfrom hornbook.cli.main import main\nsys.argv = ['hornbook', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print('heavy:', *sorted(set({heavy.split()}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "Usage" in done.stdout
    assert done.stdout.splitlines()[-1] == "heavy:"


def test_a_root_that_is_no_folder_is_named(corpus: Path) -> None:
    code, error = _fail("run", str(corpus), "--root", str(corpus / "x"))
    assert (code, error) == (3, f"error: root {corpus}/x: {corpus} is a file; name a folder with --root\n")


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="mounting a small tmpfs needs root")
def test_a_root_that_became_read_only_is_one_line(corpus: Path) -> None:
    root = corpus.parent / "root"
    root.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "none", root], capture_output=True, check=False).returncode:
        pytest.skip("a tmpfs cannot be mounted here")
    try:
        assert _fail("run", str(corpus), "--root", str(root), "--workers", "1")[0] == 0
        subprocess.run(["mount", "-o", "remount,ro", root], check=True)
        code, error = _fail("run", str(corpus), "--root", str(root), "--quiet")
    finally:
        subprocess.run(["umount", root], check=True)
    assert code == 4
    assert "Read-only file system" in error
    assert "Traceback" not in error


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="mounting a small tmpfs needs root")
def test_a_full_disk_is_one_line_and_nothing_is_half_there(tmp_path: Path) -> None:
    root = tmp_path / "small"
    root.mkdir()
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", str(root)], check=False
    ).returncode:
        pytest.skip("this machine does not allow mounting a tmpfs")
    try:
        (tmp_path / "corpus").mkdir()
        noise = "".join(f"value_{n} = '{os.urandom(24).hex()}'\nprint(value_{n})\n" for n in range(40_000))
        for number in range(8):
            (tmp_path / "corpus" / f"m{number}.py").write_text(
                noise[number * 100_000 : (number + 1) * 100_000]
            )
        recipe = tmp_path / "mine.toml"
        text = NANO.read_text().replace('kind = "stdlib"', f'kind = "folder"\npath = "{tmp_path / "corpus"}"')
        recipe.write_text(text.replace('[[read.sources]]\nkind = "installed"\n', ""))
        code, error = _fail("run", str(recipe), "--root", str(root), "--workers", "1", "--quiet")
        assert code == 4
        assert "No space left" in error
        assert not list(root.glob("store/annotate/*/manifest.json"))
        assert not list(root.glob("store/**/.*.partial"))
    finally:
        subprocess.run(["umount", str(root)], check=True)


def test_help_answers_at_once_and_shows_examples() -> None:
    begun = time.process_time()
    done = subprocess.run(
        [sys.executable, "-m", "hornbook", "run", "--help"], capture_output=True, text=True, check=True
    )
    assert "hornbook run nano" in done.stdout
    assert time.process_time() - begun < 5


def test_every_shipped_recipe_lays_out_steps_after_what_they_read() -> None:
    for path in NANO.parent.glob("*.toml"):
        seen: set[str] = set()
        for step in steps(parse(Recipe, read_toml(path), path.name)):
            assert set(step.inputs.values()) <= seen, step.key
            seen.add(step.key)
