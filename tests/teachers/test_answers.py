"""The file of answers: what each step used, and taking answers to another machine."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from scripts import Slow, ask, cached

from hornbook.core.errors import InputError, StoreError
from hornbook.teachers import Answers, Ask, answer_all
from hornbook.teachers.cache import Usage, question


def fill(folder: Path, count: int, step: str = "") -> list[Ask]:
    asks = [ask(f"word {n}", seed=n, choices=("a",) if n % 2 else ()) for n in range(count)]
    teacher = cached(Slow(folder / "log"), folder, step)
    list(answer_all(teacher, asks))
    teacher.close()
    return asks


def test_exported_answers_serve_another_place_and_nothing_is_asked_there(tmp_path: Path) -> None:
    asks = fill(tmp_path / "here", 2500)
    here, there = (Answers(tmp_path / name / "answers.sqlite") for name in ("here", "there"))
    file = tmp_path / "out" / "answers.jsonl"
    assert here.export(file) == 2500
    assert there.take_in(file) == (2500, 2500)
    assert there.take_in(file) == (2500, 0)
    again = tmp_path / "again.jsonl"
    there.export(again)
    assert again.read_bytes() == file.read_bytes()
    slow = Slow(tmp_path / "asked")
    said = list(answer_all(cached(slow, tmp_path / "there"), asks))
    assert [a.text for a in said] == [str(n) for n in range(2500)]  # type: ignore[union-attr]
    assert slow.asked == []


@pytest.mark.parametrize(
    "line",
    [
        b"not json",
        b"[]",
        b'{"model": "m"}',
        b'{"model": "m", "revision": "", "ask": {"messages": [["user", "x"]], "odd": 1}, "answer": {"text": "a"}}',
        b'{"model": "m", "revision": "", "ask": {"messages": [["user", "x"]]}, "answer": {"text": null}}',
    ],
)
def test_a_line_that_is_no_answer_is_named_and_nothing_is_kept(tmp_path: Path, line: bytes) -> None:
    fill(tmp_path / "here", 2)
    file = tmp_path / "answers.jsonl"
    Answers(tmp_path / "here" / "answers.sqlite").export(file)
    file.write_bytes(file.read_bytes() + line + b"\n")
    there = Answers(tmp_path / "there.sqlite")
    with pytest.raises(InputError, match=r"answers\.jsonl:3 is not an exported answer"):
        there.take_in(file)
    assert there.by_model() == []


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no-such\.jsonl cannot be read"):
        Answers(tmp_path / "a.sqlite").take_in(tmp_path / "no-such.jsonl")


def test_an_export_that_cannot_be_written_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    fill(tmp_path / "here", 2)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "x").touch()
    with pytest.raises(StoreError, match="cannot write"):
        Answers(tmp_path / "here" / "answers.sqlite").export(tmp_path / "taken")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["here", "taken"]


def test_what_a_step_was_given_is_noted_once_whoever_paid(tmp_path: Path) -> None:
    class Counting(Slow):
        async def answer(self, ask: Ask):  # type: ignore[no-untyped-def]
            from dataclasses import replace

            return replace(await super().answer(ask), tokens_in=3, tokens_out=2)

    asks = [ask(f"word {n}") for n in range(1200)]
    for step, part in (("one", asks[:900]), ("two", asks), ("two", asks[:10])):
        teacher = cached(Counting(tmp_path / "log"), tmp_path, step)
        list(answer_all(teacher, part))
        teacher.close()
    answers = Answers(tmp_path / "answers.sqlite")
    assert answers.used_by("one") == Usage(900, 2700, 1800)
    assert answers.used_by("two") == Usage(1200, 3600, 2400)
    assert answers.used_by("three") == Usage(0, 0, 0)


def test_the_key_is_that_of_the_ask_as_it_stands_in_the_file(tmp_path: Path) -> None:
    one = question("m", "r", Ask((("user", "x"),), choices=("a", "b")))
    assert one.asked == (
        '{"choices":["a","b"],"max_answer_tokens":256,"messages":[["user","x"]],"schema":"","seed":0,'
        '"temperature":0.0,"top_p":1.0}'
    )
    assert one.key == hashlib.sha256(f"m\0r\0{one.asked}".encode()).digest()
