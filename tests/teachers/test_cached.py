import asyncio
import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest
from scripts import Slow, ask, ask_many, cached

from hornbook.core.errors import StoreError
from hornbook.teachers import Answer, Ask, Cached, Failed, answer_all


def answer(teacher: Cached, ask: Ask) -> Answer | Failed:
    return asyncio.run(teacher.answer(ask))


def test_an_answer_is_asked_once_and_comes_back_the_same(tmp_path: Path) -> None:
    for _ in range(2):
        teacher = cached(Slow(tmp_path / "log"), tmp_path)
        first, second = answer(teacher, ask("a b")), answer(teacher, ask("a b"))
        assert (first.text, second.text, second.cached) == ("b", "b", True)  # type: ignore[union-attr]
        teacher.close()
    assert Slow(tmp_path / "log").asked == ["a b"]


@pytest.mark.parametrize(
    "other",
    [
        ask("a c"),
        ask("a b", seed=1),
        ask("a b", temperature=0.1),
        ask("a b", top_p=0.9),
        ask("a b", max_answer_tokens=1),
        ask("a b", choices=("b",)),
        ask("a b", schema="{}"),
        Ask((("system", "a"), ("user", "a b"))),
    ],
)
def test_whatever_changes_the_ask_is_asked_anew(tmp_path: Path, other: Ask) -> None:
    slow = Slow(tmp_path / "log")
    teacher = cached(slow, tmp_path)
    answer(teacher, ask("a b"))
    answer(teacher, other)
    assert len(slow.asked) == 2


@pytest.mark.parametrize("name", ["model", "revision"])
def test_another_model_or_revision_is_asked_anew(tmp_path: Path, name: str) -> None:
    slow = Slow(tmp_path / "log")
    for value in ("x", "y"):
        setattr(slow, name, value)
        answer(cached(slow, tmp_path), ask("a b"))
    assert len(slow.asked) == 2


def test_failures_are_never_kept(tmp_path: Path) -> None:
    slow = Slow(tmp_path / "log")
    teacher = cached(slow, tmp_path)
    assert answer(teacher, ask("bad")) == answer(teacher, ask("bad")) == Failed("refused", "said no")
    assert len(slow.asked) == 2


def test_equal_asks_under_way_together_are_asked_once(tmp_path: Path) -> None:
    slow = Slow(tmp_path / "log", seconds=0.02)
    teacher = cached(slow, tmp_path)
    answers = list(answer_all(teacher, [ask("same")] * 8, concurrency=8))
    assert [a.text for a in answers] == ["same"] * 8  # type: ignore[union-attr]
    assert slow.asked == ["same"]


def test_two_processes_share_the_file(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=ask_many, args=(str(tmp_path), 0.001, f"log{n}")) for n in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    teacher = cached(Slow(tmp_path / "log"), tmp_path)
    answers = list(answer_all(teacher, [ask(f"word {n}") for n in range(200)]))
    assert [a.text for a in answers] == [str(n) for n in range(200)]  # type: ignore[union-attr]
    assert Slow(tmp_path / "log").asked == []


def test_a_killed_process_pays_again_only_for_what_was_in_flight(tmp_path: Path) -> None:
    worker = multiprocessing.get_context("spawn").Process(target=ask_many, args=(str(tmp_path), 0.02, "log"))
    worker.start()
    slow = Slow(tmp_path / "log")
    while len(slow.asked) < 40:
        time.sleep(0.005)
    assert worker.pid is not None
    os.kill(worker.pid, signal.SIGKILL)
    worker.join()
    ask_many(str(tmp_path), 0.0, "log")
    assert len(set(slow.asked)) == 200
    assert len(slow.asked) <= 200 + Slow.concurrency


def test_a_cache_that_is_no_database_says_so(tmp_path: Path) -> None:
    (tmp_path / "answers.sqlite").write_bytes(b"no database" * 100)
    with pytest.raises(StoreError, match=r"answers\.sqlite failed"):
        cached(Slow(tmp_path / "log"), tmp_path)


def test_closing_while_answers_are_under_way_stops_them(tmp_path: Path) -> None:
    teacher = cached(Slow(tmp_path / "log", seconds=0.001), tmp_path)
    answers = answer_all(teacher, [ask(f"word {n}") for n in range(1000)])
    next(answers)
    teacher.close()
    with pytest.raises(StoreError, match="closed"):
        list(answers)
