from functools import partial
from pathlib import Path

import orjson
import pytest

from hornbook.core.config import CannedPlace
from hornbook.core.errors import ConfigError, InputError, StageError
from hornbook.core.progress import Silent
from hornbook.core.shards import DROPPED, read_documents, read_table
from hornbook.core.tools import Tools
from hornbook.curriculum import load_curriculum
from hornbook.sandbox import Sandbox, Verdict
from hornbook.stages import textbooks
from hornbook.stages.textbooks import TextbooksConfig, block_records, code_blocks, identity, run, trim
from hornbook.teachers import open_teacher


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
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(textbooks, "PAGES_A_SHARD", 4)
    texts = [
        page(f"print('{word} ' + str({n}))") for n, word in enumerate(["ant", "bee", "cat", "dog", "elk"])
    ]
    config = TextbooksConfig(pages=10)
    whole = run(config, {}, tmp_path / "whole", tools_with(tmp_path, *texts))
    run(config, {}, tmp_path / "again", tools_with(tmp_path, *texts))
    for part in ("counts/shard-00001.parquet.json", "kept/shard-00001.parquet"):
        (tmp_path / "again" / part).unlink()
    before = (tmp_path / "again/kept/shard-00000.parquet").stat().st_mtime_ns
    assert run(config, {}, tmp_path / "again", tools_with(tmp_path, *texts)) == whole
    assert (tmp_path / "again/kept/shard-00000.parquet").stat().st_mtime_ns == before
    for name in ("shard-00000.parquet", "shard-00001.parquet", "shard-00002.parquet"):
        assert (tmp_path / "again/kept" / name).read_bytes() == (tmp_path / "whole/kept" / name).read_bytes()


def test_more_pages_change_none_of_the_first(tmp_path: Path) -> None:
    curriculum = load_curriculum()
    assert list(curriculum.draw(range(20), 3)) == list(curriculum.draw(range(40), 3))[:20]


def test_nothing_left_and_a_failing_teacher_stop_the_stage(tmp_path: Path) -> None:
    with pytest.raises(StageError, match=r"none of 3 pages survived \(3 no_code\)"):
        run(TextbooksConfig(pages=3), {}, tmp_path, tools_with(tmp_path, TEXTS["no_code"]))
    with pytest.raises(
        StageError, match=r"textbooks: more than 10% of 5 asks failed \(1 quota; last: over quota\)"
    ):
        run(TextbooksConfig(pages=5), {}, tmp_path / "b", tools_with(tmp_path, "", failed="quota"))


@pytest.mark.parametrize(
    ("text", "truncated", "expected"),
    [
        ("It is so. And then th", True, "It is so."),
        (
            "All of it.\n```python\nx = 1\n```\nIt is. And th",
            True,
            "All of it.\n```python\nx = 1\n```\nIt is.",
        ),
        ("All of it.\n```python\nx = 1\n```\nIt i", True, "All of it.\n```python\nx = 1\n```"),
        ("See. Look:\n```python\nx = 1.5\ny =", True, "See. Look:"),
        ("Look:\n```python\nx = 1", False, "Look:\n```python\nx = 1\n```"),
        ("Whole, with no end mark", False, "Whole, with no end mark"),
    ],
)
def test_a_cut_off_page_ends_where_it_should(text: str, truncated: bool, expected: str) -> None:
    assert trim(text, truncated) == expected


def test_code_blocks_are_python_by_their_label_or_by_what_they_are() -> None:
    text = "".join(
        f"```{block}```\n"
        for block in ("python\na = 1\n", "json\n{}\n", "\nprint(2)\n", "\n16\n", " py\nb\n", "\nno code\n")
    )
    assert code_blocks(text) == ["a = 1\n", "print(2)\n", "b\n"]


def test_what_follows_a_failed_block_is_not_judged() -> None:
    verdicts = [Verdict("passed"), Verdict("failed", "at 0x7f00aa11bb22"), Verdict("failed", "again")]
    assert [b["outcome"] for b in block_records(verdicts)] == ["passed", "failed", "not_run"]
    assert block_records(verdicts)[1]["reason"] == "at 0x..."


def test_the_shipped_curriculum_is_wide_and_has_no_topic_twice() -> None:
    curriculum = load_curriculum()
    names = [topic.name for topic in curriculum.topics]
    assert len(names) == len(set(names)) >= 400
    assert len({audience.text for audience in curriculum.audiences}) >= 12
    assert len(curriculum.styles) >= 6
    first_round = [cell.topic for cell in curriculum.draw(range(len(names)), 0)]
    assert sorted(topic.name for topic in first_round) == sorted(names)


def test_areas_narrow_the_topics_and_an_unknown_one_is_named() -> None:
    assert {topic.area for topic in load_curriculum("", ["numbers", "text"]).topics} == {"numbers", "text"}
    with pytest.raises(ConfigError, match=r"'poetry' is not in the curriculum; areas: reasoning, basics"):
        load_curriculum("", ["poetry"])


def test_a_curriculum_of_your_own_replaces_the_shipped_one(tmp_path: Path) -> None:
    (tmp_path / "topics").mkdir()
    (tmp_path / "topics/01_knots.toml").write_text('[[chapter]]\ntitle = "Knots"\ntopics = ["the bowline"]\n')
    (tmp_path / "audiences.toml").write_text('[[audience]]\nname = "sailor"\ntext = "a sailor"\n')
    (tmp_path / "styles.toml").write_text('[[style]]\nname = "plain"\ntext = "Be plain."\n')
    [cell] = load_curriculum(str(tmp_path)).draw([5], 0)
    assert (cell.topic.area, cell.topic.name, cell.audience.text) == ("knots", "the bowline", "a sailor")
    config = TextbooksConfig(curriculum=str(tmp_path))
    assert identity(config, tmp_path)["curriculum"] != identity(TextbooksConfig(), tmp_path)["curriculum"]
    (tmp_path / "styles.toml").write_text('[[style]]\nname = "plain"\n')
    with pytest.raises(ConfigError, match=r"styles\.toml: every \[\[style\]\] needs a name and a text"):
        load_curriculum(str(tmp_path))


def test_a_folder_without_topics_is_an_input_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"has no topics/\*\.toml"):
        load_curriculum(str(tmp_path))
