"""textbooks: what is kept and why the rest is not; rounds, books, grounding, the control; killed and resumed."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from importlib.resources import files
from pathlib import Path

import orjson
import pytest

from hornbook.core.context import Tools
from hornbook.core.errors import ConfigError, StageError
from hornbook.core.machine import CannedPlace
from hornbook.core.progress import Silent
from hornbook.core.records import Document
from hornbook.core.settings import parse, read_toml
from hornbook.core.shards import DROPPED, read_documents, read_table, write_shard
from hornbook.experiment.recipe import Recipe
from hornbook.experiment.steps import steps
from hornbook.sandbox import Sandbox
from hornbook.stages.textbooks.step import TextbooksConfig, asks, identity, run
from hornbook.stages.textbooks.writer import trim
from hornbook.teachers import Answer, Ask, open_teacher


def page(code: str, prose: str = "This prints the result of the sum, as we wanted it to.") -> str:
    return f"An idea.\n\n```python\n{code}\n```\n\n{prose}"


TEXTS = {
    "kept": page("def double(x):\n    return 2 * x\n\nif __name__ == '__main__':\n    print(double(4))"),
    "two": "One.\n```python\nx = 1\n```\nThen:\n```python\nprint(x + 1)\n```\nDone, and x was there.",
    "no_code": "There is nothing to run on this page at all.",
    "block_failed": page("print(undefined_name)"),
    "prints_nothing": page("x = 1"),
    "repetitive": page("print(1)", "This is the end of it. " * 40),
    "truncated": "An idea.\n\n```python\n" + "print( 1 )\n" * 200 + "```",
}


def tools_with(tmp_path: Path, *texts: str, failed: str = "") -> Tools:
    script = tmp_path / "script.jsonl"
    script.write_bytes(
        orjson.dumps({"texts": texts, "failed": failed, "detail": "over quota" if failed else ""})
    )
    place = CannedPlace(path=str(script))
    teacher = partial(open_teacher, "canned", place, tmp_path / "cache", Silent())
    return Tools(seed=7, teacher=teacher, sandbox=Sandbox)


def test_pages_whose_code_runs_are_kept_and_the_others_have_their_reason(tmp_path: Path) -> None:
    config = TextbooksConfig(pages=60, max_answer_tokens=300)
    counts = run(config, {}, tmp_path, tools_with(tmp_path, *TEXTS.values()))
    kept = {d.text: d for d in read_documents(tmp_path)}
    assert set(kept) == {TEXTS["kept"], TEXTS["two"]}
    assert [b["outcome"] for b in kept[TEXTS["two"]].meta["blocks"]] == ["passed", "passed"]
    assert all(d.kind == "textbook" and d.meta["topic"] and d.meta["audience"] for d in kept.values())
    dropped = read_table(tmp_path / DROPPED / "shard-00000.parquet").to_pylist()
    reasons = {row["text"]: row["reason"] for row in dropped if row["reason"] != "duplicate"}
    for reason in ("no_code", "block_failed", "prints_nothing", "repetitive"):
        assert reasons[trim(TEXTS[reason], truncated=False)] == reason
    assert counts["dropped.truncated"] > 0
    assert counts["dropped.duplicate"] > 0
    assert counts["kept"] + counts["dropped"] == 60
    detail = next(row["detail"] for row in dropped if row["reason"] == "block_failed")
    assert "undefined_name" in detail


def test_a_finished_shard_is_not_written_again_and_the_rest_gives_the_same_bytes(
    tmp_path: Path,
) -> None:
    texts = [
        page(f"print('{word} ' + str({n}))") for n, word in enumerate(["ant", "bee", "cat", "dog", "elk"])
    ]
    config = TextbooksConfig(pages=10, pages_a_round=4, near_duplicate=1, min_new_share=0)
    whole = run(config, {}, tmp_path / "whole", tools_with(tmp_path, *texts))
    run(config, {}, tmp_path / "again", tools_with(tmp_path, *texts))
    for part in ("counts/shard-00001.parquet.json", "kept/shard-00001.parquet"):
        (tmp_path / "again" / part).unlink()
    before = (tmp_path / "again/kept/shard-00000.parquet").stat().st_mtime_ns
    assert run(config, {}, tmp_path / "again", tools_with(tmp_path, *texts)) == whole
    assert (tmp_path / "again/kept/shard-00000.parquet").stat().st_mtime_ns == before
    for name in ("shard-00000.parquet", "shard-00001.parquet", "shard-00002.parquet"):
        assert (tmp_path / "again/kept" / name).read_bytes() == (tmp_path / "whole/kept" / name).read_bytes()


def script(tmp_path: Path, *lines: dict[str, object]) -> Tools:
    """Tools with a canned teacher that answers by the last message."""
    (tmp_path / "script.jsonl").write_bytes(b"\n".join(map(orjson.dumps, lines)))
    place = CannedPlace(path=str(tmp_path / "script.jsonl"))
    teacher = partial(open_teacher, "canned", place, tmp_path / "cache", Silent())
    return Tools(seed=7, teacher=teacher, sandbox=Sandbox)


def prose(seed: int) -> str:
    """A different page for each seed."""
    words = random.Random(seed).choices(
        ["loop", "list", "name", "value", "branch", "sum", "index", "key", "text", "count"], k=60
    )
    return page(f"print({seed})", " ".join(words) + ".")


LOOSE = {"near_duplicate": 1.0, "min_new_share": 0.0}


def test_pages_that_say_something_false_are_dropped_or_only_marked(tmp_path: Path) -> None:
    tools = tools_with(
        tmp_path, page("print(2 + 3)  # 6", "It adds."), page("print(2 + 3)", "It prints `5`.")
    )
    counts = run(TextbooksConfig(pages=12), {}, tmp_path / "a", tools)
    [kept] = read_documents(tmp_path / "a")
    assert [claim["verdict"] for claim in kept.meta["claims"]] == ["holds"]
    dropped = read_table(tmp_path / "a" / DROPPED / "shard-00000.parquet").to_pylist()
    assert {r["detail"] for r in dropped if r["reason"] == "wrong_claim"} == {"says '6', prints '5\\n'"}
    assert counts["claims.wrong"] == counts["dropped.wrong_claim"]
    run(TextbooksConfig(pages=12, wrong_claims="keep"), {}, tmp_path / "b", tools)
    verdicts = [claim["verdict"] for d in read_documents(tmp_path / "b") for claim in d.meta["claims"]]
    assert sorted(verdicts) == ["holds", "wrong"]


def test_near_copies_and_pages_without_news_are_dropped(tmp_path: Path) -> None:
    base = prose(1).replace("print(1)", "print('here')")
    near, stitched = (
        base.replace("An idea.", "The idea."),
        base + "\n\n" + base.replace("An idea.", "Some idea."),
    )
    tools = tools_with(tmp_path, base, near, stitched)
    counts = run(TextbooksConfig(pages=20, min_compression=0.0), {}, tmp_path / "a", tools)
    assert counts["kept"] == 1
    assert counts["dropped.near_duplicate"] > 0
    assert counts["dropped.duplicate"] > 0


def test_cells_of_a_teacher_that_fails_on_a_topic_are_left(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text(
        'replace = ["topics"]\n[[chapter]]\narea = "a"\ntitle = "A"\ntopics = ["good one", "bad one"]\n'
    )
    lines = (
        {"match": "about bad", "text": TEXTS["no_code"]},
        {"match": "", "texts": [prose(n) for n in range(40)]},
    )
    config = TextbooksConfig(pages=40, pages_a_round=4, stop_after=3, curriculum=str(own), **LOOSE)
    counts = run(config, {}, tmp_path / "a", script(tmp_path, *lines))
    told = json.loads((tmp_path / "a/diversity.json").read_text())
    assert told["left"] == ["bad one"]
    assert counts["topics_left"] == 1
    # learnt two rounds late: rounds 0 and 1 ask twice each, then once more each until the third failure is known
    assert counts["dropped.no_code"] <= 8
    assert told["coverage"]["topics"] == {"all": 2, "asked": 2, "kept": 1}


def test_a_book_is_outlined_then_written_chapter_by_chapter(tmp_path: Path) -> None:
    outline = {"title": "On lists", "chapters": [{"title": f"Part {n}", "goal": "g"} for n in "AB"]}
    chapter = {"title": "x", "pages": [{"title": f"Page {n}", "point": "p"} for n in range(3)]}
    lines = (
        {"match": "Plan a short book", "text": "Here it is:\n```json\n" + json.dumps(outline) + "\n```"},
        {"match": "Plan chapter", "text": json.dumps(chapter)},
        {"match": r"this is the first page(.|\n)*Go on", "texts": [prose(n) + " FIRST" for n in range(40)]},
        {"match": "FIRST(.|\n)*Go on", "texts": [prose(100 + n) for n in range(40)]},
        {"match": "", "text": TEXTS["kept"]},
    )
    config = TextbooksConfig(pages=1, books={"count": 2, "chapters": 2, "pages": 2}, **LOOSE)  # type: ignore[arg-type]
    run(config, {}, tmp_path / "a", script(tmp_path, *lines))
    pages = [d for d in read_documents(tmp_path / "a") if "book" in d.meta]
    dropped = [d for d in read_documents(tmp_path / "a", DROPPED) if "book" in d.meta]
    places = [(d.source.split("/")[2], *d.meta["book_place"]) for d in [*pages, *dropped]]
    assert sorted(places) == [(book, c, p) for book in "01" for c in (1, 2) for p in (1, 2)]
    assert all(d.meta["book"] == "On lists" for d in pages)
    assert {d.meta["topic"] for d in pages} <= {"Page 0", "Page 1"}
    firsts = [d for d in [*pages, *dropped] if d.meta["book_place"][1] == 1]
    assert all("FIRST" in d.text for d in firsts)
    assert len({d.meta["chapter"] for d in [*pages, *dropped]}) == 2


def test_a_book_without_a_usable_outline_is_a_counted_failure(tmp_path: Path) -> None:
    lines = (
        {"match": "Plan a short book|could not be used", "text": "I would rather not."},
        {"match": "", "text": TEXTS["kept"]},
    )
    config = TextbooksConfig(pages=1, books={"count": 1}, max_failed_share=0.5)  # type: ignore[arg-type]
    counts = run(config, {}, tmp_path / "a", script(tmp_path, *lines))
    assert counts["dropped.teacher_no_json"] == 1


FUNCTION = '''def doubled(values: list[int]) -> list[int]:
    """Return twice each of the values, in their order, as a new list; the values stay as they are.

    The order matters to those who compare the list with another one, and so it is kept.
    """
    found = []
    for value in values:
        found.append(2 * value)
    return found
'''


def test_a_grounded_page_explains_a_function_of_the_corpus(tmp_path: Path) -> None:
    write_shard(tmp_path / "filter", "shard-00000.parquet", [Document(FUNCTION, "pkg/lists.py", "code")])
    good = page(FUNCTION + "\nprint(doubled([1, 2]))")
    lines = ({"match": "def doubled", "texts": [good]}, {"match": "", "texts": [prose(n) for n in range(30)]})
    config = TextbooksConfig(pages=10, grounded_share=0.4, **LOOSE)
    run(config, {"documents": tmp_path / "filter"}, tmp_path / "a", script(tmp_path, *lines))
    [found] = [d for d in read_documents(tmp_path / "a") if "function" in d.meta]
    assert found.meta["function"] == {"name": "doubled", "source": "pkg/lists.py"}
    assert json.loads((tmp_path / "a/diversity.json").read_text())["grounded"] == 1
    lines = (
        {"match": "def doubled", "text": TEXTS["kept"]},
        {"match": "", "texts": [prose(n) for n in range(30)]},
    )
    counts = run(config, {"documents": tmp_path / "filter"}, tmp_path / "b", script(tmp_path, *lines))
    assert counts["dropped.function_missing"] == 1
    write_shard(tmp_path / "none", "shard-00000.parquet", [Document("x = 1", "pkg/x.py", "code")])
    with pytest.raises(StageError, match=r"no documented function of the filtered corpus stands on its own"):
        run(config, {"documents": tmp_path / "none"}, tmp_path / "c", script(tmp_path, *lines))


def test_only_grounded_pages_wait_for_the_filter() -> None:
    values = read_toml(Path(str(files("hornbook") / "recipes" / "nano.toml")))

    def inputs(**more: object) -> dict[str, str]:
        recipe = parse(Recipe, {**values, "textbooks": {**values["textbooks"], **more}}, "nano")
        return next(dict(step.inputs) for step in steps(recipe) if step.key == "textbooks")

    assert inputs() == {}
    assert inputs(grounded_share=0.1) == {"documents": "filter"}
    del values["filter"]
    values["mixes"]["textbook"]["parts"] = {"textbooks": 1.0}
    assert inputs() == {}
    with pytest.raises(ConfigError, match=r"\[textbooks\] needs \[filter\]"):
        inputs(grounded_share=0.1)


def test_the_plain_control_is_measured_and_stays_out_of_the_dataset(tmp_path: Path) -> None:
    lines = (
        {"match": "teaches Python programming", "texts": [prose(n) for n in range(3)]},
        {"match": "", "texts": [prose(100 + n) for n in range(60)]},
    )
    config = TextbooksConfig(pages=20, plain_pages=20, **LOOSE)
    run(config, {}, tmp_path / "a", script(tmp_path, *lines))
    told = json.loads((tmp_path / "a/diversity.json").read_text())
    assert told["written"]["tokens"] == told["plain"]["tokens"]
    assert told["plain"]["near_duplicates"] > 0.5 > told["written"]["near_duplicates"]
    assert told["plain"]["new_per_thousand"] < told["written"]["new_per_thousand"] / 2
    assert all(not d.source.startswith("textbooks/plain") for d in read_documents(tmp_path / "a"))


def test_a_run_stopped_anywhere_ends_with_the_same_bytes(tmp_path: Path) -> None:
    """Every choice rests on finished shards alone, so any prefix of them is a place to go on from."""
    texts = [*(prose(n) for n in range(30)), TEXTS["no_code"], page("print(2 + 3)  # 6")]
    config = TextbooksConfig(
        pages=24, plain_pages=4, pages_a_round=4, stop_after=1, areas=("numbers",), **LOOSE
    )
    run(config, {}, tmp_path / "whole", tools_with(tmp_path, *texts))
    names = sorted(path.name for path in (tmp_path / "whole/counts").iterdir())
    for cut in (1, 3):
        again = tmp_path / f"cut{cut}"
        shutil.copytree(tmp_path / "whole", again)
        (again / "diversity.json").unlink()
        for name in names[cut:]:
            (again / "counts" / name).unlink()
        shutil.rmtree(again / "plain")
        run(config, {}, again, tools_with(tmp_path, *texts))
        files = [path for path in sorted((tmp_path / "whole").rglob("*")) if path.is_file()]
        assert len(files) > 15
        for file in files:
            assert (again / file.relative_to(tmp_path / "whole")).read_bytes() == file.read_bytes()


class Slow:
    """A teacher that takes a while for each answer, several at a time."""

    model, revision, concurrency, grace_seconds = "slow", "1", 4, 0.0

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.told: list[float] = []

    async def answer(self, ask: Ask) -> Answer:
        await asyncio.sleep(self.seconds)
        self.told.append(time.monotonic())
        number = len(self.told)
        return Answer(page(f"sum(range(2_000_000))\nprint({number})", prose(number)))

    def close(self) -> None:
        pass


def test_code_runs_while_the_teacher_answers(tmp_path: Path) -> None:
    teacher = Slow(0.15)

    @contextmanager
    def opened() -> Iterator[Slow]:
        yield teacher

    tools = Tools(seed=7, teacher=opened, sandbox=Sandbox)
    begun = time.monotonic()
    run(TextbooksConfig(pages=40, pages_a_round=10, **LOOSE), {}, tmp_path / "a", tools)
    whole = time.monotonic() - begun
    asking = teacher.told[-1] - teacher.told[0]
    assert len(teacher.told) == 40
    assert asking < 3 * 10 * 0.15
    assert whole < asking + 3


def test_the_forecast_is_what_is_asked_where_every_page_yields_something(tmp_path: Path) -> None:
    config = TextbooksConfig(pages=30, plain_pages=3, pages_a_round=7, **LOOSE)
    asked: list[Ask] = []

    class Noting(Slow):
        async def answer(self, ask: Ask) -> Answer:
            asked.append(ask)
            return Answer(prose(len(asked)))

    @contextmanager
    def opened() -> Iterator[Slow]:
        yield Noting(0)

    run(config, {}, tmp_path / "a", Tools(seed=7, teacher=opened, sandbox=Sandbox))
    forecast = asks(config, {}, 7)
    assert set(forecast.asks) == set(asked)
    assert forecast.guess == "cells are chosen by what earlier rounds yield"
    more = TextbooksConfig(pages=4, grounded_share=1, books={"count": 2, "chapters": 3, "pages": 2})  # type: ignore[arg-type]
    assert len(list(asks(more, {}, 7).asks)) == 4 + 2 * (1 + 3 * (1 + 2))
    assert "there are no documents yet" in asks(more, {}, 7).guess


def test_prompts_and_curriculum_are_part_of_the_identity(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text('[[style]]\nname = "verse"\ntext = "In verse."\n')
    plain = identity(TextbooksConfig(), tmp_path)
    assert set(plain) == {"prompt.page", "curriculum"}
    assert identity(TextbooksConfig(curriculum=str(own)), tmp_path)["curriculum"] != plain["curriculum"]
    everything = TextbooksConfig(grounded_share=0.1, plain_pages=1, books={"count": 1})  # type: ignore[arg-type]
    assert set(identity(everything, tmp_path)) >= {"prompt.grounded", "prompt.plain", "prompt.books.page"}


def test_nothing_left_and_a_failing_teacher_stop_the_stage(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"none of 3 pages survived \(3 no_code\)"):
        run(TextbooksConfig(pages=3), {}, tmp_path, tools_with(tmp_path, TEXTS["no_code"]))
    with pytest.raises(
        StageError, match=r"textbooks: more than 10% of 5 asks failed \(1 quota; last: over quota\)"
    ):
        run(TextbooksConfig(pages=5), {}, tmp_path / "b", tools_with(tmp_path, "", failed="quota"))
