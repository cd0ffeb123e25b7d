import shutil
from functools import partial
from pathlib import Path

import orjson
import pytest

from hornbook.core.config import TeacherPlace, parse
from hornbook.core.errors import ConfigError, StageError
from hornbook.core.progress import Silent
from hornbook.core.records import Document
from hornbook.core.shards import DROPPED, read_documents, read_table, shard_name, write_shard
from hornbook.core.tools import Tools
from hornbook.core.workers import Pool
from hornbook.grammar.names import themes
from hornbook.sandbox import Limits, Program, Sandbox
from hornbook.stages.exercises import HELDOUT, ExercisesConfig, exercise, identity, refuted, run
from hornbook.teachers import open_teacher

GRAMMAR = ExercisesConfig(source="grammar", count=150, heldout_count=40, shard_exercises=60)


def tools() -> Tools:
    return Tools(seed=5, sandbox=Sandbox)


def data(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def grammar(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("grammar")
    counts = run(GRAMMAR, {}, out, tools())
    assert counts["heldout"] == 40
    assert counts["kept"] + counts["repeated"] == 150
    assert counts["dropped"] == counts["heldout_failed"] == 0
    return out


def test_grammar_exercises_carry_what_training_and_evaluation_need(grammar: Path) -> None:
    for document in [*read_documents(grammar), *read_documents(grammar, HELDOUT)]:
        meta = document.meta
        assert document.kind == "exercise"
        prompt, solution = document.text[: meta["prompt_chars"]], document.text[meta["prompt_chars"] :]
        assert prompt.endswith('"""\n')
        assert solution.startswith("    ")
        assert f"def {meta['entry_point']}(" in prompt
        assert meta["tests"].startswith("def check(candidate):\n")
        assert (meta["origin"], meta["verdict"]) == ("grammar", "passed")


def test_no_combination_is_both_trained_on_and_held_out(grammar: Path) -> None:
    trained = {frozenset(d.meta["combination"].split("+")) for d in read_documents(grammar)}
    heldout = {frozenset(d.meta["combination"].split("+")) for d in read_documents(grammar, HELDOUT)}
    assert trained
    assert heldout
    assert not trained & heldout


def test_two_workers_and_a_resumed_run_make_the_same_bytes(grammar: Path, tmp_path: Path) -> None:
    shutil.copytree(grammar, tmp_path / "out")
    for lost in (
        "kept/shard-00001.parquet",
        "counts/shard-00001.parquet.json",
        "heldout/shard-00000.parquet",
    ):
        (tmp_path / "out" / lost).unlink()
    (tmp_path / "out" / "counts" / "heldout-shard-00000.parquet.json").unlink()
    pool = Pool(2)
    try:
        run(GRAMMAR, {}, tmp_path / "out", Tools(seed=5, workers=pool, sandbox=Sandbox))
    finally:
        pool.close()
    assert data(tmp_path / "out") == data(grammar)


def test_wrong_solutions_are_found_in_their_batch() -> None:
    good = [made(f"f{n}", f"    return {n}\n", f"    assert candidate() == {n}\n") for n in range(70)]
    wrong = made("g", "    return 0\n", "    assert candidate() == 1\n")
    endless = made("h", "    while True:\n        pass\n", "    assert candidate() == 1\n")
    with Sandbox(mode="fast", limits=Limits(cpu_seconds=0.5)) as sandbox:
        found = refuted([*good, wrong, endless], sandbox)
    assert set(found) == {wrong.id, endless.id}
    assert found[endless.id].startswith("timeout")


def made(name: str, solution: str, check: str) -> Document:
    return exercise(
        (f"def {name}():\n", solution), "t", tests=f"def check(candidate):\n{check}", entry_point=name
    )


CORPUS = [
    '''import math


def area(radius):
    """The area of a circle, rounded.

    >>> area(1)
    3.14
    >>> area(2)
    12.57
    """
    # a comment
    return round(math.pi * radius**2, 2)


def wrong(a, b):
    """Add two numbers and double the result.

    >>> wrong(1, 2)
    7
    """
    total = a + b
    return total * 2


def unproved(words):
    """The longest of some words, or None where there are none."""
    best = None
    for word in words:
        if best is None or len(word) > len(best):
            best = word
    return best


def trivial(x):
    """Its argument."""
    return x


def broken(x=math.no_such_thing):
    """Add up a default that does not exist and some numbers."""
    return sum([x, 1, 2, 3]) + len([x])
''',
    '''def longest(words):
    """The same solution under another name, with another docstring."""
    best = None
    for word in words:
        # the first wins
        if best is None or len(word) > len(best):
            best = word
    return best
''',
]


def corpus(folder: Path) -> Path:
    for number, text in enumerate(CORPUS):
        write_shard(folder, shard_name(number), [Document(text, f"file{number}.py", "code")])
    return folder


def test_functions_are_mined_from_the_corpus_and_their_doctests_decide(tmp_path: Path) -> None:
    out = tmp_path / "out"
    inputs = {"documents": corpus(tmp_path / "corpus")}
    counts = run(ExercisesConfig(source="corpus"), inputs, out, tools())
    kept = {d.meta["name"]: d for d in read_documents(out)}
    assert {name: d.meta["verdict"] for name, d in kept.items()} == {"area": "passed", "unproved": "unproved"}
    assert kept["area"].text.startswith("import math\n\n\ndef area(radius):")
    assert kept["area"].source == "file0.py#area"
    assert counts["skipped.trivial"] == 1
    assert counts["proved"] == 1
    dropped = {
        row["source"]: row["reason"]
        for shard in (out / DROPPED).iterdir()
        for row in read_table(shard).to_pylist()
    }
    assert dropped == {
        "file0.py#wrong": "doctest_failed",
        "file0.py#broken": "does_not_run",
        "file1.py#longest": "duplicate",
    }
    assert {p.name for p in out.iterdir()} == {"kept", "dropped", "counts"}


ANSWERS = {
    "kept": """Sure!
```python
def {0}(n: int) -> int:
    '''Return twice n.'''
    return 2 * n

assert {0}(2) == 4
```
Enjoy.""",
    "no_code": "I would rather not.",
    "not_python": "```python\ndef {0}(n:\n```",
    "no_function": "```python\nx = 1\n```",
    "no_docstring": "```python\ndef {0}(n):\n    return n\nassert {0}(1) == 1\n```",
    "no_tests": '```python\ndef {0}(n):\n    """Return n."""\n    return n\n```',
    "tests_failed": '```python\ndef {0}(n):\n    """Return n."""\n    return n\nassert {0}(1) == 2\n```',
    "stub_passes": '```python\ndef {0}(n):\n    """Print n."""\n    print(n)\nassert {0}(1) is None\n```',
}


def teaching(tmp_path: Path, asks: int) -> Tools:
    """A teacher that gives the n-th theme the n-th answer."""
    lines = [
        {"match": rf"named {theme.name} ", "text": text.replace("{0}", theme.name)}
        for theme, text in zip(themes(asks, 5), ANSWERS.values(), strict=False)
    ]
    script = tmp_path / "script.jsonl"
    script.write_bytes(b"\n".join(map(orjson.dumps, [*lines, {"match": "", "failed": "quota"}])))
    place = TeacherPlace(kind="canned", path=str(script))
    return Tools(
        5, teacher=partial(open_teacher, "canned", place, tmp_path / "cache", Silent()), sandbox=Sandbox
    )


def test_what_a_teacher_writes_is_kept_only_when_its_tests_prove_something(tmp_path: Path) -> None:
    out = tmp_path / "out"
    asks = len(ANSWERS) + 1
    counts = run(ExercisesConfig(source="teacher", asks=asks), {}, out, teaching(tmp_path, asks))
    (kept,) = read_documents(out)
    theme = themes(asks, 5)[0]
    assert kept.meta["name"] == theme.name
    assert kept.meta["concepts"] == [theme.concept]
    assert kept.text.endswith('"""Return twice n."""\n    return 2 * n\n')
    dropped = read_table(out / DROPPED / shard_name(0)).to_pylist()
    assert sorted(row["reason"] for row in dropped) == sorted([*list(ANSWERS)[1:], "teacher_quota"])
    assert {row["text"] for row in dropped if row["reason"] == "no_code"} == {"I would rather not."}
    assert counts["asked"] == asks
    assert counts["kept"] == 1


def test_a_failing_teacher_stops_the_stage(tmp_path: Path) -> None:
    config = ExercisesConfig(source="teacher", asks=20, max_failed_share=0.2)
    with pytest.raises(StageError, match="quota"):
        run(config, {}, tmp_path / "out", teaching(tmp_path, 20))


def test_settings_are_checked_and_what_exercises_come_from_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="heldout_share is 0"):
        run(ExercisesConfig(source="grammar", heldout_share=0.0), {}, tmp_path, tools())
    with pytest.raises(ConfigError, match="breadth"):
        parse(ExercisesConfig, {"source": "grammar", "breadth": "wide"}, "recipe")
    with pytest.raises(StageError, match="sandbox"):
        run(GRAMMAR, {}, tmp_path, Tools())
    with pytest.raises(StageError, match="teacher"):
        run(ExercisesConfig(source="teacher"), {}, tmp_path, tools())
    assert set(identity(GRAMMAR, tmp_path)) == {"tables"}
    assert set(identity(ExercisesConfig(source="teacher"), tmp_path)) == {"names", "prompt"}


def test_a_prompt_of_ones_own_changes_the_identity(tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    own.write_text("--- user ---\nWrite $name about $concept.\n")
    mine = identity(ExercisesConfig(source="teacher", prompt=str(own)), tmp_path)
    assert mine != identity(ExercisesConfig(source="teacher"), tmp_path)


def test_a_stub_is_judged_in_another_process_than_its_tests() -> None:
    with Sandbox(mode="strict") as sandbox:
        cheat = "def f(n):\n    import sys\n    sys.exit(0)\n"
        assert not sandbox.verdict(
            Program(cheat, "def check(candidate):\n    assert candidate(1) == 2\n", "f")
        ).passed
