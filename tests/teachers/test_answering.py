from pathlib import Path

import pytest
from scripts import Slow, ask, script

from hornbook.core.errors import StageError, TeacherError
from hornbook.core.machine import CannedPlace, LocalPlace, TeacherPlace
from hornbook.core.progress import Silent
from hornbook.teachers import Answer, Failed, FailureCap, answer_all, open_teacher


def test_answers_come_in_the_order_of_the_asks_and_several_are_in_flight(tmp_path: Path) -> None:
    teacher = Slow(tmp_path / "log", seconds=0.01)
    arrived: list[Answer | Failed] = []
    asks = [ask(f"word {n}") for n in range(40)]
    answers = list(answer_all(teacher, asks, concurrency=8, on_done=arrived.append))
    assert [a.text for a in answers if isinstance(a, Answer)] == [str(n) for n in range(40)]
    assert len(arrived) == 40
    assert teacher.most_in_flight == 8


def test_a_failure_is_a_value_among_the_answers(tmp_path: Path) -> None:
    answers = list(answer_all(Slow(tmp_path / "log"), [ask("good"), ask("bad"), ask("fine")]))
    assert [type(a) for a in answers] == [Answer, Failed, Answer]


def test_closing_the_iterator_stops_asking(tmp_path: Path) -> None:
    teacher = Slow(tmp_path / "log", seconds=0.01)
    answers = answer_all(teacher, [ask(f"word {n}") for n in range(1000)])
    next(answers)
    answers.close()
    assert len(teacher.asked) < 100


def test_an_error_of_the_teacher_reaches_the_caller(tmp_path: Path) -> None:
    class Broken(Slow):
        async def answer(self, ask: object) -> Answer | Failed:
            raise TeacherError("the model is gone; fetch it again")

    with pytest.raises(TeacherError, match="the model is gone"):
        list(answer_all(Broken(tmp_path / "log"), [ask("one"), ask("two")]))


def test_no_asks_give_no_answers(tmp_path: Path) -> None:
    assert list(answer_all(Slow(tmp_path / "log"), [])) == []


def test_the_cap_counts_reasons_and_stops_above_the_share() -> None:
    cap = FailureCap("annotate", total=10, max_share=0.2)
    cap.count(Failed("too_long"))
    cap.count(Failed("too_long"))
    with pytest.raises(
        StageError, match=r"annotate: more than 20% of 10 asks failed \(2 too_long, 1 empty; last: x\)"
    ):
        cap.count(Failed("empty", "x"))


@pytest.mark.parametrize(
    ("model", "place", "said"),
    [
        ("gpt-big", LocalPlace(), r'nothing says where .*gpt-big.*\[teachers\."gpt-big"\] path'),
        (
            "m",
            CannedPlace(path="/nowhere/script.jsonl"),
            "/nowhere/script.jsonl cannot be read",
        ),
        ("m", LocalPlace(path="/nowhere/model.gguf"), "/nowhere/model.gguf cannot be read"),
    ],
)
def test_a_teacher_that_cannot_be_had_says_why(
    tmp_path: Path, model: str, place: TeacherPlace, said: str
) -> None:
    with pytest.raises(TeacherError, match=said), open_teacher(model, place, tmp_path, Silent()):
        pass


def test_an_opened_teacher_answers_from_its_cache_the_second_time(tmp_path: Path) -> None:
    place = CannedPlace(path=str(script(tmp_path / "s.jsonl", {"match": "sum", "text": "3"})))
    for cached in (False, True):
        with open_teacher("m", place, tmp_path / "cache", Silent()) as teacher:
            assert list(answer_all(teacher, [ask("the sum?")])) == [
                Answer("3", tokens_in=2, tokens_out=1, cached=cached)
            ]
