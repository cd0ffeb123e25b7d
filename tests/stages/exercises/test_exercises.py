import shutil
import time
from functools import partial
from pathlib import Path

import orjson
import pytest

from hornbook.core.context import Tools
from hornbook.core.errors import ConfigError, StageError
from hornbook.core.machine import CannedPlace
from hornbook.core.progress import Silent
from hornbook.core.records import Document
from hornbook.core.shards import (
    DROPPED,
    KEPT,
    read_documents,
    read_json,
    read_table,
    shard_name,
    write_shard,
)
from hornbook.core.workers import Pool
from hornbook.sandbox import Sandbox
from hornbook.stages.exercises.corpus import CorpusConfig
from hornbook.stages.exercises.grammar_source import HELDOUT, GrammarConfig
from hornbook.stages.exercises.step import identity, run
from hornbook.stages.exercises.teacher import TeacherConfig, themes
from hornbook.teachers import open_teacher

GRAMMAR = GrammarConfig(source="grammar", count=150, heldout_count=40, shard_exercises=60, mutated=30)
FIELDS = {"name", "docstring", "signature", "solution", "tests", "concepts", "source", "verdict"}


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
        assert meta.keys() >= FIELDS
        assert (meta["source"], meta["verdict"], meta["solution"]) == ("grammar", "passed", solution)
        assert meta["signature"] in prompt
        assert meta["docstring"].split("\n")[0] in prompt


def test_coverage_counts_names_concepts_difficulty_and_what_the_tests_refute(grammar: Path) -> None:
    found = read_json(grammar / "coverage.json")
    kept = list(read_documents(grammar))
    assert found["exercises"] == len(kept) == found["verdicts"]["passed"]
    assert found["names"] == len({d.meta["name"] for d in kept})
    assert sum(found["difficulty"].values()) == sum(found["complexity"]) == len(kept)
    assert found["concepts"]["list_of_numbers"] == len(kept)
    assert found["mutation"]["mutants"] == 150
    assert 0.8 < found["mutation"]["score"] <= 1


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
    counts = run(CorpusConfig(source="corpus"), inputs, out, tools())
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
    assert {p.name for p in out.iterdir()} == {"kept", "dropped", "counts", "coverage.json"}
    assert "numbers" in kept["area"].meta["concepts"]
    assert "loops" in kept["unproved"].meta["concepts"]
    assert kept["area"].meta["mutants_killed"] >= 2


def test_doctests_that_a_body_without_a_deed_passes_prove_nothing(tmp_path: Path) -> None:
    text = '''def shout(words):
    """Print some words loudly, one a line.

    >>> print(shout([]))
    None
    """
    for word in words:
        print(word.upper() + "!")
'''
    write_shard(tmp_path / "corpus", shard_name(0), [Document(text, "file.py", "code")])
    config = CorpusConfig(source="corpus")
    counts = run(config, {"documents": tmp_path / "corpus"}, tmp_path / "out", tools())
    (kept,) = read_documents(tmp_path / "out")
    assert (kept.meta["verdict"], kept.meta["tests"]) == ("unproved", "")
    assert (counts["proved"], counts["doctests_prove_nothing"]) == (0, 1)


FUNCTION = """Sure!
```python
def {0}(n: int) -> int:
    '''Return twice n, and 0 for a negative one.'''
    if n < 0:
        return 0
    return 2 * n

assert {0}(1) == 3  # what stands beside the solution is not believed
```
Enjoy."""
TESTS = """```python
assert {0}(2) == 4
assert {0}(-1) == 0
assert {0}(0) == 0
assert {0}(7) == 14
```"""
SAID = {
    "kept": (FUNCTION, TESTS),
    "no_code": ("I would rather not.", ""),
    "not_python": ("```python\ndef {0}(n:\n```", ""),
    "no_function": ("```python\nx = 1\n```", ""),
    "no_docstring": ("```python\ndef {0}(n):\n    return n\n```", ""),
    "not_self_contained": ('```python\ndef {0}(n):\n    """Return n."""\n    return other(n)\n```', ""),
    "duplicate": (FUNCTION.replace("# what", "#  what"), ""),
    "few_tests": (
        FUNCTION.replace("2 * n\n", "n * 2\n"),
        "```python\nassert {0}(2) == 4\nassert {0}(2) == 4\nassert 1 == 1\n```",
    ),
    "tests_failed": (FUNCTION.replace("2 * n\n", "n + n\n"), TESTS.replace("== 14", "== 15")),
    "stub_passes": (
        '```python\ndef {0}(n):\n    """Print n."""\n    print(n)\n```',
        "```python\nassert {0}(1) is None\nassert {0}(2) is None\nassert {0}(3) is None\n```",
    ),
    "weak_tests": (
        FUNCTION.replace(
            "    if n < 0:\n        return 0\n", "    n = 3 * n - 2 * n * (n > 5) * min(n, 9)\n"
        ),
        "```python\nassert {0}(0) == 0\nassert {0}(-0) == 0\nassert {0}(0 + 0) == 0\n```",
    ),
}
"""Why it is dropped -> what a teacher says when it is asked for a function, and for its tests."""


def teaching(tmp_path: Path, asks: int) -> Tools:
    """A teacher that gives the n-th theme the n-th pair of answers."""
    lines = []
    for theme, (function, tests) in zip(themes(asks, 5), SAID.values(), strict=False):
        lines.append({"match": rf"named {theme.name} ", "text": function.replace("{0}", theme.name)})
        if tests:
            lines.append({"match": rf"def {theme.name}\(", "text": tests.replace("{0}", theme.name)})
    script = tmp_path / "script.jsonl"
    script.write_bytes(b"\n".join(map(orjson.dumps, [*lines, {"match": "", "failed": "quota"}])))
    place = CannedPlace(path=str(script))
    return Tools(
        5, teacher=partial(open_teacher, "canned", place, tmp_path / "cache", Silent()), sandbox=Sandbox
    )


def test_what_a_teacher_writes_is_kept_only_when_tests_that_it_wrote_apart_prove_it(tmp_path: Path) -> None:
    out = tmp_path / "out"
    asks = len(SAID) + 1
    config = TeacherConfig(source="teacher", asks=asks, shard_asks=7)
    counts = run(config, {}, out, teaching(tmp_path, asks))
    (kept,) = read_documents(out)
    theme = themes(asks, 5)[0]
    assert kept.meta.keys() >= FIELDS
    assert (kept.meta["name"], kept.meta["concepts"]) == (theme.name, [theme.concept])
    assert (kept.meta["asked_difficulty"], kept.meta["verdict"]) == (theme.difficulty, "passed")
    assert kept.meta["solution"] == "    if n < 0:\n        return 0\n    return 2 * n\n"
    assert kept.meta["tests"].count("assert") == 4
    assert "== 3" not in kept.meta["tests"]
    assert 2 <= kept.meta["mutants_killed"] <= kept.meta["mutants"]
    dropped = {
        row["reason"]: row
        for shard in sorted((out / DROPPED).iterdir())
        for row in read_table(shard).to_pylist()
    }
    assert set(dropped) == {*list(SAID)[1:], "teacher_quota"}
    assert dropped["no_code"]["text"] == "I would rather not."
    assert "== 15" in orjson.loads(dropped["tests_failed"]["meta"])["tests_answer"]
    assert (counts["asked"], counts["kept"], counts["readable"]) == (asks, 1, 5)
    assert len(list((out / KEPT).iterdir())) == 2


def test_a_solution_that_passes_only_once_is_refused(tmp_path: Path) -> None:
    """A program that notices that it runs in a second, fresh sandbox: by when the machine's clock says it is."""
    name = themes(1, 5)[0].name
    now = time.time()
    body = f"    import time\n    late = time.time() > {now} + SECONDS\n    return n if late else 2 * n\n"
    tests = f"```python\nassert {name}(1) == 2\nassert {name}(2) == 4\nassert {name}(5) == 10\n```"

    class Slow(Sandbox):
        """The real one, opened for the third time only when the solution has come to change its mind."""

        opened = 0

        def __enter__(self) -> Sandbox:
            Slow.opened += 1
            if Slow.opened == 3:
                time.sleep(max(0.0, now + 4.5 - time.time()))
            return super().__enter__()

    function = f'```python\ndef {name}(n):\n    """Return twice n."""\n{body.replace("SECONDS", "4")}```'
    script = [{"match": f"named {name} ", "text": function}, {"match": f"def {name}", "text": tests}]
    (tmp_path / "script.jsonl").write_bytes(b"\n".join(map(orjson.dumps, script)))
    place = CannedPlace(path=str(tmp_path / "script.jsonl"))
    teacher = partial(open_teacher, "canned", place, tmp_path / "cache", Silent())
    counts = run(
        TeacherConfig(source="teacher", asks=1), {}, tmp_path / "out", Tools(5, teacher=teacher, sandbox=Slow)
    )
    assert counts["dropped.unstable"] == 1


def test_a_failing_teacher_stops_the_stage(tmp_path: Path) -> None:
    config = TeacherConfig(source="teacher", asks=20, max_failed_share=0.2)
    with pytest.raises(StageError, match="quota"):
        run(config, {}, tmp_path / "out", teaching(tmp_path, 20))


def test_a_teacher_writes_tests_for_functions_of_the_corpus_that_have_none(tmp_path: Path) -> None:
    tests = """```python
assert unproved(["a", "bcd", "ef"]) == "bcd"
assert unproved([]) is None
assert unproved(["ab", "cd"]) == "ab"
```"""
    (tmp_path / "script.jsonl").write_bytes(orjson.dumps({"match": r"def unproved\(", "text": tests}))
    place = CannedPlace(path=str(tmp_path / "script.jsonl"))
    teacher = partial(open_teacher, "canned", place, tmp_path / "cache", Silent())
    config = CorpusConfig(source="corpus", ask_for_tests=5)
    inputs = {"documents": corpus(tmp_path / "corpus")}
    counts = run(config, inputs, tmp_path / "out", Tools(5, teacher=teacher, sandbox=Sandbox))
    kept = {d.meta["name"]: d.meta for d in read_documents(tmp_path / "out")}
    assert {name: meta["verdict"] for name, meta in kept.items()} == {"area": "passed", "unproved": "passed"}
    assert "bcd" in kept["unproved"]["tests"]
    assert (counts["asked"], counts["proved"], counts["dropped.duplicate"]) == (1, 2, 1)
    assert {p.name for p in (tmp_path / "out").iterdir()} == {"kept", "dropped", "counts", "coverage.json"}
    assert config.asks_teacher


def test_settings_are_checked_and_what_exercises_come_from_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="heldout_share is 0"):
        run(GrammarConfig(source="grammar", heldout_share=0.0), {}, tmp_path, tools())
    with pytest.raises(StageError, match="sandbox"):
        run(GRAMMAR, {}, tmp_path, Tools())
    with pytest.raises(StageError, match="teacher"):
        run(TeacherConfig(source="teacher"), {}, tmp_path, tools())
    assert set(identity(GRAMMAR, tmp_path)) == {"tables"}
    assert set(identity(TeacherConfig(source="teacher"), tmp_path)) == {"names", "prompt", "tests_prompt"}
    assert identity(CorpusConfig(source="corpus"), tmp_path) == {}


def test_a_prompt_of_ones_own_changes_the_identity(tmp_path: Path) -> None:
    own = tmp_path / "own.txt"
    own.write_text("--- user ---\nWrite $name about $concept.\n")
    mine = identity(TeacherConfig(source="teacher", prompt=str(own)), tmp_path)
    assert mine != identity(TeacherConfig(source="teacher"), tmp_path)
